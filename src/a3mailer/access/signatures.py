"""What is said of the signatures of emails (RFC 9219): found out when somebody asks, and remembered.

The structure of a mail says whether it is signed; only for one that is are octets read, one mail at a time,
and looked at on a thread (``msgauth.smime``). What was found out is kept with the email: now for a day, or
until other authorities are believed; at delivery for ever where it was good (ADR 0047). An email of which
clients would now be told otherwise becomes a changed one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from a3mailer.access.indexes import index_of
from a3mailer.access.labour import Labour
from a3mailer.config.tree import Settings
from a3mailer.mail.errors import DamagedContent, NoSuchMessage
from a3mailer.mail.ids import AccountId
from a3mailer.mail.message import MessageIndex
from a3mailer.msgauth.author import authors
from a3mailer.msgauth.smime import Kind, judged, kind_of, opened
from a3mailer.msgauth.smime_chain import Trust, trust_of
from a3mailer.runtime.clock import Clock
from a3mailer.store.email_operations import RememberSignature
from a3mailer.store.ports import Store, Transaction
from a3mailer.store.rows import Fragments
from a3mailer.telemetry.events import emit

FRESH_SECONDS: Final = 86_400
"""How long what was found out counts as now (section 4.1)."""
VERIFIED: Final = "signed/verified"
FAILED: Final = "signed/failed"
_ATTEMPTED: Final = frozenset((VERIFIED, FAILED))


class Signature(msgspec.Struct, frozen=True, array_like=True):
    """What is told, and remembered."""

    status: str | None
    errors: tuple[str, ...] = ()
    status_then: str | None = None
    """At delivery."""
    verified: int = 0
    """When it was last looked at."""
    name: str = ""
    """Of the Trust it was judged by."""

    @property
    def verified_at(self) -> int | None:
        """None: nobody tried, or there is nothing to verify."""
        return self.verified if self.status in _ATTEMPTED else None

    @property
    def said(self) -> tuple[object, ...]:
        """What makes the email a changed one where it changes (section 4.3)."""
        return self.status, self.errors, self.status_then


NOTHING: Final = Signature(None)
OTHER: Final = Signature("unknown", (), "unknown")
UNREAD: Final = Signature("signed", (), "signed")
"""The octets of the mail are damaged."""


class Authorities:
    """Whose word counts, read from the operator's files anew when they change; ``system`` is the file of the
    system's authorities."""

    __slots__ = ("_directory", "_known", "_settings", "_system")

    def __init__(self, directory: Path, settings: Callable[[], Settings], system: str = "") -> None:
        self._system = system
        self._directory = directory
        self._settings = settings
        self._known: tuple[object, Trust] = (None, Trust())

    async def __call__(self) -> Trust:
        """Never an error: files that cannot be used are told of, and nobody is believed."""
        wanted = self._settings().msgauth
        authorities, revoked = wanted.smime_authorities or self._system, wanted.smime_revoked
        paths = [self._directory / name if name else None for name in (authorities, revoked)]
        key = [(path, await asyncio.to_thread(_stamp, path)) for path in paths]
        if key != self._known[0]:
            self._known = key, await asyncio.to_thread(_read, *paths)
        return self._known[1]


def _stamp(path: Path | None) -> tuple[int, int]:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return -1, -1
    return (found.st_mtime_ns, found.st_size) if found is not None else (0, 0)


def _read(authorities: Path | None, revoked: Path | None) -> Trust:
    try:
        first = authorities.read_bytes() if authorities is not None else b""
        return trust_of(first, revoked.read_bytes() if revoked is not None else b"")
    except (OSError, ValueError) as error:
        emit("smime.authorities.unusable", level="error", file=str(authorities), error=str(error))
        return Trust()


class Signatures:
    """The use case; one a worker."""

    __slots__ = ("_clock", "_store", "_trust")

    def __init__(self, store: Store, clock: Clock, trust: Authorities) -> None:
        self._store = store
        self._clock = clock
        self._trust = trust

    async def asked(self, labour: Labour) -> Looking:
        """For one question, of any number of emails."""
        return Looking(self._store, self._clock, await self._trust(), labour)


@dataclass(frozen=True, slots=True)
class Looking:
    """One question. Errors: TooCostly."""

    store: Store
    clock: Clock
    trust: Trust
    labour: Labour

    async def is_signed(self, account: AccountId, row: Fragments, received: int) -> bool:
        """Whether its status is anything at all; only of CMS are octets read."""
        with suppress(DamagedContent, NoSuchMessage):
            kind = kind_of((await index_of(self.store, account, row)).parts)
            if kind is not Kind.OPAQUE:
                return kind is not Kind.NONE
        return (await self.of(account, row, received)).status is not None

    async def of(self, account: AccountId, row: Fragments, received: int) -> Signature:
        """What to tell of an email that was received at this second."""
        try:
            index = await index_of(self.store, account, row)
        except (DamagedContent, NoSuchMessage):
            return _remembered(row.smime) or UNREAD
        kind = kind_of(index.parts)
        if kind in (Kind.NONE, Kind.OTHER):
            return NOTHING if kind is Kind.NONE else OTHER
        before = _remembered(row.smime)
        if before is not None and self._is_good(before):
            return before
        try:
            octets = await self.store.octets(account, row.blob)
        except (DamagedContent, NoSuchMessage):
            return before or UNREAD
        now = int(self.clock.now())
        made = await self.labour.apart(partial(_look, octets, index, self.trust, now, received))
        if before is not None and before.status_then == VERIFIED:  # whoever is believed now (section 4.1)
            made = msgspec.structs.replace(made, status_then=VERIFIED)
        told = before is not None and before.said != made.said
        keep = RememberSignature(account, row.email, msgspec.msgpack.encode(made), told)
        with suppress(NoSuchMessage):
            await self.store.commit(Transaction((keep,)))
        return made

    def _is_good(self, before: Signature) -> bool:
        """Whether what is remembered can be told; times that are in the future cannot."""
        if before.status not in _ATTEMPTED:
            return True
        return before.name == self.trust.name and 0 <= self.clock.now() - before.verified < FRESH_SECONDS


def _remembered(value: bytes) -> Signature | None:
    try:
        return msgspec.msgpack.decode(value, type=Signature) if value else None
    except (msgspec.DecodeError, ValueError):
        return None


def _look(octets: bytes, index: MessageIndex, trust: Trust, now: int, received: int) -> Signature:
    """On a thread."""
    mail = opened(octets, index.parts)
    names = authors(octets[: index.header_end])
    at_now, at_then = (
        judged(mail, names, trust, datetime.fromtimestamp(seconds, UTC)) for seconds in (now, received)
    )
    return Signature(at_now.status, at_now.errors, at_then.status, now, trust.name)
