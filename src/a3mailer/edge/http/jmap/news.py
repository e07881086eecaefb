"""What changed for somebody (RFC 8620 section 7.1): the states of all types, compared with those last told.

A change of the store is a hint that wakes who watches its account; what is pushed is found by reading the
states, so a lost, doubled or late hint costs nothing and no state is pushed that was told before.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from a3mailer.edge.http.jmap.accounts import Accounts
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.jmap.types import DataType
from a3mailer.identity.principal import Principal
from a3mailer.mail.changes import EVERYTHING, Change
from a3mailer.mail.errors import MailError
from a3mailer.mail.ids import AccountId
from a3mailer.mail.objectids import ACCOUNT_LETTER, number_of
from a3mailer.store.ports import Watcher

MAX_TOLD: Final = 4096
"""Characters of what a client gives back of what it was told."""
TOO_MUCH: Final = "-"
"""In place of more than that: who gives it back, or what nobody told it, is told of everything."""

States = dict[str, dict[str, str]]
"""Account id -> type -> state."""
_decoder: Final = msgspec.json.Decoder(States)


@dataclass(slots=True, eq=False)
class Ear:
    """Somebody who is awake and hears of changes of some accounts."""

    nudge: Callable[[], None]
    stale: bool = True
    """Something may have changed since ``stale`` was last set to False."""
    accounts: frozenset[AccountId] = frozenset()
    """Whose changes it hears of; the hub sets it."""


class Hub:
    """All ears of a worker, and what states there are for somebody."""

    __slots__ = ("_accounts", "_current", "_ears", "_forget", "_services", "_types")

    def __init__(
        self,
        services: Services,
        watcher: Watcher,
        types: Sequence[DataType],
        accounts: Callable[[Principal], Awaitable[Accounts]],
        current: Callable[[Principal], Awaitable[bool]],
    ) -> None:
        """``current``: do the credentials still stand?"""
        self._services = services
        self._types = tuple(types)
        self._accounts = accounts
        self._current = current
        self._ears: dict[AccountId, set[Ear]] = {}
        self._forget = watcher.watch(self._heard)

    def close(self) -> None:
        """Hear no more."""
        self._forget()

    def _heard(self, change: Change) -> None:
        if change == EVERYTHING or change.account == 0:
            ears = [ear for each in self._ears.values() for ear in each]
        else:
            ears = list(self._ears.get(change.account, ()))
        for ear in ears:
            ear.stale = True
            ear.nudge()

    def listen(self, accounts: frozenset[AccountId], ear: Ear) -> None:
        """To these from now on. Of those that are new something may have been missed."""
        for account in ear.accounts - accounts:
            known = self._ears[account]
            known.discard(ear)
            if not known:
                del self._ears[account]
        for account in accounts - ear.accounts:
            self._ears.setdefault(account, set()).add(ear)
            ear.stale = True
        ear.accounts = accounts

    def leave(self, ear: Ear) -> None:
        """No more."""
        self.listen(frozenset(), ear)

    def names(self, types: frozenset[str] | None) -> frozenset[str]:
        """Those of these types that there are; None: all."""
        known = frozenset(each.name for each in self._types)
        return known if types is None else known & types

    async def stands(self, principal: Principal) -> bool:
        """Do the credentials still stand? While the store cannot say, yes."""
        try:
            return await self._current(principal)
        except MailError:
            return True

    async def states(self, principal: Principal, types: frozenset[str]) -> States:
        """As of now. Errors: MailError."""
        found: States = {}
        for key, account in (await self._accounts(principal)).items():
            if not account.shown:
                continue
            found[key] = {
                each.name: await each.state(self._services, account)
                for each in self._types
                if each.name in types and each.capability in account.capabilities
            }
        return found


def accounts_of(states: States) -> frozenset[AccountId]:
    """The accounts whose states these are."""
    return frozenset(AccountId(n) for key in states if (n := number_of(ACCOUNT_LETTER, key)) is not None)


def changed(now: States, told: States) -> States:
    """What of ``now`` was not told yet: ``changed`` of a StateChange."""
    found = {
        key: {name: state for name, state in states.items() if told.get(key, {}).get(name) != state}
        for key, states in now.items()
    }
    return {key: states for key, states in found.items() if states}


def state_change(states: States, push_state: str = "") -> bytes:
    """A StateChange object; ``push_state`` is what a WebSocket adds."""
    told: dict[str, object] = {"@type": "StateChange", "changed": states}
    if push_state:
        told["pushState"] = push_state
    return msgspec.json.encode(told)


def packed(states: States) -> str:
    """All that was told, as a text that a client gives back to hear what it missed; TOO_MUCH where it is."""
    text = base64.urlsafe_b64encode(msgspec.json.encode(states)).rstrip(b"=").decode("ascii")
    return text if len(text) <= MAX_TOLD else TOO_MUCH


def unpacked(text: str) -> States | None:
    """None where it is none of ours."""
    if not text or len(text) > MAX_TOLD or not text.isascii():
        return None
    try:
        return _decoder.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return None


@dataclass(slots=True)
class Following:
    """What one connection follows, and what it was told."""

    hub: Hub
    principal: Principal
    types: frozenset[str]
    told: States = field(default_factory=dict)
    lent: frozenset[AccountId] = frozenset()
    """Accounts of others, as of the last news."""

    @property
    def accounts(self) -> frozenset[AccountId]:
        """Whose changes are news."""
        return self.lent | {self.principal.account}

    async def news(self) -> States:
        """What is to be told now, which is then taken as told. Errors: MailError."""
        now = await self.hub.states(self.principal, self.types)
        found = changed(now, self.told)
        self.told = now
        self.lent = accounts_of(now) - {self.principal.account}
        return found
