"""What is said of the signatures of emails (RFC 9219): found out when somebody asks, and remembered.

The structure of a mail says whether it is signed; only for one that is are octets read, one mail at a time,
and looked at on a thread (``msgauth.smime``). What was found out is kept with the email: now for a day, or
until other authorities are believed; at delivery for ever where it was good (ADR 0047). An email of which
clients would now be told otherwise becomes a changed one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.mail.errors import DamagedContent, NoSuchMessage
from a3mailer.mail.ids import AccountId
from a3mailer.mail.message import MessageIndex
from a3mailer.msgauth.author import authors
from a3mailer.msgauth.smime import Judgement, Kind, judged, kind_of, opened
from a3mailer.msgauth.smime_chain import Trust, trust_of
from a3mailer.runtime.clock import Clock
from a3mailer.store.email_operations import MAX_SIGNATURE, RememberSignature
from a3mailer.store.ports import Store, Transaction
from a3mailer.store.rows import Fragments
from a3mailer.telemetry.events import emit

FRESH_SECONDS: Final = 86_400
"""How long what was found out counts as now (section 4.1)."""
MAX_ERROR: Final = 200
"""Characters of one error that are remembered."""
VERIFIED: Final = "signed/verified"
FAILED: Final = "signed/failed"
_ATTEMPTED: Final = frozenset((VERIFIED, FAILED))


class Signature(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered. ``name`` and ``then_name`` are those of the Trust it was judged by."""

    status: str | None
    errors: tuple[str, ...] = ()
    status_then: str | None = None
    """At delivery."""
    verified: int = 0
    """When it was last looked at."""
    name: str = ""
    name_then: str = ""

    @property
    def verified_at(self) -> int | None:
        """None: nobody tried, or there is nothing to verify."""
        return self.verified if self.status in _ATTEMPTED or self.status_then in _ATTEMPTED else None


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
        key, paths = await asyncio.to_thread(self._look, wanted.smime_authorities, wanted.smime_revoked)
        if key != self._known[0]:
            self._known = key, await asyncio.to_thread(_read, *paths)
        return self._known[1]

    def _look(self, authorities: str, revoked: str) -> tuple[object, tuple[Path | None, Path | None]]:
        first = self._directory / (authorities or self._system) if authorities or self._system else None
        second = self._directory / revoked if revoked else None
        return tuple((path, _stamp(path)) for path in (first, second)), (first, second)


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


class Found(NamedTuple):
    """Of one look at the octets."""

    now: Judgement
    then: Judgement


class Signatures:
    """The use case; one a worker."""

    __slots__ = ("_clock", "_store", "_trust")

    def __init__(self, store: Store, clock: Clock, trust: Authorities) -> None:
        self._store = store
        self._clock = clock
        self._trust = trust

    async def is_signed(self, account: AccountId, row: Fragments, received: int) -> bool:
        """Whether its status is anything at all; only of CMS are octets read."""
        kind = kind_of(MessageIndex.unpack(row.index).parts)
        if kind is not Kind.OPAQUE:
            return kind is not Kind.NONE
        return (await self.of(account, row, received)).status is not None

    async def of(self, account: AccountId, row: Fragments, received: int) -> Signature:
        """What to tell of an email that was received at this second."""
        index = MessageIndex.unpack(row.index)
        kind = kind_of(index.parts)
        if kind in (Kind.NONE, Kind.OTHER):
            return NOTHING if kind is Kind.NONE else OTHER
        trust = await self._trust()
        before = _remembered(row.smime)
        if before is not None and self._is_good(before, trust):
            return before
        try:
            octets = await self._store.octets(account, row.blob)
        except (DamagedContent, NoSuchMessage):
            return before or UNREAD
        now = int(self._clock.now())
        found = await asyncio.to_thread(_look, octets, index, trust, now, received)
        made = _after(before, found, trust, now)
        told = before is not None and (before.status, before.status_then) != (made.status, made.status_then)
        await self._keep(account, row, made, told)
        return made

    def _is_good(self, before: Signature, trust: Trust) -> bool:
        """Whether what is remembered can be told; times that are in the future cannot."""
        if before.status not in _ATTEMPTED:
            return True
        if before.name != trust.name or (before.status_then == FAILED and before.name_then != trust.name):
            return False
        return 0 <= self._clock.now() - before.verified < FRESH_SECONDS

    async def _keep(self, account: AccountId, row: Fragments, made: Signature, told: bool) -> None:
        value = msgspec.msgpack.encode(made)
        while len(value) > MAX_SIGNATURE:
            made = msgspec.structs.replace(made, errors=made.errors[:-1])
            value = msgspec.msgpack.encode(made)
        try:
            await self._store.commit(Transaction((RememberSignature(account, row.email, value, told),)))
        except NoSuchMessage:
            return


def _remembered(value: bytes) -> Signature | None:
    try:
        return msgspec.msgpack.decode(value, type=Signature) if value else None
    except (msgspec.DecodeError, ValueError):
        return None


def _look(octets: bytes, index: MessageIndex, trust: Trust, now: int, received: int) -> Found:
    """On a thread."""
    mail = opened(octets, index.parts)
    names = authors(octets[: index.header_end])
    at_now, at_then = (datetime.fromtimestamp(seconds, UTC) for seconds in (now, received))
    return Found(judged(mail, names, trust, at_now), judged(mail, names, trust, at_then))


def _after(before: Signature | None, found: Found, trust: Trust, now: int) -> Signature:
    """What was good at delivery stays so, whoever is believed now (section 4.1)."""
    then, name = found.then.status, trust.name
    if before is not None and before.status_then == VERIFIED:
        then, name = VERIFIED, before.name_then
    errors = tuple(each[:MAX_ERROR] for each in found.now.errors)
    return Signature(found.now.status, errors, then, now, trust.name, name)
