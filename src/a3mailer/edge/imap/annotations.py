"""What GETMETADATA, SETMETADATA and LIST RETURN (METADATA) share (RFC 5464, RFC 9590)."""

from __future__ import annotations

from collections.abc import Iterable

from a3mailer.access.metadata import entry_name, is_open, read
from a3mailer.access.rights import ANY
from a3mailer.edge.imap.session import Session
from a3mailer.mail.errors import BadName, NoSuchMailbox, NotPermitted
from a3mailer.store.rows import Mailbox
from a3mailer.wire.imap.encode import mailbox as mailbox_name
from a3mailer.wire.imap.encode import string
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.metadata import entry, value


def named(entries: Iterable[bytes], *, top: bool = False) -> dict[str, bytes]:
    """Entries by the names they are kept under, with their spelling. Errors: BadSyntax."""
    try:
        return {entry_name(one.decode("latin-1"), top=top): one for one in entries}
    except BadName as error:
        raise BadSyntax(str(error)) from error


async def annotated(session: Session, name: str) -> Mailbox | None:
    """The mailbox of a name, None for the server (""). Errors: NoSuchMailbox, NotPermitted."""
    if not name:
        return None
    row = await session.mailbox(name, ANY)
    if not await may_annotate(session, row):
        letters = await session.services.rights.allowed(session.principal, row.account, row.id)
        raise NotPermitted(name) if {"l", "r"} & set(letters) else NoSuchMailbox(name)
    return row


async def may_annotate(session: Session, row: Mailbox) -> bool:
    """Whether the user may see and set annotations of a mailbox."""
    if row.account == session.account:
        return True
    letters = await session.services.rights.allowed(session.principal, row.account, row.id)
    return is_open(letters)


# metadata-resp = "METADATA" SP mailbox SP entry-values
async def metadata_line(
    session: Session, row: Mailbox | None, entries: dict[str, bytes], *, most: int = -1, depth: int = 0
) -> tuple[bytes, int]:
    """``* METADATA name (entry value ...)``, and the size of the largest value that is above ``most``.

    Those asked for that have no value are NIL, unless those below were asked for, too."""
    found = await read(session.services.store, session.principal, row, entries, depth)
    longest = max((len(one) for one in found.values() if 0 <= most < len(one)), default=0)
    pairs: list[bytes] = []
    for name, spelled in entries.items():
        if name not in found and depth == 0:
            pairs.append(b"%b NIL" % entry(spelled))
    for name, octets in found.items():
        if most < 0 or len(octets) <= most:
            pairs.append(b"%b %b" % (entry(entries.get(name, name.encode())), value(octets)))
    if not pairs:
        return b"", longest
    where = mailbox_name(row.name, utf8=session.utf8) if row is not None else string(b"")
    return b"* METADATA %b (%b)\r\n" % (where, b" ".join(pairs)), longest
