"""The search program (RFC 9051 section 6.4.4), to postfix.

With RFC 4731, 5032, 5182, 5267, 5465 section 7, 5466, 6203, 7162, 7377 section 2, and 9394.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from a3mailer.mail import criteria
from a3mailer.mail.criteria import Clock, Comparison, Contains, Dated, HasFlag, Leaf, Operator, Place, Size
from a3mailer.mail.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from a3mailer.wire.imap import limits
from a3mailer.wire.imap.dates import parse_date
from a3mailer.wire.imap.errors import BadSyntax, UndefinedFilter, UnknownCharset
from a3mailer.wire.imap.fetch import FetchItems, fetch_attributes
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.sequence import SequenceSet, parse_sequence_set

FIRST_DAY: Final = -(2**31)
LAST_DAY: Final = 2**31
RETURN_OPTIONS: Final = frozenset(
    (b"MIN", b"MAX", b"ALL", b"COUNT", b"SAVE", b"PARTIAL", b"RELEVANCY", b"CONTEXT", b"UPDATE")
)
CHARSETS: Final = frozenset((b"US-ASCII", b"UTF-8", b"ASCII"))


@dataclass(frozen=True, slots=True)
class InSet:
    """A sequence set, to be resolved in a view; ``uid`` as uids."""

    numbers: SequenceSet
    uid: bool


@dataclass(frozen=True, slots=True)
class Within:
    """The internal date is at most (``older``: at least) so many seconds ago, at the time of the search.

    A message of that very second is both (RFC 5032 section 2)."""

    seconds: int
    older: bool


@dataclass(frozen=True, slots=True)
class Identified:
    """A mail or thread by its identifier, which is of ``owner``; 0: of the user's own mail (RFC 8474)."""

    leaf: Leaf
    owner: int


@dataclass(frozen=True, slots=True)
class IsRecent:
    """The session is the first that was told of it (RFC 3501 section 2.3.2)."""


Key = Leaf | InSet | Within | Identified | IsRecent | Operator


@dataclass(frozen=True, slots=True)
class Partial:
    """A range of results, ``low`` below ``high``, from 1; ``last``: counted from the last one."""

    low: int
    high: int
    last: bool
    text: bytes
    """As a response has it; the same range in the other order is no other one."""

    def span(self, count: int) -> tuple[int, int]:
        """The half-open span of indexes of ``count`` results."""
        if self.last:
            return max(0, count - self.high), max(0, count - self.low + 1)
        return min(self.low - 1, count), min(self.high, count)


@dataclass(frozen=True, slots=True)
class Returns:
    """What RETURN asks for."""

    options: frozenset[bytes]
    partial: Partial | None = None
    items: FetchItems | None = None


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What SEARCH asks. ``options`` is None without RETURN: the answer is then a plain SEARCH response."""

    program: tuple[Key, ...]
    options: frozenset[bytes] | None = None
    modseq: bool = False
    """MODSEQ was among the keys: the answer carries the highest one."""
    partial: Partial | None = None
    charset: bool = False
    """A charset was named."""
    literal: tuple[Key, ...] = ()
    """The program with its FUZZY keys taken by the letter; empty without FUZZY."""
    filters: tuple[bytes, ...] = ()
    """Names of filters among the keys: ``with_filters`` makes the program then (RFC 5466)."""
    keys: bytes = b""
    """The keys as they were written, where there are filters."""
    items: FetchItems | None = None
    """What UPDATE is to tell of each new message that comes to be among the results."""


_LEAVES: Final[dict[bytes, tuple[Key, ...]]] = {
    b"ALL": (criteria.Everything(),),
    b"ANSWERED": (HasFlag(ANSWERED),),
    b"DELETED": (HasFlag(DELETED),),
    b"DRAFT": (HasFlag(DRAFT),),
    b"FLAGGED": (HasFlag(FLAGGED),),
    b"SEEN": (HasFlag(SEEN),),
    b"UNANSWERED": (HasFlag(ANSWERED), Operator.NOT),
    b"UNDELETED": (HasFlag(DELETED), Operator.NOT),
    b"UNDRAFT": (HasFlag(DRAFT), Operator.NOT),
    b"UNFLAGGED": (HasFlag(FLAGGED), Operator.NOT),
    b"UNSEEN": (HasFlag(SEEN), Operator.NOT),
    b"RECENT": (IsRecent(),),
    b"NEW": (IsRecent(), HasFlag(SEEN), Operator.NOT, Operator.AND),
    b"OLD": (IsRecent(), Operator.NOT),
    b"SAVEDATESUPPORTED": (criteria.Everything(),),
}
_TEXTS: Final = {place.name.encode(): place for place in Place}
_DATES: Final = {
    b"BEFORE": (Clock.INTERNAL, b"<"),
    b"ON": (Clock.INTERNAL, b"="),
    b"SINCE": (Clock.INTERNAL, b">"),
    b"SENTBEFORE": (Clock.SENT, b"<"),
    b"SENTON": (Clock.SENT, b"="),
    b"SENTSINCE": (Clock.SENT, b">"),
    b"SAVEDBEFORE": (Clock.SAVED, b"<"),
    b"SAVEDON": (Clock.SAVED, b"="),
    b"SAVEDSINCE": (Clock.SAVED, b">"),
}


_PREFIXES: Final = {b"NOT": Operator.NOT, b"OR": Operator.OR, b"FUZZY": None}
FILTER_PASSES: Final = 3
"""How deep filters may stand in filters (RFC 5466 section 3.1); what is deeper is undefined."""
FUZZY_WORDS: Final = 16
"""Words of a text that are looked for; the rest does not count."""


@dataclass(slots=True)
class _Frame:
    """What is still open: a list in parentheses (``operator`` None), or an operator that lacks operands.

    FUZZY is a frame that holds one key and adds nothing of its own."""

    operator: Operator | None
    operands: int = 0
    fuzzy: bool = False


class _Reader:
    """Reads keys into a postfix program with an explicit stack of what is still open."""

    def __init__(self, p: Parser, values: Mapping[bytes, bytes] | None = None) -> None:
        self.p = p
        self.filters: list[bytes] = []
        """Names of filters that were met."""
        self._values = values
        """What filters stand for, by their names in lower case; None: that is not asked yet."""
        self._depth = 0
        self._inserted = 0
        self.out: list[Key] = []
        self.literal: list[Key] = []
        """The same with FUZZY keys taken by the letter."""
        self.is_fuzzy = False
        self._fuzzy = 0
        self.modseq = False
        self._frames = [_Frame(None)]

    def program(self) -> tuple[Key, ...]:
        """search-key *(SP search-key), to the end of the command."""
        self._keys()
        if len(self._frames) != 1:
            raise self.p.fail("search key missing")
        return tuple(self.out)

    def _keys(self) -> None:
        while True:
            self._key()
            while self.p.take(b")"):
                self._close()
            if self.p.done():
                return
            self.p.space()

    # search-key =/ "FILTER" SP filter-name        filter-name = 1*<any ATOM-CHAR except "/">
    def _filter(self) -> None:
        """What a filter stands for takes its place, octet for octet (RFC 5466 section 3.1)."""
        self.p.space()
        name = self.p.atom()
        if b"/" in name:
            raise self.p.fail("a filter's name has no /")
        self.filters.append(name)
        if self._values is None:
            self._leaf(criteria.Nothing())
            return
        value = self._values.get(name.lower())
        if value is None or self._depth >= FILTER_PASSES:
            raise UndefinedFilter(name)
        self._inserted += len(value)
        if self._inserted > limits.COMMAND_LINE:
            raise self.p.fail("the search is too long with its filters in it")
        outer, self.p = self.p, Parser(value, utf8=True)
        self._depth += 1
        self._keys()
        self._depth -= 1
        self.p = outer

    def _operand(self) -> None:
        """One more operand is complete: close what it completes."""
        while True:
            frame = self._frames[-1]
            frame.operands += 1
            if frame.fuzzy:
                self._fuzzy -= 1
                self._frames.pop()
                continue
            if frame.operator is None:
                if frame.operands > 1:
                    self._emit(Operator.AND)
                return
            if frame.operator is Operator.OR and frame.operands == 1:
                return
            self._emit(frame.operator)
            self._frames.pop()

    def _close(self) -> None:
        frame = self._frames[-1]
        if not frame.operands or frame.operator is not None or len(self._frames) == 1:
            raise self.p.fail("search key missing" if len(self._frames) > 1 else "( missing")
        self._frames.pop()
        self._operand()

    def _key(self) -> None:
        """What opens or is one search-key."""
        p = self.p
        while True:
            if p.take(b"("):
                self._frames.append(_Frame(None))
                continue
            first = p.peek()
            if first.isdigit() or first in (b"*", b"$"):
                self._leaf(InSet(parse_sequence_set(p), uid=False))
                return
            word = p.keyword()
            if word not in _PREFIXES:
                self._word(word)
                return
            fuzzy = word == b"FUZZY"
            self._frames.append(_Frame(_PREFIXES[word], fuzzy=fuzzy))
            self._fuzzy += fuzzy
            self.is_fuzzy |= fuzzy
            p.space()

    def _leaf(self, *leaf: Key) -> None:
        self.literal += leaf
        self.out += _fuzzy(leaf) if self._fuzzy else leaf
        self._operand()

    def _emit(self, key: Key) -> None:
        self.out.append(key)
        self.literal.append(key)

    def _word(self, word: bytes) -> None:
        if word in _LEAVES:
            self._leaf(*_LEAVES[word])
        elif word in _TEXTS:
            self._leaf(Contains(_TEXTS[word], _text(self.p)))
        elif word in _DATES:
            self._leaf(_dated(self.p, word))
        elif word == b"FILTER":
            self._filter()
        elif word in _WITH_ARGUMENT:
            self._leaf(*_WITH_ARGUMENT[word](self.p))
            self.modseq |= word == b"MODSEQ"
        else:
            raise self.p.fail("unknown search key")


def _fuzzy(keys: tuple[Key, ...]) -> list[Key]:
    """A text that is looked for as its words, in whatever order, where it has several; else as it is."""
    out: list[Key] = []
    for key in keys:
        words = key.text.split()[:FUZZY_WORDS] if isinstance(key, Contains | criteria.Header) else []
        if len(words) < 2:
            out.append(key)
            continue
        assert isinstance(key, Contains | criteria.Header)
        for number, word in enumerate(words):
            out.append(replace(key, text=word))
            if number:
                out.append(Operator.AND)
    return out


def _text(p: Parser) -> str:
    p.space()
    octets = p.astring()
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise p.fail("search text is not UTF-8") from error


def _dated(p: Parser, word: bytes) -> Dated:
    clock, relation = _DATES[word]
    p.space()
    day = parse_date(p)
    if relation == b"<":
        return Dated(clock, FIRST_DAY, day)
    return Dated(clock, day, day + 1 if relation == b"=" else LAST_DAY)


def _keyword(p: Parser) -> tuple[Leaf]:
    p.space()
    return (criteria.HasKeyword(p.atom().decode("ascii").lower()),)


def _header(p: Parser) -> tuple[Leaf]:
    p.space()
    name = p.astring()
    return (criteria.Header(name.decode("latin-1").lower(), _text(p)),)


def _size(comparison: Comparison) -> Callable[[Parser], tuple[Leaf]]:
    def parse(p: Parser) -> tuple[Leaf]:
        p.space()
        return (Size(comparison, p.number64()),)

    return parse


def _uid(p: Parser) -> tuple[InSet]:
    p.space()
    return (InSet(parse_sequence_set(p), uid=True),)


# search-key =/ ( "UIDAFTER" / "UIDBEFORE" ) SP uniqueid          (RFC 9738 section 3.2)
def _uids_beyond(p: Parser, step: int) -> tuple[Key]:
    p.space()
    edge = p.nz_number() + step
    if not 0 < edge <= limits.NUMBER32:
        return (criteria.Nothing(),)
    return (InSet(SequenceSet(((edge, limits.NUMBER32) if step > 0 else (1, edge),)), uid=True),)


# search-modsequence = "MODSEQ" [search-modseq-ext] SP mod-sequence-valzer
# search-modseq-ext = SP entry-name SP entry-type-req
def _modseq(p: Parser) -> tuple[Leaf]:
    p.space()
    if p.peek() == b'"':
        p.string()  # the entry's name: flags share one mod-sequence a message
        p.space()
        if p.keyword() not in (b"ALL", b"PRIV", b"SHARED"):
            raise p.fail("all, priv or shared expected")
        p.space()
    return (criteria.ModifiedSince(p.number64()),)


# search-key =/ "FUZZY" SP search-key                  (a prefix like NOT: see _Reader)
# search-key =/ ( "OLDER" / "YOUNGER" ) SP nz-number
def _within(*, older: bool) -> Callable[[Parser], tuple[Key, ...]]:
    def parse(p: Parser) -> tuple[Key, ...]:
        p.space()
        return (Within(p.nz_number(), older),)

    return parse


# search-key =/ ( "EMAILID" / "THREADID" ) SP objectid
def _identifier(make: Callable[[int], Leaf], letter: bytes) -> Callable[[Parser], tuple[Key]]:
    def parse(p: Parser) -> tuple[Key]:
        p.space()
        word = p.astring()
        number, dash, owner = word[1:].partition(b"-")
        if word[:1] != letter or not _is_number(number) or (dash and not _is_number(owner)):
            return (criteria.Nothing(),)
        return (Identified(make(int(number)), int(owner or 0)),)

    return parse


def _is_number(digits: bytes) -> bool:
    """In the one spelling that identifiers have."""
    return digits.isdigit() and digits[:1] != b"0" and len(digits) <= limits.LITERAL_DIGITS


# objectid = 1*255(ALPHA / DIGIT / "_" / "-")
def object_id(letter: bytes, number: int, owner: int = 0) -> bytes:
    """The identifier of what is the user's own; with ``owner``, of another's: numbers are each account's."""
    return b"%b%d-%d" % (letter, number, owner) if owner else b"%b%d" % (letter, number)


EMAIL_LETTER: Final = b"M"
THREAD_LETTER: Final = b"T"
MAILBOX_LETTER: Final = b"F"

_WITH_ARGUMENT: Final[dict[bytes, Callable[[Parser], tuple[Key, ...]]]] = {
    b"KEYWORD": _keyword,
    b"UNKEYWORD": lambda p: (*_keyword(p), Operator.NOT),
    b"HEADER": _header,
    b"LARGER": _size(Comparison.ABOVE),
    b"SMALLER": _size(Comparison.BELOW),
    b"UID": _uid,
    b"UIDAFTER": lambda p: _uids_beyond(p, 1),
    b"UIDBEFORE": lambda p: _uids_beyond(p, -1),
    b"YOUNGER": _within(older=False),
    b"OLDER": _within(older=True),
    b"MODSEQ": _modseq,
    b"EMAILID": _identifier(criteria.SameEmail, EMAIL_LETTER),
    b"THREADID": _identifier(criteria.SameThread, THREAD_LETTER),
}


# search = "SEARCH" [search-return-opts] SP search-program
# search-program = ["CHARSET" SP charset SP] search-key *(SP search-key)
def parse_search(p: Parser) -> SearchRequest:
    """What follows SEARCH. Errors: BadSyntax, UnknownCharset."""
    p.space()
    returns = parse_return(p)
    if word_ahead(p, b"CHARSET "):
        return replace(parse_criteria(p, returns), charset=True)
    return _request(p, returns)


# search-criteria = charset 1*(SP search-key)      charset = atom / quoted
def parse_criteria(p: Parser, returns: Returns | None = None) -> SearchRequest:
    """A charset and keys, to the end of the command. Errors: BadSyntax, UnknownCharset."""
    charset = p.astring().upper()
    if charset not in CHARSETS:
        raise _unknown(p, returns)
    p.space()
    return _request(p, returns)


def _unknown(p: Parser, returns: Returns | None) -> BadSyntax | UnknownCharset:
    """The error for an unknown charset: BAD instead of NO where there are filters, which are UTF-8 (RFC 5466
    section 3.1)."""
    try:
        p.space()
        filters = _request(p, None).filters
    except BadSyntax:
        filters = ()
    if filters:
        return BadSyntax("[BADCHARSET (US-ASCII UTF-8)] filters are in UTF-8")
    saves = returns is not None and b"SAVE" in returns.options
    return UnknownCharset("only US-ASCII and UTF-8 are searched", saves=saves)


def _request(p: Parser, returns: Returns | None) -> SearchRequest:
    keys = p.octets[p.at :]
    if returns is None:
        request = _read(_Reader(p), None, None)
    else:
        request = _read(_Reader(p), returns.options, returns.partial)
        if returns.items is not None:
            request = replace(request, items=returns.items)
    return replace(request, keys=keys) if request.filters else request


def _read(reader: _Reader, options: frozenset[bytes] | None, partial: Partial | None) -> SearchRequest:
    program = reader.program()
    literal = tuple(reader.literal) if reader.is_fuzzy else ()
    filters = tuple(reader.filters)
    if options and b"RELEVANCY" in options and not (literal or filters):
        raise no_relevancy()
    return SearchRequest(program, options, reader.modseq, partial, literal=literal, filters=filters)


def no_relevancy() -> BadSyntax:
    """There is no FUZZY key, so no relevancy (RFC 6203 section 4)."""
    return BadSyntax("RELEVANCY is for searches with FUZZY")


def with_filters(request: SearchRequest, values: Mapping[bytes, bytes]) -> SearchRequest:
    """The request with filters replaced by what they stand for, by names in lower case.

    Errors: BadSyntax; UndefinedFilter, also where filters stand in filters too deep."""
    reader = _Reader(Parser(request.keys, utf8=True), values)
    made = _read(reader, request.options, request.partial)
    if b"RELEVANCY" in (request.options or ()) and not made.literal:
        raise no_relevancy()
    return replace(made, charset=request.charset, items=request.items, filters=())


def parse_filter(value: bytes) -> tuple[bytes, ...]:
    """Whether a value is a whole search (search-criteria of RFC 5466 section 4); names of filters in it.

    Errors: BadSyntax."""
    reader = _Reader(Parser(value, utf8=True))
    reader.program()
    return tuple(reader.filters)


def parse_return(p: Parser) -> Returns | None:
    """Return options and the space after them; None without. Errors: BadSyntax."""
    if not word_ahead(p, b"RETURN "):
        return None
    returns = _return_options(p)
    p.space()
    return returns


def word_ahead(p: Parser, word: bytes) -> bool:
    """Move over a word (in upper case, with what separates it) if it is next."""
    if p.octets[p.at : p.at + len(word)].upper() != word:
        return False
    p.at += len(word)
    return True


# search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"
# search-return-opt =/ modifier-context / modifier-partial / modifier-update
# modifier-update = "UPDATE" [ "(" fetch-att *(SP fetch-att) ")" ]
#                   (RFC 5465 section 8; its example has a space behind UPDATE)
def _return_options(p: Parser) -> Returns:
    found: list[Partial] = []
    items: list[FetchItems] = []

    def option() -> bytes:
        word = p.keyword()
        if word not in RETURN_OPTIONS:
            raise p.fail("unknown search return option")
        if word == b"PARTIAL":
            p.space()
            found.append(parse_partial(p))
        elif word == b"UPDATE" and p.octets[p.at : p.at + 2].lstrip(b" ").startswith(b"("):
            p.take(b" ")
            items.append(fetch_attributes(p))
        return word

    options = frozenset(p.parenthesised(option, most=2 * len(RETURN_OPTIONS), empty=True))
    if len(found) > 1 or (found and b"ALL" in options):
        raise p.fail("only one of ALL and PARTIAL is possible")
    return Returns(
        options or frozenset((b"ALL",)), found[0] if found else None, items[-1].unseen if items else None
    )


# modifier-partial = "PARTIAL" SP partial-range
# partial-range = nz-number ":" nz-number / MINUS nz-number ":" MINUS nz-number
def parse_partial(p: Parser) -> Partial:
    """The range (RFC 9394 section 3.1). Errors: BadSyntax."""
    last = p.take(b"-")
    first = p.nz_number()
    p.expect(b":")
    if p.take(b"-") is not last:
        raise p.fail("both ends count from the first or both from the last")
    second = p.nz_number()
    low, high = min(first, second), max(first, second)
    text = b"-%d:-%d" if last else b"%d:%d"
    return Partial(low, high, last, text % (low, high))
