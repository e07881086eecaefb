"""Where the scripts of an account may put mail besides its own mailboxes: by the right ``i`` (RFC 4314)."""

from __future__ import annotations

from typing import Final

from a3mailer.access.rights import Rights, is_foreign
from a3mailer.access.tree import checked_name
from a3mailer.identity.principal import Principal
from a3mailer.mail.errors import BadName, NoSuchMailbox, NotPermitted
from a3mailer.mail.ids import AccountId
from a3mailer.store.ports import DirectoryReader
from a3mailer.store.rows import Mailbox

APPEND: Final = "message.append"


class Filing:
    """One object a process."""

    __slots__ = ("_reader", "_rights")

    def __init__(self, reader: DirectoryReader, rights: Rights) -> None:
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
        if not is_foreign(name):
            return None
        row = await self._reader.account(account)
        if row is None:
            return None
        subject = Principal(row.id, row.tenant, row.address, row.role, row.address)
        try:
            return await self._rights.find(subject, name, APPEND)
        except (NoSuchMailbox, NotPermitted):
            return None
