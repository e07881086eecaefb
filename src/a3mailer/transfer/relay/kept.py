"""Sessions that wait a moment for the next mail, and what lets a later one begin its TLS sooner.

A ticket (RFC 8446 section 2.2) spares both sides the certificate. It is kept only where nobody's
certificate is compared with anything: what was demanded of a session is proven anew by each that demands it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from a3mailer.mail.tls import TlsLevel, TlsPlan
from a3mailer.runtime.clock import Clock
from a3mailer.transfer.relay.destinations.mx import Host
from a3mailer.transfer.relay.session import Session, TlsTicket
from a3mailer.transfer.relay.tls_policy import Demand
from a3mailer.transfer.relay.ways import Way

MAILS_A_SESSION: Final = 100
IDLE_SECONDS: Final = 5.0
"""A session waits so long for the next mail."""
IDLE_SESSIONS: Final = 50
"""Idle sessions kept in all."""
TICKETS: Final = 1000
"""Hosts whose last ticket is kept; the oldest goes first."""
UNPROVEN: Final = (TlsLevel.MAY, TlsLevel.MUST)
"""Demands that compare no certificate."""


@dataclass(frozen=True, slots=True)
class _Idle:
    host: Host
    way: Way
    session: Session


class KeptSessions:
    """One object a relay."""

    __slots__ = ("_clock", "_idle", "_retired", "_tickets")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._idle: list[_Idle] = []
        self._retired = False
        self._tickets: OrderedDict[Host, TlsTicket] = OrderedDict()

    def take(self, host: Host, way: Way, demand: Demand) -> Session | None:
        """An idle session with this host that is still fresh, by this way, and as secure as is demanded."""
        self.sweep()
        for at in range(len(self._idle) - 1, -1, -1):
            each = self._idle[at]
            same = each.host is host or each.host == host
            if same and (each.way is way or each.way == way) and each.session.plan in demand.plans:
                return self._idle.pop(at).session
        return None

    async def keep(self, host: Host, way: Way, session: Session) -> None:
        """Keep it for the next mail, or end it where it is spent."""
        ticket = session.ticket
        if ticket is not None and session.plan.level in UNPROVEN:
            self._tickets[host] = ticket
            self._tickets.move_to_end(host)
            if len(self._tickets) > TICKETS:
                self._tickets.popitem(last=False)
        full = self._retired or len(self._idle) >= IDLE_SESSIONS
        if full or session.spent or session.mails >= MAILS_A_SESSION:
            await session.quit()
        else:
            self._idle.append(_Idle(host, way, session))

    def ticket(self, host: Host, plan: TlsPlan) -> TlsTicket:
        """What a new session may begin with, once: who uses it twice can be recognised (RFC 8446 C.4)."""
        return self._tickets.pop(host, None) if plan.level in UNPROVEN else None

    def sweep(self) -> None:
        """Leave sessions that have been idle too long; the queue's loop calls it, too."""
        over = self._clock.monotonic() - IDLE_SECONDS
        if not self._idle or self._idle[0].session.idle_since > over:  # the first has been idle longest
            return
        for each in self._idle:
            if each.session.idle_since <= over:
                each.session.leave()
        self._idle = [each for each in self._idle if not each.session.closed]

    def __len__(self) -> int:
        """How many sessions wait for a mail."""
        return len(self._idle)

    def retire(self) -> None:
        """Another relay takes over: sessions end with the mail they have in hand."""
        self._retired = True
        for each in self._idle:
            each.session.leave()
        self._idle.clear()

    async def close(self) -> None:
        """End all idle sessions politely."""
        while self._idle:
            await self._idle.pop().session.quit()
