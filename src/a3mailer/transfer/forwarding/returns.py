"""Mail that comes back to a reverse-path of its recipient's own (``verp.py``), read and handed on.

What a sink makes of it is committed with the receipt of the bounce, so it counts exactly once. The address
says who is meant, whatever the bounce says: only its codes are taken from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from a3mailer.mail.address import Address
from a3mailer.mail.errors import NoSuchAccount
from a3mailer.mail.ids import TenantId
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import Operation
from a3mailer.telemetry.events import emit, redact_address
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.forwarding.verp import BadVerp, Verp
from a3mailer.transfer.route import Returned
from a3mailer.wire.dsn.returned import LOOKED_AT, Failure, failures

NO_FAILURE: Final = "not_failed"


@dataclass(frozen=True, slots=True)
class Bounced:
    """A mail of ours that one recipient did not get."""

    stream: str
    """As it was given to ``Verp.encode``."""
    recipient: Address
    failure: Failure
    tenant: TenantId
    trace: str
    """Of the bounce."""
    now: int
    own: bool = False
    """A notice of this server says so: what the next server answered is known here already."""


class BounceSink(Protocol):
    """Whom bounces are for: lists, the send API, the list of addresses not to be sent to."""

    async def bounced(self, bounce: Bounced) -> tuple[Operation, ...]:
        """What it comes to; committed with the receipt of the bounce. Must not wait for the network."""
        ...


class Returns:
    """One object a process. ``sinks``: by the first word of a stream, ``list`` of ``list.42``; those of
    ``always`` hear of every bounce."""

    __slots__ = ("_always", "_clock", "_sinks", "_verp")

    def __init__(
        self,
        verp: Verp,
        clock: Clock,
        sinks: Mapping[str, BounceSink],
        always: tuple[BounceSink, ...] = (),
    ) -> None:
        self._always = always
        self._verp = verp
        self._clock = clock
        self._sinks = sinks

    def holds(self, address: Address) -> bool:
        """Is this the form of such a reverse-path?"""
        return self._verp.holds(address)

    def reverse_path(self, stream: str, recipient: Address, domain: str) -> Address | None:
        """What a mail to ``recipient`` is to be sent with; None when it would be too long.

        Errors: BadVerp (no name of a stream)."""
        return self._verp.encode(stream, recipient, domain, self._clock.now())

    def route(self, address: Address, tenant: TenantId) -> Returned:
        """Where mail to such an address leads. Errors: NoSuchAccount (forged, or older than some weeks)."""
        try:
            stream, recipient = self._verp.decode(address, self._clock.now())
        except BadVerp as error:
            count("a3_returns_total", "refused")
            raise NoSuchAccount(f"{address}: {error}") from error
        return Returned(stream, recipient, tenant)

    async def operations(
        self, routes: Iterable[Returned], octets: bytes, trace: str, *, own: bool = False
    ) -> tuple[Operation, ...]:
        """What one mail comes to that came back along these routes; ``own``: a notice of this server."""
        found, made = failures(octets[:LOOKED_AT]), list[Operation]()
        for route in routes:
            made += await self._heard(route, found, trace, own=own)
        return tuple(made)

    async def _heard(
        self, route: Returned, found: tuple[Failure, ...], trace: str, *, own: bool
    ) -> tuple[Operation, ...]:
        failure = next((f for f in found if f.recipient == str(route.recipient)), found[0] if found else None)
        kind = NO_FAILURE if failure is None else "permanent" if failure.permanent else "transient"
        count("a3_returns_total", kind)
        emit(
            "bounce.received",
            trace=trace,
            stream=route.stream,
            recipient=redact_address(str(route.recipient)),
            kind=kind,
            status="" if failure is None else failure.status,
        )
        sink = self._sinks.get(route.stream.partition(".")[0])
        sinks = self._always if sink is None else (*self._always, sink)
        if failure is None or not sinks:
            return ()
        bounce = Bounced(
            route.stream, route.recipient, failure, route.tenant, trace, int(self._clock.now()), own
        )
        made = list[Operation]()
        for each in sinks:
            made += await each.bounced(bounce)
        return tuple(made)
