"""Entering a mailbox: what SELECT and EXAMINE do and say (RFC 9051 section 6.3.2, RFC 7162 section 3.2.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

from a3mailer.access.view import Glance, View
from a3mailer.edge.imap.mailboxes import mailbox_id, old_name
from a3mailer.edge.imap.response import Completed, Response
from a3mailer.edge.imap.selected import Selected, flags_line, flags_lines, glanced_lines
from a3mailer.edge.imap.session import Session
from a3mailer.store.rows import Mailbox
from a3mailer.wire.imap.encode import mailbox as mailbox_name
from a3mailer.wire.imap.errors import BadSyntax, UidRequired
from a3mailer.wire.imap.resync import Resync, SelectOptions
from a3mailer.wire.imap.sequence import print_set

FETCHES_AT_ONCE: Final = 1000
"""Lines of changes between two looks at the socket."""


async def enter(
    session: Session, name: str, options: SelectOptions, given: str = "", *, read_only: bool
) -> AsyncIterator[Response]:
    """Select a mailbox. The one selected before is left even when this fails (section 6.3.2)."""
    if options.resync is not None and not session.qresync:
        raise BadSyntax("ENABLE QRESYNC first")
    if options.resync is not None and options.resync.numbered and session.uid_only:
        raise UidRequired
    if session.selected is not None:
        session.unselect()
        yield b"* OK [CLOSED] the mailbox selected before is closed\r\n"
    row = await session.mailbox(name)
    selected = await _selected(session, row, read_only=read_only)
    view = selected.view
    session.select(selected)
    session.condstore |= options.condstore
    if not session.rev2:
        selected.noticed = row.noticed
        await selected.notice(session.services.store)
    unseen = -1 if session.rev2 or session.uid_only else await view.mailbox.first_unseen()
    yield _opening_lines(session, row, selected, unseen, given)
    if options.resync is not None and options.resync.uid_validity == row.uid_validity:
        async for octets in _changes(session, view, options.resync):
            yield octets
    yield Completed(b"READ-WRITE" if selected.writes else b"READ-ONLY")


async def _selected(session: Session, row: Mailbox, *, read_only: bool) -> Selected:
    services = session.services
    if row.account == session.account:
        return Selected(await services.views.open(row.account, row.id), row.name, read_only=read_only)
    generation = services.rights.generation
    rights = await services.rights.allowed(session.principal, row.account, row.id)
    view = await services.views.open(row.account, row.id, session.account)
    return Selected(view, row.name, read_only=read_only, rights=rights, generation=generation)


def _opening_lines(session: Session, row: Mailbox, selected: Selected, unseen: int, given: str) -> bytes:
    view = selected.view
    lines = [b"* %d EXISTS" % view.count]
    if not session.rev2:
        lines.append(b"* %d RECENT" % selected.recent)
        if unseen >= 0:
            lines.append(b"* OK [UNSEEN %d] first unseen" % (unseen + 1))
    lines += (
        b"* OK [UIDVALIDITY %d] uids are valid" % row.uid_validity,
        b"* OK [UIDNEXT %d] next uid" % view.mailbox.uid_next,
        flags_lines(selected)[:-2],
        b"* OK [HIGHESTMODSEQ %d] highest" % max(view.told, 1),
        b"* OK [MAILBOXID (%b)] its identifier" % mailbox_id(session, row.account, row.id),
    )
    if session.rev2:
        known = old_name(session, row.name, given).removesuffix(b"\r\n")
        lines.append(known or b'* LIST () "/" %b' % mailbox_name(row.name, utf8=True))
    return b"\r\n".join(lines) + b"\r\n"


async def _changes(session: Session, view: View, resync: Resync) -> AsyncIterator[bytes]:
    """VANISHED (EARLIER) and the flags of what changed since the client was here."""
    if resync.modseq >= view.told:
        return
    if not view.mailbox.loaded:
        glance = await view.mailbox.glance(resync.modseq)
        if glance is not None and not view.mailbox.loaded and view.told == view.mailbox.modseq:
            for octets in _glanced(session, view, resync, glance):
                yield octets
            return
    await session.load()
    gone, places = await view.since(resync.modseq)
    if resync.known_uids is not None:
        gone = among(gone, resync.known_uids.bounds(view.mailbox.uid_next))
    if printed := print_set(gone):
        yield b"* VANISHED (EARLIER) %b\r\n" % printed
    if resync.known_uids is not None:
        uids = view.uids
        bounds = resync.known_uids.bounds(view.mailbox.uid_next)
        known = set(among((uids[at] for at in places), bounds))
        places = [at for at in places if uids[at] in known]
    for first in range(0, len(places), FETCHES_AT_ONCE):
        yield b"".join(
            flags_line(view, at, uid=True, modseq=True, only=session.uid_only)
            for at in places[first : first + FETCHES_AT_ONCE]
        )


def _glanced(session: Session, view: View, resync: Resync, glance: Glance) -> Iterator[bytes]:
    """The same of a mailbox that is not loaded."""
    uids, modseqs = glance.changed.uids, glance.changed.modseqs
    wanted = [at for at, modseq in enumerate(modseqs) if modseq > resync.modseq]
    gone: Iterable[int] = glance.vanished
    if resync.known_uids is not None:
        bounds = resync.known_uids.bounds(view.mailbox.uid_next)
        gone = among(gone, bounds)
        known = set(among((uids[at] for at in wanted), bounds))
        wanted = [at for at in wanted if uids[at] in known]
    if printed := print_set(gone):
        yield b"* VANISHED (EARLIER) %b\r\n" % printed
    for first in range(0, len(wanted), FETCHES_AT_ONCE):
        part = wanted[first : first + FETCHES_AT_ONCE]
        yield b"".join(glanced_lines(view, glance, part, only=session.uid_only))


def among(uids: Iterable[int], bounds: list[tuple[int, int]]) -> list[int]:
    """Those of ascending ``uids`` that lie in one of the ascending ``bounds``."""
    found: list[int] = []
    at = 0
    for uid in uids:
        while at < len(bounds) and bounds[at][1] < uid:
            at += 1
        if at == len(bounds):
            break
        if bounds[at][0] <= uid:
            found.append(uid)
    return found
