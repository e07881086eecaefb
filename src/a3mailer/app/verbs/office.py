"""What every verb works with: the store, the settings, who asks, and the one way changes are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.identity.credentials import HashPool
from a3mailer.identity.names import clean_address
from a3mailer.identity.principal import OPERATOR, Object, Principal
from a3mailer.identity.roles import require
from a3mailer.mail.errors import NoSuchAccount
from a3mailer.ops.audit import entry
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import Operation, Result
from a3mailer.store.ports import Store, Transaction
from a3mailer.store.rows import Account


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of one verb, decoded strictly."""


class Nothing(Request, frozen=True, kw_only=True):
    """No arguments."""


def _ignore(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class Office:
    """One verb's surroundings."""

    store: Store
    directory: Path
    settings: Settings
    clock: Clock
    pool: HashPool
    overrides: Mapping[str, str] = field(default_factory=dict)
    """What ``serve`` was given on its command line."""
    subject: Principal = OPERATOR
    progress: Callable[[int, int], None] = field(default=_ignore)

    @property
    def now(self) -> int:
        """Seconds since the epoch."""
        return int(self.clock.now())

    async def change(
        self, action: str, target: str, *operations: Operation, **detail: object
    ) -> tuple[Result, ...]:
        """Commit operations and the record of them as one transaction; their results."""
        record = entry(self.subject, action, target, self.clock.now(), detail)
        results = await self.store.commit(Transaction((*operations, record)))
        return results[: len(operations)]

    async def account(self, action: str, address: str) -> Account:
        """The account of an address, if ``action`` is allowed on it. Errors: NoSuchAccount, BadName."""
        name = clean_address(address)
        found = await self.store.address(name)
        account = await self.store.account(found.account) if found and found.kind == "account" else None
        if account is None:
            raise NoSuchAccount(f"no account {name}")
        require(self.subject, action, subject_of(account), NoSuchAccount)
        return account


def subject_of(account: Account) -> Object:
    """An account as the object of an act."""
    return Object(account.tenant, account.id, account.address.rpartition("@")[2], account.role)
