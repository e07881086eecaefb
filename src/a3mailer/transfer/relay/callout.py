"""Ask the next server of a relayed domain about recipients, without a mail (RFC 5321 section 3.3).

EHLO, STARTTLS as for the domain's mail, MAIL, RCPT, RSET, QUIT: one short session a question. What was asked
of it before is not known here (``verify.py``).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.identity.relaying import Relaying
from a3mailer.mail.address import NULL_PATH, Address, ReversePath
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.resolver import Resolver
from a3mailer.transfer.relay.destinations.mx import (
    Host,
    NoRoute,
    Ourselves,
    addresses_of,
    anywhere,
    hosts_of,
    reach_of,
)
from a3mailer.transfer.relay.relay import ourselves
from a3mailer.transfer.relay.session import (
    CONNECT_SECONDS,
    Dialer,
    Manners,
    Session,
    SessionFailed,
    TlsContext,
)
from a3mailer.transfer.relay.tls_policy import Demand, TlsPolicy, parse_rules
from a3mailer.transfer.relay.ways import way_onward
from a3mailer.wire.smtp.client import Outcome
from a3mailer.wire.smtp.remote import RemoteReply, ours

LOCAL_PART: Final = "postmaster"


class Unreachable(Exception):
    """Nobody could be asked; ``reply`` says why."""

    def __init__(self, reply: RemoteReply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Callout:
    """One object a process. Nothing is kept between two questions."""

    __slots__ = ("_chance", "_clock", "_context", "_dial", "_resolver", "_verifying")

    def __init__(
        self,
        resolver: Resolver,
        dial: Dialer,
        context: TlsContext,
        verifying: TlsContext,
        clock: Clock,
        chance: random.Random,
    ) -> None:
        """``context`` encrypts to whoever answers, ``verifying`` wants a certificate."""
        self._resolver = resolver
        self._dial = dial
        self._context = context
        self._verifying = verifying
        self._clock = clock
        self._chance = chance

    async def ask(
        self, settings: Settings, relaying: Relaying, people: Sequence[Address]
    ) -> tuple[Outcome, ...]:
        """What is said to each of these, all of one domain; fewer, where the session ends before.

        Errors: Unreachable."""
        sender = NULL_PATH
        if settings.policy.verify_sender == LOCAL_PART and settings.server.domain:
            sender = ReversePath(Address(LOCAL_PART, settings.server.domain))
        session = await self._open(settings, relaying, people[0].domain)
        said: list[Outcome] = []
        try:
            for address in people:
                if not session.closed:
                    said.append(await session.ask(sender, address))
        finally:
            session.leave()
        return tuple(said)

    async def _open(self, settings: Settings, relaying: Relaying, domain: str) -> Session:
        """A session with the first host that opens one. Errors: Unreachable."""
        us, port = ourselves(settings), settings.queue.smtp_port
        way = way_onward(relaying, port)
        tls = TlsPolicy(parse_rules(settings.queue.tls_policy), None, self._resolver)
        manners = Manners(settings.server.hostname, self._context, verifying=self._verifying)
        reply = ours("4.4.1", "no host could be reached")
        try:
            hosts: Sequence[Host] = (way.host,) if way.host is not None else ()
            may_reach = anywhere if hosts else reach_of(settings)
            for host in hosts or await hosts_of(domain, self._resolver, us, port, self._chance):
                asked = await tls.demand(host.name if hosts else domain, smart_host=bool(hosts))
                demand = way.demand() or await tls.of(asked, host)
                try:
                    addresses = await addresses_of(host, self._resolver, may_reach)
                except NoRoute as error:  # of this host: the next one may have one
                    reply = ours(error.enhanced, error.text)
                    continue
                try:
                    return await self._open_host(host, addresses, demand, manners, us)
                except Unreachable as error:
                    reply = error.reply
        except NoRoute as error:
            reply = ours(error.enhanced, error.text)
        raise Unreachable(reply)

    async def _open_host(
        self, host: Host, addresses: Sequence[str], demand: Demand, manners: Manners, us: Ourselves
    ) -> Session:
        """Errors: Unreachable, NoRoute."""
        reply = demand.refusal or ours("4.4.1", f"{host.name} cannot be reached")
        for address in addresses:
            if us.is_ours(address, host.port):
                raise NoRoute("5.4.6", f"{host.name} is this server", permanent=True)
            for plan in demand.plans:
                try:
                    wire = await self._dial(address, host.port, CONNECT_SECONDS)
                    return await Session.open(wire, host.name, manners, plan, self._clock)
                except ConnectionError as error:
                    reply = ours("4.4.1", str(error))
                    break
                except SessionFailed as error:
                    reply = error.reply
                    if not error.in_tls:
                        break
        raise Unreachable(reply)
