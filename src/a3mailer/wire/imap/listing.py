"""LIST and STATUS (RFC 9051 sections 6.3.9 and 6.3.11, RFC 5258, RFC 5819, RFC 6154): what they may ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.wire.imap import limits
from a3mailer.wire.imap.metadata import parse_entries
from a3mailer.wire.imap.names import decode_mailbox
from a3mailer.wire.imap.parser import Parser

SELECTIONS: Final = frozenset((b"SUBSCRIBED", b"REMOTE", b"RECURSIVEMATCH", b"SPECIAL-USE"))
RETURNS: Final = frozenset((b"SUBSCRIBED", b"CHILDREN", b"SPECIAL-USE", b"MYRIGHTS"))
STATUS_ITEMS: Final = frozenset(
    (b"MESSAGES", b"UIDNEXT", b"UIDVALIDITY", b"UNSEEN", b"DELETED", b"SIZE", b"RECENT", b"HIGHESTMODSEQ",
     b"APPENDLIMIT", b"MAILBOXID", b"DELETED-STORAGE")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ListRequest:
    """One LIST. ``extended`` when any RFC 5258 syntax was used."""

    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[bytes] = frozenset()
    returns: frozenset[bytes] = frozenset()
    status: tuple[bytes, ...] = ()
    metadata: tuple[bytes, ...] = ()
    extended: bool = False


# list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]
def parse_list(p: Parser) -> ListRequest:
    """What follows LIST. Errors: BadSyntax."""
    selection: frozenset[bytes] = frozenset()
    extended = False
    p.space()
    if p.peek() == b"(":
        extended = True
        selection = frozenset(p.parenthesised(p.keyword, most=len(SELECTIONS), empty=True))
        if selection - SELECTIONS:
            raise p.fail("unknown LIST selection option")
        if b"RECURSIVEMATCH" in selection and not selection & {b"SUBSCRIBED", b"SPECIAL-USE"}:
            raise p.fail("RECURSIVEMATCH needs another selection option")
        p.space()
    reference = p.mailbox()
    p.space()
    if p.peek() == b"(":
        extended = True
        patterns = p.parenthesised(lambda: _pattern(p), most=limits.LIST_PATTERNS)
    else:
        patterns = (_pattern(p),)
    if p.done():
        return ListRequest(reference, patterns, selection, extended=extended)
    p.space()
    if p.keyword() != b"RETURN":
        raise p.fail("RETURN expected")
    p.space()
    returns, status, metadata = _returns(p)
    return ListRequest(reference, patterns, selection, returns, status, metadata, extended=True)


def _pattern(p: Parser) -> str:
    octets = p.list_mailbox()
    if len(octets) > limits.PATTERN:
        raise p.fail("pattern too long")
    return decode_mailbox(octets, utf8=p.utf8)


# list-return-opts = "RETURN" SP "(" [list-return-opt *(SP list-return-opt)] ")"
# status-option = "STATUS" SP "(" status-att *(SP status-att) ")"
# return-option =/ "METADATA" SP entries      (RFC 9590)
def _returns(p: Parser) -> tuple[frozenset[bytes], tuple[bytes, ...], tuple[bytes, ...]]:
    found: set[bytes] = set()
    status: tuple[bytes, ...] = ()
    metadata: tuple[bytes, ...] = ()
    p.expect(b"(")
    while not p.take(b")"):
        if found or status or metadata:
            p.space()
        word = p.keyword()
        if word == b"STATUS":
            p.space()
            status = parse_status_items(p)
        elif word == b"METADATA":
            p.space()
            metadata = parse_entries(p)
        elif word in RETURNS:
            found.add(word)
        else:
            raise p.fail("unknown LIST return option")
    return frozenset(found), status, metadata


# "(" status-att *(SP status-att) ")"
def parse_status_items(p: Parser) -> tuple[bytes, ...]:
    """The items of STATUS, each once. Errors: BadSyntax."""
    items = dict.fromkeys(p.parenthesised(p.keyword, most=limits.FETCH_ITEMS))
    if items.keys() - STATUS_ITEMS:
        raise p.fail("unknown STATUS data item")
    return tuple(items)
