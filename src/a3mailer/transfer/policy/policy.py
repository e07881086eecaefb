"""Who may send what to whom: the staged checks of a mail transaction (RFC 5321 section 7, RFC 6409).

Each stage raises a ``mail.errors`` value, which the door translates; returning means: go on. A stranger
reaches our own addresses only (no relay, attack row 6); who has logged in reaches everyone, as himself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.identity.directory import Directory
from a3mailer.identity.relaying import Relaying, relaying_of
from a3mailer.mail.address import Address
from a3mailer.mail.envelope import Client, Envelope, Recipient
from a3mailer.mail.errors import (
    MailError,
    NoSuchAccount,
    NoSuchDomain,
    NotAllowed,
    OverQuota,
    TooLarge,
    TryLater,
)
from a3mailer.mail.ids import DEFAULT_TENANT, SYSTEM_ACCOUNT, AccountId, TenantId
from a3mailer.runtime.reach import is_public_domain
from a3mailer.store.operations import Operation
from a3mailer.store.ports import DirectoryReader
from a3mailer.store.rows import Account, QueueEntry
from a3mailer.transfer.forwarding.forward import Forwarding
from a3mailer.transfer.forwarding.returns import Returns
from a3mailer.transfer.lists.lists import Incoming, Lists
from a3mailer.transfer.policy.checks.harvest import missed
from a3mailer.transfer.policy.stages import UNCHECKED, Course, Stages
from a3mailer.transfer.quota import Quotas
from a3mailer.transfer.route import Listed, Local, Remote, Returned, Route, routes_of
from a3mailer.transfer.suppression import Suppressions
from a3mailer.transfer.work import Work

REMEMBERED: Final = 10_000
"""Forward-paths whose routes are kept; when full, they are learnt anew."""
ROUTING: Final = frozenset("@%!")
"""What leads on in a local part, for servers that follow it (RFC 5321 appendix F.2)."""
INSIDE: Final = "mail is not relayed into private networks or to names that are none"
"""Of literals and names that nobody of the public Internet has."""


class Policy:
    """The rules of CONNECT, MAIL and RCPT, and the checks of all stages (``course``).

    What looks at a whole mail comes at its end (``judge``)."""

    __slots__ = ("_directory", "_forwarding", "_generation", "_lists", "_quotas", "_reader", "_returns",
                 "_routes", "_settings", "_stages", "suppressions")  # fmt: skip

    def __init__(
        self,
        reader: DirectoryReader,
        directory: Directory,
        settings: Settings,
        forwarding: Forwarding | None = None,
        stages: Stages | None = None,
        returns: Returns | None = None,
        suppressions: Suppressions | None = None,
        quotas: Quotas | None = None,
        lists: Lists | None = None,
    ) -> None:
        """Without ``lists`` what is sent to a list waits in the queue."""
        self._forwarding = forwarding
        self._stages = stages
        self._returns = returns
        self._lists = lists
        self._quotas = quotas
        self.suppressions = suppressions
        """Addresses that nothing is sent to; None: there is no such list."""
        self._reader = reader
        self._directory = directory
        self._generation = -1
        self._routes: dict[Address, tuple[Route, ...]] = {}
        """Made of the directory's answers, and forgotten with them; only where no quota is to be asked."""
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._settings = settings
        if self.suppressions is not None:
            self.suppressions.reconfigure(settings)
        if self._quotas is not None:
            self._quotas.reconfigure(settings)
        if self._stages is not None:
            self._stages.reconfigure(settings)

    def course(self, client: Client, trace: str) -> Course:
        """The checks of a client's connection."""
        return UNCHECKED if self._stages is None else self._stages.course(client, trace)

    async def connect(self, client: Client) -> None:
        """A client has connected. Errors: NotAllowed when no answer could ever reach its address."""
        if client.ip and not _is_of_a_host(client.ip):  # no address: a Unix socket
            raise NotAllowed(f"{client.ip} is not the address of a host")

    def check_size(self, envelope: Envelope) -> None:
        """All that ``sender`` asks about a stranger's mail. Errors: TooLarge."""
        if envelope.size > self._settings.smtp.size:
            raise TooLarge(f"more than {self._settings.smtp.size} octets")

    async def sender(self, client: Client, envelope: Envelope) -> None:
        """MAIL. Errors: TooLarge; on submission NotAllowed unless the reverse-path is the account's own.

        The null reverse-path is everyone's: a disposition notification is sent with it (RFC 8098)."""
        self.check_size(envelope)
        if client.protocol == "submission":
            await self._submitter(client)
            address = envelope.reverse_path.address
            if address is not None and not await self._directory.owns(AccountId(client.account), address):
                raise NotAllowed("the sender address is not yours")

    async def recipient(self, client: Client, envelope: Envelope, recipient: Recipient) -> tuple[Route, ...]:
        """RCPT: where this forward-path leads.

        Errors: NotAllowed (relaying), Refused (nothing is sent there), NoSuchAccount, TooMany, OverQuota
        (every mailbox is full)."""
        if not envelope.reverse_path.is_null and self._leads_back(recipient.address):
            raise NotAllowed("this address takes bounces only")
        try:
            routes = await self._led(recipient.address, envelope)
        except NoSuchDomain:
            return (await self._relayed(client, recipient.address),)
        except NoSuchAccount:
            if self._stages is not None:
                missed(client, self._stages.doors)
            raise
        first = routes[0]
        if isinstance(first, Remote) and first.relayed and client.protocol != "submission":
            _check_unrouted(first.address)
        return routes

    async def _led(self, address: Address, envelope: Envelope) -> tuple[Route, ...]:
        routes = await self.lead(address)
        if isinstance(routes[0], Returned) and not envelope.reverse_path.is_null:
            raise NotAllowed("this address takes bounces only")
        return routes

    async def came_back(
        self, routes: Iterable[Route], octets: bytes, entry: QueueEntry
    ) -> tuple[Operation, ...]:
        """What a mail of the queue comes to that leads to these; nothing where none is a ``Returned``."""
        returned = {route for route in routes if isinstance(route, Returned)}
        if not returned or self._returns is None:
            return ()
        own = entry.account == SYSTEM_ACCOUNT
        return await self._returns.operations(returned, octets, entry.trace, own=own)

    async def to_list(self, route: Listed, mail: Incoming, work: Work) -> None:
        """What a mail to a list comes to goes into ``work``. Errors: those of ``Lists.take``, TryLater."""
        if self._lists is None:
            raise TryLater("lists are not served here")
        await self._lists.take(route, mail, work)

    async def is_ours(self, domain: str) -> bool:
        """Do we take mail for this domain from everybody?"""
        return await self._directory.domain(domain or self._settings.server.domain) is not None

    async def hosts(self, domain: str) -> bool:
        """Does mail for this domain end here?"""
        return await self._directory.hosts(domain)

    async def fronts(self, domain: str) -> bool:
        """Are we all MX that this domain has: it ends here, or goes on to a server that we know?"""
        relaying = await self._directory.relaying(domain)
        return await self.is_ours(domain) if relaying is None else bool(relaying.host)

    async def relaying(self, address: Address) -> Relaying | None:
        """To whom mail for this address goes on; None where it is to be led here first."""
        relaying = await self._directory.relaying(address.domain)
        if relaying is None:
            return None
        try:
            routes = await self.lead(address)
        except MailError:
            return None
        return relaying if routes == (Remote(address, routes[0].tenant, relayed=True),) else None

    async def login_of(self, account: AccountId) -> str:
        """The login of an account, in lower case; empty for none."""
        found = await self._reader.account(account) if account else None
        return "" if found is None else found.address.lower()

    async def lead(self, address: Address) -> tuple[Route, ...]:
        """Where an address of ours leads. Errors: NoSuchDomain (not ours), else those of ``recipient``."""
        if self._leads_back(address):
            return await self._lead_back(address)
        made_here = await self._made_here(address)
        if made_here is not None:
            return (made_here,)
        routes = self.known(address)
        return await self._look_up(address) if routes is None else routes

    async def _made_here(self, address: Address) -> Route | None:
        """Where an address leads that we made of others; None for none. Errors: NoSuchAccount (forged)."""
        make: Callable[[Address, TenantId], Route]
        if self._returns is not None and self._returns.holds(address):
            make = self._returns.route
        elif self._lists is not None and self._lists.confirm.holds(address):
            make = self._lists.wish
        else:
            return None
        domain = await self._directory.domain(address.domain)
        try:
            return None if domain is None else make(address, domain.tenant)
        except NoSuchAccount:
            if relaying_of(domain) is None:
                raise
            return None  # the next server may make such addresses, too

    def known(self, address: Address) -> tuple[Route, ...] | None:
        """What ``recipient`` says, whoever asks, where it is remembered and no quota stands before it."""
        if self._generation != self._directory.generation:
            self._routes.clear()
            self._generation = self._directory.generation
        return self._routes.get(address)

    def _leads_back(self, address: Address) -> bool:
        return self._forwarding is not None and self._forwarding.leads_back(address)

    async def _lead_back(self, address: Address) -> tuple[Route, ...]:
        """To whom a bounce to an SRS address of ours goes on; each one read makes the address shorter."""
        assert self._forwarding is not None
        origin = self._forwarding.origin(address)
        try:
            return await self.lead(origin)
        except NoSuchDomain:
            if not is_public_domain(origin.domain):
                raise NotAllowed(INSIDE) from None
            domain = await self._directory.domain(address.domain)
            return (Remote(origin, DEFAULT_TENANT if domain is None else domain.tenant),)

    async def _look_up(self, address: Address) -> tuple[Route, ...]:
        generation = self._directory.generation
        found = await self._directory.resolve(address)
        domain = await self._directory.domain(address.domain or self._settings.server.domain)
        routes = routes_of(found, DEFAULT_TENANT if domain is None else domain.tenant)
        first = routes[0]
        if isinstance(first, Local) and await self._reader.is_limited(first.account):
            await self._check_quota(routes)
        elif isinstance(first, Remote) and first.relayed:
            pass  # else strangers could fill the memory with what they like
        elif generation == self._generation == self._directory.generation:
            if len(self._routes) >= REMEMBERED:
                self._routes.clear()
            self._routes[address] = routes
        return routes

    async def _relayed(self, client: Client, address: Address) -> Remote:
        if client.protocol != "submission":
            raise NotAllowed("relaying denied")
        tenant = await self._submitter(client)
        if not address.domain:
            raise NoSuchDomain(str(address))
        if not is_public_domain(address.domain):
            raise NotAllowed(INSIDE)
        if self.suppressions is not None:
            await self.suppressions.check(tenant, address)
        return Remote(address, tenant)

    async def _submitter(self, client: Client) -> TenantId:
        tenant = await self._directory.submitter(AccountId(client.account)) if client.account else None
        if tenant is None:
            raise NotAllowed("authentication required")
        return tenant

    async def _check_quota(self, routes: tuple[Route, ...]) -> None:
        """A list keeps working while one of its members is full; that member gets the mail all the same."""
        full: OverQuota = OverQuota()
        for route in routes:
            if not isinstance(route, Local):
                return
            if not await self._reader.is_limited(route.account):
                return
            account = await self._reader.account(route.account)
            if account is None:
                continue
            try:
                await self._check_account(account)
            except OverQuota as error:
                full = error
            else:
                return
        raise full

    async def _check_account(self, account: Account) -> None:
        """Errors: OverQuota."""
        if self._quotas is not None:
            await self._quotas.check(account)
        elif account.quota and account.used_octets >= account.quota:
            raise OverQuota


def _check_unrouted(address: Address) -> None:
    """The next server of a relayed domain trusts us, and may lead mail on by what stands in a local part.

    Errors: NotAllowed."""
    if not ROUTING.isdisjoint(address.local_part):
        raise NotAllowed("relaying denied: the address leads on")


@lru_cache(REMEMBERED)
def _is_of_a_host(ip: str) -> bool:
    address = ipaddress.ip_address(ip.partition("%")[0])
    return not (address.is_multicast or address.is_unspecified)
