"""Sign what leaves here in our name (RFC 6376 section 5): submitted mails and our own notices.

The signature is made of the octets that go out, after all conversion for the next server, so that nothing
between the store and the wire can break it; ``d=`` is the author's domain, or the nearest one above it that
has keys here. A mail that others sent and an alias hands on is never signed: its author is not known to us.
It gets an ARC set instead (``sealing.py``). Keys are files of ``keys/dkim/DOMAIN`` (``keys/selectors.py``
says which of them sign); they are read again when the folder changes. A key that cannot be read is logged,
and the mail goes out without its signature (ADR 0024).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from a3mailer.config.tree import Settings
from a3mailer.keys import selectors
from a3mailer.mail.ids import SYSTEM_ACCOUNT
from a3mailer.mail.message import headers
from a3mailer.msgauth import fields
from a3mailer.msgauth.author import author
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.sign import SigningKey, load_key, sign
from a3mailer.store.rows import QueueEntry
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.forwarding.sealing import sealed
from a3mailer.transfer.lists.mail import author_of
from a3mailer.transfer.lists.tokens import is_from_list

Sign = Callable[[bytes], Awaitable[bytes]]
"""The octets that are to leave -> the same with signatures on top."""

Personal = Callable[[bytes, str, int], tuple[bytes, str]]
"""A mail of a list, its reverse-path, when it was queued -> the mail for one member, the list's domain."""

DOMAINS: Final = 10_000
"""Domains whose keys are kept in memory."""


class _Kept(NamedTuple):
    """The keys of one folder, and when it had changed last."""

    changed: int
    keys: tuple[SigningKey, ...]


class Signing:
    """The keys of this server. One object a process; its files are read in threads."""

    __slots__ = ("_folder", "_hostname", "_kept", "_on", "_personal", "_sealer", "_seals")

    def __init__(self, folder: Path, settings: Settings, personal: Personal | None = None) -> None:
        self._personal = personal
        self._folder = folder
        self._kept: dict[str, _Kept] = {}
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        judged = settings.server.profile != "plain"
        self._on = settings.dkim.sign and judged
        self._seals = settings.forward.arc and judged
        self._sealer = (settings.forward.srs_domain or settings.server.domain).lower()
        self._hostname = settings.server.hostname

    def of(self, entry: QueueEntry) -> Sign | None:
        """How to sign this mail; a stranger's is sealed, None where nothing is to be added.

        The time it says is when the mail was queued: another attempt sends the same octets, so that whoever
        has them already can know them (ADR 0010).
        A notice of ours is what nobody submitted and no server brought: it has no hop yet. A mail of a list
        is known by its trace id, which nobody else can choose."""
        if self._personal is not None and is_from_list(entry.trace):
            return partial(self._listed, entry.reverse_path, entry.created)
        if entry.account != SYSTEM_ACCOUNT or not (entry.reverse_path or entry.hops):
            return partial(self._signed, entry.created) if self._on else None
        return partial(self._sealed, entry.created) if self._seals else None

    def signs(self, domain: str) -> bool:
        """Whether a notice of ours from this domain leaves with a signature."""
        return self._on and bool(self.keys(domain))

    async def _listed(self, path: str, now: int, octets: bytes) -> bytes:
        return await asyncio.to_thread(self.list_mail, octets, path, now)

    def list_mail(self, octets: bytes, path: str, now: int) -> bytes:
        """What one member gets: signed by the list, and by its author's domain where that is ours."""
        assert self._personal is not None
        octets, domain = self._personal(octets, path, now)
        if self._on:
            of = author_of(octets, self._hostname)
            own = self.keys(of.address.rpartition("@")[2]) if of.proved else ()
            octets = self._with(octets, tuple(dict.fromkeys((*self.keys(domain), *own))), now)
        return self.seal(octets, now) if self._seals else octets

    async def _sealed(self, now: int, octets: bytes) -> bytes:
        return await asyncio.to_thread(self.seal, octets, now)

    def seal(self, octets: bytes, now: int) -> bytes:
        """A stranger's mail with an ARC set of ours on top, where it was judged when it came."""
        return sealed(octets, self._hostname, self.keys(self._sealer), now)

    async def _signed(self, now: int, octets: bytes) -> bytes:
        return await asyncio.to_thread(self.sign, octets, now)

    def sign(self, octets: bytes, now: int) -> bytes:
        """The mail with one signature a key on top; some milliseconds of CPU."""
        end = headers.header_end(octets, 0, len(octets))
        return self._with(octets, self.keys(author(octets[:end]).domain), now)

    def _with(self, octets: bytes, keys: tuple[SigningKey, ...], now: int) -> bytes:
        header = fields.read(octets)
        made = sign(header, Bodies(octets, header.body), keys, now) if keys else b""
        if made:
            count("a3_dkim_signed_total")
        return made + octets

    def keys(self, domain: str) -> tuple[SigningKey, ...]:
        """Those of the domain, else of the nearest domain above it that has any."""
        while "." in domain:
            found = self._keys(domain)
            if found:
                return found
            domain = domain.partition(".")[2]
        return ()

    def _keys(self, domain: str) -> tuple[SigningKey, ...]:
        folder = self._folder / domain
        try:
            changed = folder.stat().st_mtime_ns
        except OSError:
            return ()
        kept = self._kept.get(domain)
        if kept is None or kept.changed != changed:
            if len(self._kept) >= DOMAINS:
                self._kept.clear()
            kept = self._kept[domain] = _Kept(changed, _load(folder, domain))
        return kept.keys


def _load(folder: Path, domain: str) -> tuple[SigningKey, ...]:
    keys: list[SigningKey] = []
    try:
        found = selectors.signing(folder)
    except (OSError, selectors.BadStates) as error:
        emit("dkim.states.unreadable", level="error", domain=domain, error=str(error))
        return ()
    for path in found:
        try:
            keys.append(load_key(domain, path.stem, path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            emit("dkim.key.unreadable", level="error", domain=domain, selector=path.stem, error=str(error))
    return tuple(keys)
