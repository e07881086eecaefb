"""LIST, LSUB and STATUS responses (RFC 9051 section 7.3, RFC 5258 section 3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from a3mailer.access.tree import Node, tree
from a3mailer.edge.imap.session import Session
from a3mailer.mail.mailbox import parents
from a3mailer.store.rows import Mailbox
from a3mailer.wire.imap.encode import mailbox as mailbox_name
from a3mailer.wire.imap.listing import ListRequest
from a3mailer.wire.imap.search import MAILBOX_LETTER
from a3mailer.wire.imap.wildcard import Pattern

SLICE: Final = 500
"""Names matched before others get their turn."""

_STATUS: Final[dict[bytes, Callable[[Mailbox], bytes]]] = {
    b"MESSAGES": lambda row: b"%d" % row.messages,
    b"UIDNEXT": lambda row: b"%d" % row.uid_next,
    b"UIDVALIDITY": lambda row: b"%d" % row.uid_validity,
    b"UNSEEN": lambda row: b"%d" % row.unseen,
    b"DELETED": lambda row: b"%d" % row.deleted,
    b"SIZE": lambda row: b"%d" % row.octets,
    b"RECENT": lambda row: b"0",
    b"HIGHESTMODSEQ": lambda row: b"%d" % max(row.modseq, 1),
    b"MAILBOXID": lambda row: b"(%b%d)" % (MAILBOX_LETTER, row.id),
}


def status_line(session: Session, row: Mailbox, items: Iterable[bytes]) -> bytes:
    """``* STATUS name (...)``; asking for HIGHESTMODSEQ enables CONDSTORE (RFC 7162 section 3.1)."""
    values: list[bytes] = []
    for item in items:
        if item == b"HIGHESTMODSEQ":
            session.condstore = True
        if item == b"APPENDLIMIT":
            values.append(b"APPENDLIMIT %d" % session.services.settings.imap.append_size)
        else:
            values.append(b"%b %b" % (item, _STATUS[item](row)))
    return b"* STATUS %b (%b)\r\n" % (mailbox_name(row.name, utf8=session.rev2), b" ".join(values))


async def list_lines(session: Session, request: ListRequest, word: bytes) -> AsyncIterator[bytes]:
    """The lines of one LIST or LSUB, and of STATUS where asked for, in slices."""
    nodes = tree(await session.services.store.mailboxes(session.account))
    patterns = [Pattern(request.reference + pattern) for pattern in request.patterns]
    chosen = _chosen(nodes, request)
    out: list[bytes] = []
    for number, node in enumerate(nodes, 1):
        if any(pattern.matches(node.name) for pattern in patterns):
            out += _node_lines(session, node, request, chosen, word)
        if number % SLICE == 0:
            await asyncio.sleep(0)
            yield b"".join(out)
            out.clear()
    yield b"".join(out)


class _Chosen:
    """What the selection options choose, and the parents of what they choose (RECURSIVEMATCH)."""

    __slots__ = ("names", "parents")

    def __init__(self, names: frozenset[str], parents: frozenset[str]) -> None:
        self.names = names
        self.parents = parents


def _chosen(nodes: tuple[Node, ...], request: ListRequest) -> _Chosen | None:
    tests: list[Callable[[Mailbox], bool]] = []
    if b"SUBSCRIBED" in request.selection:
        tests.append(lambda row: row.subscribed)
    if b"SPECIAL-USE" in request.selection:
        tests.append(lambda row: bool(row.special_use))
    if not tests:
        return None
    names = frozenset(
        node.name for node in nodes if node.mailbox and all(test(node.mailbox) for test in tests)
    )
    above: set[str] = set()
    if b"RECURSIVEMATCH" in request.selection:
        for name in names:
            above.update(parents(name))
    return _Chosen(names, frozenset(above))


def _node_lines(
    session: Session, node: Node, request: ListRequest, chosen: _Chosen | None, word: bytes
) -> list[bytes]:
    row = node.mailbox
    child_info = b""
    if chosen is not None:
        below = node.name in chosen.parents
        if node.name not in chosen.names and not below:
            return []
        if word == b"LSUB":
            if node.name not in chosen.names and not _stands_for_child(request):
                return []
        elif below:
            child_info = b' ("CHILDINFO" ("SUBSCRIBED"))'
    name = mailbox_name(node.name, utf8=session.rev2)
    attributes = b" ".join(_attributes(node, request, chosen, word))
    lines = [b'* %b (%b) "/" %b%b\r\n' % (word, attributes, name, child_info)]
    if request.status and row is not None:
        lines.append(status_line(session, row, request.status))
    return lines


def _stands_for_child(request: ListRequest) -> bool:
    """RFC 3501 section 6.3.9: with ``%`` an unsubscribed parent stands for its subscribed children."""
    return any("%" in pattern for pattern in request.patterns)


def _attributes(node: Node, request: ListRequest, chosen: _Chosen | None, word: bytes) -> list[bytes]:
    row = node.mailbox
    if word == b"LSUB":
        return [] if chosen is None or node.name in chosen.names else [b"\\Noselect"]
    words: list[bytes] = []
    if row is None:
        words += (b"\\NonExistent", b"\\Noselect")
    words.append(b"\\HasChildren" if node.has_children else b"\\HasNoChildren")
    if row is not None:
        if row.subscribed and (b"SUBSCRIBED" in request.selection or b"SUBSCRIBED" in request.returns):
            words.append(b"\\Subscribed")
        if row.special_use:
            words.append(row.special_use.encode("ascii"))
    return words
