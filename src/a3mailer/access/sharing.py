"""Changing who may use a mailbox: whoever is concerned is told (RFC 9670 section 3), by whatever door.

    await store.commit(Transaction(await sharing.announced(principal, change)))

Told is who is named, and who is a member of a group of at most ``MEMBERS``; what is given to larger ones and
to ``anyone`` is for those who look for it. Whether the change may be made is asked before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from a3mailer.access.notices import Notice, told
from a3mailer.access.rights import Owner, Rights, usable
from a3mailer.identity.principal import Principal
from a3mailer.mail.ids import SYSTEM_ACCOUNT, AccountId, MailboxId
from a3mailer.mail.mailbox import SEPARATOR
from a3mailer.mail.rights import ACCOUNT_PREFIX, ANYONE, GROUP_PREFIX, NEGATIVE, ROOT, changed
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import ChangeGrant, Operation
from a3mailer.store.ports import DirectoryReader, DocumentReader, MailReader

MEMBERS: Final = 100
"""Members of a group that are told, each; those of a larger group are not."""
AT_ONCE: Final = 32
"""Mailboxes that somebody is told of by one act."""


class Reader(MailReader, DirectoryReader, DocumentReader, Protocol):
    """What is read here."""


class Sharing:
    """The one place where rights on mailboxes are changed by somebody."""

    __slots__ = ("_clock", "_reader", "rights")

    def __init__(self, reader: Reader, rights: Rights, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self.rights = rights

    async def announced(self, by: Principal, *changes: ChangeGrant) -> tuple[Operation, ...]:
        """The changes, and what those whose rights they change are told; to be committed together.

        Errors: NoSuchMailbox."""
        news: dict[AccountId, list[Notice]] = {}
        places = dict.fromkeys((each.account, each.mailbox) for each in changes if each.mailbox != ROOT)
        for account, mailbox in places:
            here = [each for each in changes if (each.account, each.mailbox) == (account, mailbox)]
            for reader, notice in (await self._news(by, account, mailbox, here)).items():
                mine = news.setdefault(reader, [])
                if len(mine) < AT_ONCE:
                    mine.append(notice)
        operations: list[Operation] = list(changes)
        for reader, mine in news.items():
            operations += await told(self._reader, reader, mine, int(self._clock.now()))
        return tuple(operations)

    async def _news(
        self, by: Principal, account: AccountId, mailbox: MailboxId, changes: list[ChangeGrant]
    ) -> dict[AccountId, Notice]:
        """By who is told."""
        owner = await self.rights.owner(account)
        if owner is None:
            return {}
        before = owner.grants.get(mailbox, {})
        after = dict(before)
        for each in changes:
            after[each.identifier] = changed(after.get(each.identifier, ""), each.mode, each.rights)
        found: dict[AccountId, Notice] = {}
        for reader in await self._concerned(owner, changes):
            if reader.account in (account, by.account):
                continue
            old, new = await self._seen(reader, owner, before), await self._seen(reader, owner, after)
            if old != new:
                name = (await self._reader.mailbox(account, mailbox)).name.rpartition(SEPARATOR)[2]
                who, address = await self._named(by)
                now = int(self._clock.now())
                found[reader.account] = Notice(
                    now, account, mailbox, name, old, new, by.account, who, address
                )
        return found

    async def _seen(self, reader: Principal, owner: Owner, grants: Mapping[str, str]) -> str:
        """What it may do there; nothing where it cannot even see the mailbox."""
        letters = usable(reader, owner.account, await self.rights.sum(reader, grants))
        return letters if "l" in letters else ""

    async def _concerned(self, owner: Owner, changes: list[ChangeGrant]) -> list[Principal]:
        accounts: dict[AccountId, None] = {}
        for identifier in dict.fromkeys(each.identifier.removeprefix(NEGATIVE) for each in changes):
            if identifier.startswith(ACCOUNT_PREFIX):
                accounts[AccountId(int(identifier.removeprefix(ACCOUNT_PREFIX)))] = None
            elif identifier != ANYONE:
                group = identifier.removeprefix(GROUP_PREFIX)
                members = await self.rights.members(group, owner.tenant)
                if len(members) <= MEMBERS:
                    accounts |= dict.fromkeys(sorted(members))
        rows = [await self._reader.account(each) for each in accounts]
        return [
            Principal(row.id, row.tenant, row.address, row.role, row.address)
            for row in rows
            if row is not None and row.tenant == owner.tenant
        ]

    async def _named(self, by: Principal) -> tuple[str, str]:
        """Name and address of who acts."""
        row = await self._reader.account(by.account) if by.account != SYSTEM_ACCOUNT else None
        return (by.login, "") if row is None else (row.display_name or row.address, row.address)
