"""Address lists of header fields (RFC 5322 section 3.4, RFC 6532, RFC 6854), obsolete and broken forms too.

Tolerant, for the addresses of strangers' header fields; the strict addresses of SMTP are `mail/address.py`.
Iterative (comments nest, calls do not), linear, bounded by the number of entries; nothing here raises.
Phrases are kept as written, unquoted; `Address.name` decodes their encoded words.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from a3mailer.mail.message import charsets, limits
from a3mailer.mail.message.ascii import AT, BACKSLASH, COLON, COMMA, DOT, LEFT_PARENTHESIS, RIGHT_PARENTHESIS
from a3mailer.mail.message.words import clean, decode_words

_BLANK: Final = b" \t\r\n"
_SPECIAL: Final = b'"(<>,;:['
_ORDINARY: Final = bytes(c for c in range(256) if c not in b'"()<>@,;:\\[]')
_SPACED: Final = bytes(32 if c in _BLANK else c for c in range(256))
_DOT_ATOM: Final = bytes(c for c in range(33, 256) if c not in b'"()<>@,;:\\[]\x7f')
_WORD: Final = bytes(c for c in _ORDINARY if c not in _BLANK)
_MARKS: Final = bytes(1 if c in _SPECIAL else 0 for c in range(256))
_NESTING: Final = bytes(1 if c in b"()\\" else 0 for c in range(256))
_QUOTED: Final = bytes(1 if c in b'"\\' else 0 for c in range(256))


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox. An empty domain means that none was written; the local part is without its quoting."""

    phrase: bytes
    local_part: bytes
    domain: bytes
    route: bytes = b""

    @property
    def name(self) -> str:
        """The display name as text, "" without one."""
        return decode_words(self.phrase)

    @property
    def addr_spec(self) -> str:
        """``local-part@domain`` as text, the local part quoted where it must be, or the local part alone."""
        if not self.domain:
            return clean(charsets.decode(self.local_part))
        local_part = self.local_part
        if not local_part or local_part.translate(None, _DOT_ATOM) or b".." in b"." + local_part + b".":
            local_part = b'"%b"' % local_part.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        return clean(charsets.decode(local_part + b"@" + self.domain))


@dataclass(frozen=True, slots=True)
class Group:
    """A named group, `undisclosed-recipients:;` for one; it may be empty."""

    phrase: bytes
    members: tuple[Address, ...]

    @property
    def name(self) -> str:
        """The name of the group as text."""
        return decode_words(self.phrase)


Entry: TypeAlias = Address | Group


def mailboxes(entries: Iterable[Entry]) -> Iterator[Address]:
    """Yield the mailboxes of an address list, those of its groups included."""
    for entry in entries:
        if isinstance(entry, Group):
            yield from entry.members
        else:
            yield entry


def parse_mailboxes(value: bytes) -> tuple[Address, ...]:
    """Return the mailboxes of an unfolded field value, those of its groups included."""
    return tuple(mailboxes(parse(value))) if value else ()


# address-list = address *("," address)      ; address = mailbox / group; mailbox = [phrase] "<" addr-spec ">"
def parse(value: bytes, limit: int = limits.ADDRESSES) -> tuple[Entry, ...]:
    """Return the entries of an unfolded field value: at most `limit` mailboxes and groups, then it stops."""
    specials = value.translate(None, _ORDINARY)
    if COMMA in specials and not specials.translate(None, b"<@>,"):
        out: list[Entry] = []
        for item in value.split(b",", limit)[:limit]:
            entry = _simple(item, item.translate(None, _ORDINARY))
            if entry is None:
                return parse_general(value, limit)
            out.append(entry)
        return tuple(out)
    single = _simple(value, specials)
    return parse_general(value, limit) if single is None else (single,)


def parse_general(value: bytes, limit: int) -> tuple[Entry, ...]:
    """Return what `parse` returns, by the way that knows all forms."""
    return _General(value, limit).entries()


def _simple(item: bytes, specials: bytes) -> Address | None:
    """Return the mailbox of one of the three usual forms, None for the others."""
    item = item.strip(_BLANK)
    if specials == b"@":
        local, _, domain = item.partition(b"@")
        phrase = b""
    elif specials in (b"<@>", b'""<@>') and item[-1:] == b">":
        phrase, _, spec = item.partition(b"<")
        phrase = phrase.rstrip(_BLANK)
        if specials[:1] == b'"':
            if phrase[:1] != b'"' or phrase[-1:] != b'"':
                return None
            phrase = phrase[1:-1].strip(_BLANK)
        local, _, domain = spec[:-1].partition(b"@")
    else:
        return None
    if not domain or local.translate(None, _WORD) or domain.translate(None, _WORD):
        return None
    return Address(phrase, local, domain)


class _General:
    """One pass from special to special over a field value; no octet is looked at more than a few times."""

    __slots__ = (
        "angle",
        "at",
        "closed",
        "comment",
        "escapes",
        "found",
        "group",
        "limit",
        "members",
        "nesting",
        "out",
        "phrase",
        "value",
        "words",
    )

    def __init__(self, value: bytes, limit: int) -> None:
        self.value = value
        self.limit = limit
        self.at = 0
        self.closed = -1  # where the next ">" is, once it was looked for
        self.found = 0
        self.nesting = b""  # masks of the value, made when they are first needed
        self.escapes = b""
        self.out: list[Entry] = []
        self.group: bytes | None = None
        self.members: list[Address] = []
        self._clear()

    def _clear(self) -> None:
        self.words: list[tuple[bool, bytes]] = []  # (quoted, octets)
        self.angle: bytes | None = None
        self.phrase = b""
        self.comment = b""

    def entries(self) -> tuple[Entry, ...]:
        value, size = self.value, len(self.value)
        marks = value.translate(_MARKS)
        while self.at < size and self.found < self.limit:
            stop = marks.find(b"\x01", self.at)
            stop = size if stop < 0 else stop
            self._word(False, value[self.at : stop])
            self.at = stop + 1
            self._special(value[stop : stop + 1])
        if self.found < self.limit:
            self._mailbox()
        self._close_group()
        return tuple(self.out)

    def _special(self, special: bytes) -> None:
        if special == b'"':
            self._word(True, self._quoted_string())
        elif special == b"(":
            self.comment = self._comment() or self.comment
        elif special == b"<":
            self._angle_addr()
        elif special == b"[":
            stop = self.value.find(b"]", self.at)
            stop = len(self.value) if stop < 0 else stop + 1
            self._word(False, b"[" + self.value[self.at : stop])
            self.at = stop
        elif special == b":":
            self._open_group()
        elif special:
            self._mailbox()
            if special == b";":
                self._close_group()

    def _word(self, quoted: bool, octets: bytes) -> None:
        if quoted or octets.strip(_BLANK):
            self.words.append((quoted, octets))

    # quoted-string = DQUOTE *([FWS] qcontent) [FWS] DQUOTE
    def _quoted_string(self) -> bytes:
        value, at = self.value, self.at
        quote = value.find(b'"', at)
        if quote >= 0 and value.find(b"\\", at, quote) < 0:
            self.at = quote + 1
            return value[at:quote]
        if not self.escapes:
            self.escapes = value.translate(_QUOTED)
        out: list[bytes] = []
        while (stop := self.escapes.find(b"\x01", at)) >= 0 and value[stop] == BACKSLASH:
            out.append(value[at:stop])
            out.append(value[stop + 1 : stop + 2])
            at = stop + 2
        stop = len(value) if stop < 0 else stop
        out.append(value[at:stop])
        self.at = stop + 1
        return b"".join(out)

    # comment = "(" *([FWS] ccontent) [FWS] ")"      ; ccontent = ctext / quoted-pair / comment
    def _comment(self) -> bytes:
        if not self.nesting:
            self.nesting = self.value.translate(_NESTING)
        value, start = self.value, self.at
        at, depth = start, 1
        while depth and (stop := self.nesting.find(b"\x01", at)) >= 0:
            octet = value[stop]
            depth += (octet == LEFT_PARENTHESIS) - (octet == RIGHT_PARENTHESIS)
            at = stop + (2 if octet == BACKSLASH else 1)
        if depth:  # not closed: the rest is comment
            at = len(value) + 1
        self.at = at
        return value[start : at - 1].strip(_BLANK)

    # angle-addr = "<" [obs-route] addr-spec ">"      ; obs-route = *("," "@" domain) ":"
    def _angle_addr(self) -> None:
        value, at = self.value, self.at
        spec, stop = self._until_closed(at)
        quote = spec.find(b'"')
        if quote >= 0:
            self.at = at + quote + 1
            quoted = self._quoted_string()
            rest, stop = self._until_closed(self.at)
            spec = spec[:quote] + quoted + rest
        elif COMMA in spec and spec.lstrip(_BLANK)[:1] != b"@":
            spec = spec.partition(b",")[0]
            stop = at + len(spec)
        self.at = stop + (value[stop : stop + 1] == b">")
        if self.angle is None:
            self.angle = spec.rpartition(b"<")[2] if quote < 0 else spec
            self.phrase = self._phrase(self.words)

    def _until_closed(self, at: int) -> tuple[bytes, int]:
        """Return the octets up to the next ">", or up to the next comma when there is none, and where."""
        value = self.value
        if self.closed < at:
            self.closed = value.find(b">", at)
            if self.closed < 0:
                self.closed = len(value)
        stop = self.closed
        if stop == len(value):
            stop = value.find(b",", at)
            stop = len(value) if stop < 0 else stop
        return value[at:stop], stop

    # group = phrase ":" [group-list] ";"
    def _open_group(self) -> None:
        if self.group is not None or not self.words or any(not q and AT in w for q, w in self.words):
            self._word(False, b":")
            return
        self.group = self._phrase(self.words)
        self.found += 1
        self._clear()

    def _close_group(self) -> None:
        if self.group is not None:
            self.out.append(Group(self.group, tuple(self.members)))
            self.group = None
            self.members.clear()

    def _mailbox(self) -> None:
        if self.angle == b"" and not self.phrase:
            pass  # <> names nobody
        elif self.angle is not None:
            self._add(_angle_mailbox(self.phrase or self.comment, self.angle))
        elif self.words:
            self._add(_bare_mailbox(self.words, self.comment))
        self._clear()

    def _add(self, address: Address) -> None:
        self.found += 1
        if self.group is None:
            self.out.append(address)
        else:
            self.members.append(address)

    @staticmethod
    def _phrase(words: list[tuple[bool, bytes]]) -> bytes:
        return b" ".join([word.strip(_BLANK) for _, word in words]).strip(_BLANK)


def _angle_mailbox(phrase: bytes, spec: bytes) -> Address:
    if LEFT_PARENTHESIS in spec:
        spec = _without_comments(spec)
    route = b""
    if spec[:1] == b"@" and COLON in spec:
        route, _, spec = spec.partition(b":")
    if AT not in spec:
        return Address(phrase, spec.strip(_BLANK), b"", route)
    local, _, domain = spec.rpartition(b"@")
    return Address(phrase, local.strip(_BLANK), domain.translate(None, _BLANK), route)


# addr-spec = local-part "@" domain      ; here without angles, perhaps after words that are a name
def _bare_mailbox(words: list[tuple[bool, bytes]], comment: bytes) -> Address:
    at = len(words) - 1
    while at >= 0 and (words[at][0] or AT not in words[at][1]):
        at -= 1
    if at < 0:
        return Address(comment, _General._phrase(words), b"")
    before, _, after = words[at][1].rpartition(b"@")
    domain = _dotted(after + b"".join([word for _, word in words[at + 1 :]])).partition(b" ")[0]
    name, _, part = _dotted(before).rpartition(b" ")
    phrase = words[:at]
    if name:
        phrase.append((False, name))
    if phrase and (not part or part[:1] == b"."):
        part = phrase.pop()[1] + part
    return Address(_General._phrase(phrase) or comment, part.strip(_BLANK), domain)


def _dotted(octets: bytes) -> bytes:
    """Return words with plain spaces between them and none around dots (the obsolete syntax has some)."""
    octets = octets.translate(_SPACED).strip(b" ")
    return b".".join([piece.strip(b" ") for piece in octets.split(b".")]) if DOT in octets else octets


def _without_comments(spec: bytes) -> bytes:
    out: list[bytes] = []
    depth = done = at = 0
    marks = spec.translate(_NESTING)
    while (stop := marks.find(b"\x01", at)) >= 0:
        octet = spec[stop]
        if octet == LEFT_PARENTHESIS:
            if not depth:
                out.append(spec[done:stop])
            depth += 1
        elif octet == RIGHT_PARENTHESIS and depth:
            depth -= 1
            done = stop + 1
        at = stop + (2 if octet == BACKSLASH else 1)
    if not depth:
        out.append(spec[done:])
    return b"".join(out)
