"""What scripts find by the names of mailboxes: where they may put mail besides the account's own, by the
right ``i`` or ``p`` (RFC 4314), and annotations, as the account itself may read them (RFC 5490)."""

from __future__ import annotations

import contextlib
from typing import Final, Protocol

from a3mailer.access.metadata import entry_name, is_open, read
from a3mailer.access.rights import ANY, Rights, is_foreign
from a3mailer.access.tree import checked_name
from a3mailer.identity.principal import Principal
from a3mailer.mail.errors import BadName, NoSuchMailbox, NotPermitted
from a3mailer.mail.ids import AccountId
from a3mailer.store.ports import DirectoryReader, DocumentReader
from a3mailer.store.rows import Mailbox

DELIVERING: Final = ("message.append", "mailbox.post")
"""Either will do (RFC 5490 section 3.1), for ``mailboxexists`` and for ``fileinto`` alike."""


class Reader(DirectoryReader, DocumentReader, Protocol):
    """What is read here."""


class Filing:
    """One object a process."""

    __slots__ = ("_reader", "_rights")

    def __init__(self, reader: Reader, rights: Rights) -> None:
        self._reader = reader
        self._rights = rights

    def new_name(self, name: str) -> str:
        """The stored form of the name of a new mailbox of one's own. Errors: BadName."""
        if is_foreign(name):
            raise BadName("no mailbox is made among those of others")
        return checked_name(name)

    async def find(self, account: AccountId, name: str) -> Mailbox | None:
        """The mailbox of another that a name means to an account; None where there is none, or no right.

        Who asks cannot tell the two apart."""
        return await self._found(account, name, *DELIVERING) if is_foreign(name) else None

    async def _found(self, account: AccountId, name: str, *actions: str) -> Mailbox | None:
        """Where one of the actions is allowed."""
        subject = await self._subject(account)
        if subject is None:
            return None
        for action in actions:
            with contextlib.suppress(BadName, NoSuchMailbox, NotPermitted):
                return await self._rights.find(subject, name, action)
        return None

    async def _subject(self, account: AccountId) -> Principal | None:
        row = await self._reader.account(account)
        return None if row is None else Principal(row.id, row.tenant, row.address, row.role, row.address)

    async def annotation(self, account: AccountId, mailbox: str | None, entry: str) -> bytes | None:
        """An entry of a mailbox, or of the server where none is named, as the account may read it.

        None where there is none, or what is asked for is no name of one."""
        try:
            name = entry_name(entry)
        except BadName:
            return None
        subject, row = await self._subject(account), None
        if subject is None:
            return None
        if mailbox is not None:
            row = await self._found(account, mailbox, ANY)
            if row is None or not is_open(await self._rights.allowed(subject, row.account, row.id)):
                return None
        return (await read(self._reader, subject, row, (name,))).get(name)
