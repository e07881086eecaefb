"""Addresses that nothing is sent to for a time: they do not exist, or whoever reads them complained.

Sending on to addresses that are refused for good costs a server its good name. After as many refusals as
``queue.suppress_after`` says, or when an operator wants it, submission refuses the address with the reason,
for ``queue.suppress_days``. Mail that is queued already goes its way. One document a tenant and address.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.mail.address import Address
from a3mailer.mail.answers import Answer
from a3mailer.mail.errors import Refused
from a3mailer.mail.ids import SYSTEM_ACCOUNT, TenantId
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import Operation, PutDocument, RemoveDocument
from a3mailer.store.ports import DocumentReader
from a3mailer.transfer.forwarding.returns import Bounced
from a3mailer.transfer.relay.answers import classify
from a3mailer.wire.smtp.remote import RemoteReply

KIND: Final = "suppression"
DAY: Final = 86_400
PAGE: Final = 1000
MAX_WORDS: Final = 300
"""Characters of the reason that are kept."""
REASONS: Final = ("no such user", "complaint", "manual")


class Suppression(msgspec.Struct, frozen=True):
    """What is known of an address."""

    reason: str
    """One of REASONS."""
    words: str = ""
    """What the other side said, or the operator."""
    strikes: int = 0
    """How many mails were refused as for nobody."""
    active: bool = False
    """Nothing is sent there; else it is being counted only."""


class Row(msgspec.Struct, frozen=True):
    """... with whose it is, and for how long."""

    tenant: TenantId
    address: str
    since: int
    until: int
    """0: for ever."""
    what: Suppression


class Suppressions:
    """One object a process."""

    __slots__ = ("_after", "_clock", "_days", "_reader")

    def __init__(self, reader: DocumentReader, settings: Settings, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._after = settings.queue.suppress_after
        self._days = settings.queue.suppress_days

    async def check(self, tenant: TenantId, address: Address) -> None:
        """Errors: Refused, with the reason, when nothing is sent there."""
        found = await self._reader.document(SYSTEM_ACCOUNT, KIND, key(tenant, str(address)))
        if found is None:
            return
        what = msgspec.json.decode(found.value, type=Suppression)
        if what.active:
            status = "5.1.1" if what.reason == REASONS[0] else "5.7.1"
            until = time.strftime(" before %Y-%m-%d", time.gmtime(found.expires)) if found.expires else ""
            said = f": {what.words}" if what.words else ""
            raise Refused(f"nothing is sent there{until} ({what.reason}{said})", status)

    async def strike(self, tenant: TenantId, address: str, words: str) -> tuple[Operation, ...]:
        """What a refusal for good, as for nobody, comes to: one operation, or none where nobody counts."""
        if not self._after:
            return ()
        found = await self._reader.document(SYSTEM_ACCOUNT, KIND, key(tenant, address))
        before = None if found is None else msgspec.json.decode(found.value, type=Suppression)
        if before is not None and before.active:
            return ()
        strikes = 1 if before is None else before.strikes + 1
        what = Suppression(REASONS[0], words[:MAX_WORDS], strikes, strikes >= self._after)
        return (suppress(tenant, address, what, int(self._clock.now()) + self._days * DAY),)

    async def bounced(self, bounce: Bounced) -> tuple[Operation, ...]:
        """A bounce that came from elsewhere (``returns.BounceSink``): the next server had taken the mail."""
        failure = bounce.failure
        reply = RemoteReply(550 if failure.permanent else 450, failure.status, failure.diagnostic)
        if bounce.own or classify(reply) is not Answer.NO_SUCH_USER:
            return ()
        return await self.strike(bounce.tenant, str(bounce.recipient), failure.diagnostic)

    def complaint(self, tenant: TenantId, address: str, words: str) -> tuple[Operation, ...]:
        """What the complaint of a reader comes to, once it is known to be his; none where nobody counts."""
        if not self._after:
            return ()
        what = Suppression(REASONS[1], words[:MAX_WORDS], active=True)
        return (suppress(tenant, address, what, int(self._clock.now()) + self._days * DAY),)


def suppress(tenant: TenantId, address: str, what: Suppression, until: int) -> Operation:
    """The act of putting an address on the list; ``until`` 0: for ever."""
    value = msgspec.json.encode(what).decode()
    return PutDocument(SYSTEM_ACCOUNT, KIND, key(tenant, address), value, expires=until)


def release(tenant: TenantId, address: str) -> Operation:
    """The act of taking it off. Errors of the store: NoSuchThing."""
    return RemoveDocument(SYSTEM_ACCOUNT, KIND, key(tenant, address))


def key(tenant: TenantId, address: str) -> str:
    """Spellings of an address that differ in case are one: whoever refuses one refuses the other."""
    return f"{tenant} {address.lower()}"


async def suppressions(reader: DocumentReader) -> AsyncIterator[Row]:
    """The whole list, by tenant and address."""
    after = ""
    while page := await reader.documents(SYSTEM_ACCOUNT, KIND, limit=PAGE, after=after):
        for each in page:
            tenant, _, address = each.name.partition(" ")
            what = msgspec.json.decode(each.value, type=Suppression)
            yield Row(TenantId(int(tenant)), address, each.created, each.expires, what)
        after = page[-1].name
