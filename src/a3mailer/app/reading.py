"""The doors behind which mail is read, and its scripts: IMAP, POP3 and ManageSieve of one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from a3mailer.access.events import Events, Runs
from a3mailer.access.rights import Rights
from a3mailer.access.scripts import Scripts
from a3mailer.access.watch import Views
from a3mailer.app.held import Held
from a3mailer.config.tree import Settings
from a3mailer.edge.certificates import ServerCertificates
from a3mailer.edge.http.jmap.door import WELL_KNOWN
from a3mailer.edge.http.lasting import recheck, resume
from a3mailer.edge.imap.door import ImapDoor
from a3mailer.edge.imap.services import Services
from a3mailer.edge.listener import Acceptor, Resume, Serve
from a3mailer.edge.managesieve.door import ManageSieveDoor
from a3mailer.edge.managesieve.services import Services as SieveServices
from a3mailer.edge.park import WHOLE
from a3mailer.edge.pop3.door import Pop3Door
from a3mailer.edge.pop3.services import Services as Pop3Services
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.directory import Directory
from a3mailer.mail.changes import ANNOTATIONS, EVERYTHING, RIGHTS, Change
from a3mailer.mail.ids import SYSTEM_ACCOUNT
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.leases import Leases
from a3mailer.runtime.rest import until
from a3mailer.runtime.spool import Spool
from a3mailer.store.ports import Store


class ParkedWatch:
    """Lets changes wake parked connections: of a mailbox those that watch it, of the directory those whose
    credentials are no longer good, and of rights those that have another's mailbox open."""

    def __init__(self, views: Views, imap: ImapDoor) -> None:
        self._views = views
        self._imap = imap
        self._acceptor: Acceptor | None = None
        self._directory = asyncio.Event()

    def watch(self, acceptor: Acceptor) -> None:
        """The worker's acceptor is there."""
        self._acceptor = acceptor
        self._views.parked = self._heard

    def _heard(self, change: Change) -> None:
        assert self._acceptor is not None
        if change == EVERYTHING:
            self._acceptor.parked.wake_all("change")
        elif change.account != SYSTEM_ACCOUNT:
            self._acceptor.parked.wake((change.account, change.mailbox))
            self._acceptor.parked.wake((change.account, WHOLE))
        elif not change.mailbox or change[:2] == RIGHTS:
            self._directory.set()
        elif change.mailbox == ANNOTATIONS:
            self._acceptor.parked.wake((change.account, change.mailbox))

    async def recheck(self, stop: asyncio.Event) -> None:
        """Works until ``stop``."""
        await until(stop, self._recheck())

    async def _recheck(self) -> None:
        while True:
            await self._directory.wait()
            self._directory.clear()
            if self._acceptor is not None:
                await self._imap.recheck(self._acceptor.parked)
                await recheck(self._acceptor.parked, self._imap.services.authenticator)


HTTPS: Final = 443
MANAGESIEVE: Final = 4190


@dataclass(frozen=True, slots=True)
class Reading:
    """What ``reading`` has wired."""

    views: Views
    imap: ImapDoor
    pop3: Pop3Door
    managesieve: ManageSieveDoor
    leases: Leases
    parked: ParkedWatch

    def doors(self) -> dict[str, Serve]:
        """By listener."""
        imap, pop3 = self.imap.serve, self.pop3.serve
        sieve = self.managesieve.serve
        return {"imap": imap, "imaps": imap, "pop3": pop3, "pop3s": pop3, "managesieve": sieve}

    def resume(self, listener: str) -> Resume | None:
        """For listeners whose sessions are parked."""
        if listener in {"http", "https"}:
            return resume
        return self.imap.resume if listener in {"imap", "imaps"} else None

    def sweeps(self) -> tuple[Callable[[], None], ...]:
        """Called once a second."""
        return self.imap.services.contents.sweep, self.views.sort_keys.sweep

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self.imap.services.settings = settings
        self.pop3.services.settings = settings
        self.managesieve.services.settings = settings

    def close(self) -> None:
        """The worker ends."""
        if self.imap.services.events is not None:
            self.imap.services.events.close()
        self.views.close()
        self.leases.close()


def reading(
    held: Held,
    store: Store,
    directory: Directory,
    authenticator: Authenticator,
    settings: Settings,
    clock: SystemClock,
    certificates: ServerCertificates,
    scripts: Scripts,
    runs: Runs,
) -> Reading:
    """Wire them. ``runs``: what lets scripts hear of what is done by IMAP."""
    views, tls = Views(store, store), certificates.mail_context
    spool = partial(Spool, held.directory / "spool")
    rights = Rights(store, directory)
    store.watch(rights.heard)
    services = Services(store, views, authenticator, settings, clock, spool, tls, rights=rights)
    services.jmap = _jmap(held, settings)
    services.events, services.imapsieve = Events(store, scripts, runs), _imapsieve(held, settings)
    imap = ImapDoor(services)
    leases = Leases(held.run_directory / "pop3.leases")
    logins = held.pop3_logins
    pop3 = Pop3Door(Pop3Services(store, views, authenticator, settings, clock, leases, logins, tls))
    sieve = ManageSieveDoor(SieveServices(scripts, authenticator, settings, clock, views, tls))
    return Reading(views, imap, pop3, sieve, leases, ParkedWatch(views, imap))


def _jmap(held: Held, settings: Settings) -> str:
    """Where the session of JMAP is; empty without a listener for it."""
    authority = _authority(held, settings, "https", HTTPS)
    return f"https://{authority}{WELL_KNOWN}" if authority else ""


def _imapsieve(held: Held, settings: Settings) -> str:
    """Where the scripts are kept; empty without a listener for ManageSieve."""
    authority = _authority(held, settings, "managesieve", MANAGESIEVE)
    return f"sieve://{authority}" if authority else ""


def _authority(held: Held, settings: Settings, listener: str, usual: int) -> str:
    """Host, and port where it is not the usual one; empty without such a listener."""
    sockets = held.bound.get(listener)
    if not sockets:
        return ""
    port = sockets[0].getsockname()[1]
    return settings.server.hostname if port == usual else f"{settings.server.hostname}:{port}"
