"""LIST, LSUB, STATUS and MYRIGHTS responses (RFC 9051 section 7.3, RFC 5258 section 3, RFC 8440)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from a3mailer.access.labour import Labour
from a3mailer.access.subscriptions import subscriptions
from a3mailer.access.tree import Node, tree
from a3mailer.edge.imap import condstore
from a3mailer.edge.imap.annotations import metadata_line, named
from a3mailer.edge.imap.session import Session
from a3mailer.edge.imap.sharing import astring, with_old
from a3mailer.mail.flags import DELETED
from a3mailer.mail.ids import AccountId, MailboxId
from a3mailer.mail.mailbox import parents
from a3mailer.store.rows import Mailbox
from a3mailer.wire.imap.encode import mailbox as mailbox_name
from a3mailer.wire.imap.listing import ListRequest
from a3mailer.wire.imap.search import MAILBOX_LETTER, object_id
from a3mailer.wire.imap.wildcard import Pattern

CRITERIA: Final = frozenset((b"SUBSCRIBED", b"SPECIAL-USE"))
"""Selection options by which a name is chosen, or is not."""
SLICE: Final = 500
"""Names whose lines are sent together."""

_STATUS: Final[dict[bytes, Callable[[Mailbox], bytes]]] = {
    b"MESSAGES": lambda row: b"%d" % row.messages,
    b"UIDNEXT": lambda row: b"%d" % row.uid_next,
    b"UIDVALIDITY": lambda row: b"%d" % row.uid_validity,
    b"UNSEEN": lambda row: b"%d" % row.unseen,
    b"DELETED": lambda row: b"%d" % row.deleted,
    b"SIZE": lambda row: b"%d" % row.octets,
    b"HIGHESTMODSEQ": lambda row: b"%d" % max(row.modseq, 1),
}


def mailbox_id(session: Session, account: AccountId, mailbox: MailboxId) -> bytes:
    """The identifier of a mailbox (RFC 8474): numbers are each account's, another's bear its number, too."""
    return object_id(MAILBOX_LETTER, mailbox, 0 if account == session.account else account)


async def deleted_octets(session: Session, row: Mailbox) -> int:
    """Octets of what is \\Deleted (RFC 9208 section 4.1.4), counted when somebody asks."""
    if not row.deleted:
        return 0
    view = await session.services.views.open(row.account, row.id)
    try:
        await view.mailbox.load()
        columns = view.columns
        return sum(size for size, bits in zip(columns.sizes, columns.flags, strict=True) if bits & DELETED)
    finally:
        view.close()


async def recent(session: Session, row: Mailbox) -> int:
    """Messages that no session was told of yet."""
    if row.noticed >= row.uid_next or not row.messages:
        return 0
    _, (known,) = await session.services.store.preceding(row.account, row.id, (row.noticed,))
    return max(row.messages - known, 0)


async def status_line(session: Session, row: Mailbox, items: Iterable[bytes]) -> bytes:
    """``* STATUS name (...)``; asking for HIGHESTMODSEQ enables CONDSTORE (RFC 7162 section 3.1)."""
    values: list[bytes] = []
    for item in items:
        if item == b"HIGHESTMODSEQ":
            condstore.enable(session)
        if item == b"APPENDLIMIT":
            values.append(b"APPENDLIMIT %d" % session.services.settings.imap.append_size)
        elif item == b"DELETED-STORAGE":
            values.append(b"DELETED-STORAGE %d" % await deleted_octets(session, row))
        elif item == b"RECENT":
            values.append(b"RECENT %d" % await recent(session, row))
        elif item == b"MAILBOXID":
            values.append(b"MAILBOXID (%b)" % mailbox_id(session, row.account, row.id))
        else:
            values.append(b"%b %b" % (item, _STATUS[item](row)))
    return b"* STATUS %b (%b)\r\n" % (mailbox_name(row.name, utf8=session.utf8), b" ".join(values))


def counters(session: Session, row: Mailbox, items: Iterable[bytes]) -> bytes:
    """The same of stored counters alone, where nobody asked (RFC 5465)."""
    values = b" ".join(b"%b %b" % (item, _STATUS[item](row)) for item in items)
    return b"* STATUS %b (%b)\r\n" % (mailbox_name(row.name, utf8=session.utf8), values)


def old_name(session: Session, name: str, given: str, words: bytes = b"") -> bytes:
    """LIST of a mailbox whose name is kept in another form than the client's (RFC 9051 section 6.3.9.7)."""
    if not (given and session.rev2):
        return b""
    kept, old = mailbox_name(name, utf8=True), mailbox_name(given, utf8=True)
    return b'* LIST (%b) "/" %b ("OLDNAME" (%b))\r\n' % (words, kept, old)


async def list_lines(session: Session, request: ListRequest, word: bytes) -> AsyncIterator[bytes]:
    """The lines of one LIST or LSUB, and what else is told of each mailbox, in slices. Errors: TooCostly."""
    nodes = await _nodes(session, request)
    labour = session.labour(len(nodes))
    listing = _Listing(nodes, await _matched(nodes, request, labour), request, word)
    out: list[bytes] = []
    for number, node in enumerate(listing.nodes, 1):
        if node.name in listing.matched:
            out += await _node_lines(session, node, listing)
            await labour.step(0)
        if number % SLICE == 0:
            yield b"".join(out)
            out.clear()
    yield b"".join(out)


class _Listing:
    """One LIST: all names, and what its selection options choose of them (RFC 5258 section 3)."""

    __slots__ = ("above", "chosen", "criteria", "entries", "matched", "nodes", "request", "untold", "word")

    def __init__(
        self, nodes: tuple[Node, ...], matched: frozenset[str], request: ListRequest, word: bytes
    ) -> None:
        self.nodes = nodes
        self.matched = matched
        """Names that a pattern matches."""
        self.request = request
        self.word = word
        self.entries = named(request.metadata)
        self.criteria = tuple(sorted(request.selection & CRITERIA))
        self.chosen = frozenset(node.name for node in nodes if self._selects(node))
        self.above = frozenset(parent for name in self.chosen for parent in parents(name))
        """Names with a chosen one somewhere below."""
        self.untold = frozenset(
            parent for name in self.chosen if name not in matched for parent in parents(name)
        )
        """Those with a chosen one below that no pattern matches."""

    def _selects(self, node: Node) -> bool:
        row = node.mailbox
        if not self.criteria:
            return row is not None
        return (node.subscribed or b"SUBSCRIBED" not in self.criteria) and (
            (row is not None and bool(row.special_use)) or b"SPECIAL-USE" not in self.criteria
        )

    def tells(self, node: Node) -> bool:
        """Whether a name that matches is told: it is chosen, or stands for those below that are not told.

        The latter with RECURSIVEMATCH; without options, where there is no such mailbox; and of LSUB with
        ``%`` (RFC 3501 section 6.3.9)."""
        if node.name in self.chosen:
            return True
        if self.word == b"LSUB":
            return node.name in self.untold and any("%" in one for one in self.request.patterns)
        if self.criteria and b"RECURSIVEMATCH" not in self.request.selection:
            return False
        return node.name in self.untold

    def child_info(self, node: Node) -> bytes:
        """The extended data item, where it is due (section 3.5)."""
        if b"RECURSIVEMATCH" not in self.request.selection or node.name not in self.above:
            return b""
        return b' ("CHILDINFO" (%b))' % b" ".join(b'"%b"' % one for one in self.criteria)


async def _nodes(session: Session, request: ListRequest) -> tuple[Node, ...]:
    store, account = session.services.store, session.account
    rows = await store.mailboxes(account) + await session.services.rights.shared(session.principal)
    names = frozenset[str]()
    selects = b"SUBSCRIBED" in request.selection
    if selects or b"SUBSCRIBED" in request.returns:
        names = await subscriptions(store, account)
    return tree(rows, names, missing=selects)


async def _matched(nodes: Iterable[Node], request: ListRequest, labour: Labour) -> frozenset[str]:
    """The names that a pattern matches: 64 long patterns and 10,000 names are minutes. Errors: TooCostly."""
    patterns = [Pattern(request.reference + pattern) for pattern in request.patterns if pattern]
    found: set[str] = set()
    for node in nodes:
        for pattern in patterns:
            if pattern.matches(node.name):
                found.add(node.name)
                break
            await labour.step(0)
        await labour.step()
    return frozenset(found)


async def _node_lines(session: Session, node: Node, listing: _Listing) -> list[bytes]:
    if not listing.tells(node):
        return []
    row, request, word = node.mailbox, listing.request, listing.word
    name = mailbox_name(node.name, utf8=session.utf8)
    if word == b"LSUB":
        words = b"" if node.name in listing.chosen else b"\\Noselect"
        return [b'* LSUB (%b) "/" %b\r\n' % (words, name)]
    readable = row is not None and await may_read(session, row)
    words = b" ".join(attributes(node, request, readable=readable))
    lines = [b'* LIST (%b) "/" %b%b\r\n' % (words, name, listing.child_info(node))]
    if row is not None and readable:
        if request.status:
            lines.append(await status_line(session, row, request.status))
        if b"MYRIGHTS" in request.returns:
            lines.append(await myrights_line(session, row))
        if listing.entries:
            lines.append((await metadata_line(session, row, listing.entries))[0])
    return lines


async def may_read(session: Session, row: Mailbox) -> bool:
    """Whether the user may select it."""
    if row.account == session.account:
        return True
    rights = session.services.rights
    return await rights.may(session.principal, "mailbox.select", row.account, row.id)


def attributes(node: Node, request: ListRequest, *, readable: bool) -> list[bytes]:
    """The attributes of a name in LIST, with those that were asked for."""
    row = node.mailbox
    words: list[bytes] = []
    if row is None:
        words.append(b"\\NonExistent")
    if not readable and (row is not None or not request.extended):  # implied (RFC 5258 section 3.4)
        words.append(b"\\Noselect")
    words.append(b"\\HasChildren" if node.has_children else b"\\HasNoChildren")
    if node.subscribed and b"SUBSCRIBED" in request.selection | request.returns:
        words.append(b"\\Subscribed")
    if row is not None and row.special_use:
        words.append(row.special_use.encode("ascii"))
    return words


# myrights-data = "MYRIGHTS" SP mailbox SP rights
async def myrights_line(session: Session, row: Mailbox) -> bytes:
    """``* MYRIGHTS name rights``."""
    rights = await session.services.rights.allowed(session.principal, row.account, row.id)
    name = mailbox_name(row.name, utf8=session.utf8)
    return b"* MYRIGHTS %b %b\r\n" % (name, astring(with_old(rights)))
