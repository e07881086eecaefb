"""Wire the rooms together for one worker; the only place where a backend is named."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from a3mailer.access.account_mail import AllMail
from a3mailer.access.blobs import Blobs
from a3mailer.access.filing import Filing
from a3mailer.access.loans import Loans
from a3mailer.access.people import People
from a3mailer.access.pushes import Making
from a3mailer.access.rights import Rights
from a3mailer.access.scripts import Scripts as UserScripts
from a3mailer.access.sharing import Sharing
from a3mailer.access.signatures import Authorities, Signatures
from a3mailer.app.examining import examiner, hours
from a3mailer.app.held import Held
from a3mailer.app.listeners import PORTS, Port
from a3mailer.app.material import mock_key, policy_hook_key, srs_keys, vapid_key
from a3mailer.app.public import public
from a3mailer.app.reading import reading
from a3mailer.app.reporting import Reporting, daily, reporting
from a3mailer.app.verbs.office import Office
from a3mailer.app.verbs.server import gauge
from a3mailer.config.fields import BadValue
from a3mailer.config.routes import read_secret
from a3mailer.config.tree import Settings
from a3mailer.edge.certificates import ServerCertificates
from a3mailer.edge.challenges import AlpnChallenges
from a3mailer.edge.connection import Connection
from a3mailer.edge.dial import dial, dial_filter
from a3mailer.edge.http.api.authorise import Authorise
from a3mailer.edge.http.autoconfig import ClientSettings
from a3mailer.edge.http.collecting import Collecting
from a3mailer.edge.http.door import HttpDoor
from a3mailer.edge.http.health import Health
from a3mailer.edge.http.jmap.door import Jmap
from a3mailer.edge.http.jmap.pusher import Pusher
from a3mailer.edge.http.jmap.services import Services as JmapServices
from a3mailer.edge.http.leaving import Leaving
from a3mailer.edge.http.plain import Plain
from a3mailer.edge.http.routes import Routes
from a3mailer.edge.listener import Acceptor, Listener, Serve
from a3mailer.edge.lmtp.profile import LMTP
from a3mailer.edge.proxy import ProxyProtocol
from a3mailer.edge.smtp.profiles import MX, SUBMISSION, SUBMISSIONS, Profile
from a3mailer.edge.smtp.session import SmtpDoor
from a3mailer.edge.tls import opportunistic_context, verifying_context
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.credentials import HashPool
from a3mailer.identity.directory import Directory
from a3mailer.identity.relaying import Relaying
from a3mailer.mail.errors import MailError
from a3mailer.mail.ids import SYSTEM_ACCOUNT
from a3mailer.ops.acme.answers import Answers
from a3mailer.ops.acme.renewal import Renewal
from a3mailer.ops.audit import StoreAudit
from a3mailer.ops.domain_watch import DomainWatch
from a3mailer.ops.hooks import Hooks
from a3mailer.ops.housekeeping import Housekeeping
from a3mailer.ops.reports.read import read
from a3mailer.ops.reports.tls import posted
from a3mailer.runtime import dnssec
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.http import HttpClient
from a3mailer.runtime.resolver import Resolver, StubResolver
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.backends.sqlite.writer import identity_of_this, still_alive
from a3mailer.store.operations import PurgeVault
from a3mailer.store.ports import Store, Transaction
from a3mailer.telemetry.events import emit
from a3mailer.transfer.applications.sending import Sending
from a3mailer.transfer.applications.submitting import Submitting
from a3mailer.transfer.filtering import site
from a3mailer.transfer.filtering.events import Events as EventScripts
from a3mailer.transfer.filtering.filtering import Filtering
from a3mailer.transfer.filtering.hourly import Hourly
from a3mailer.transfer.forwarding.forward import Forwarding
from a3mailer.transfer.forwarding.returns import Returns
from a3mailer.transfer.forwarding.verp import Verp
from a3mailer.transfer.lists import tokens
from a3mailer.transfer.lists.lists import Lists
from a3mailer.transfer.policy.authenticate import Authenticate
from a3mailer.transfer.policy.checks.load import all_checks
from a3mailer.transfer.policy.header_rules import HeaderRules
from a3mailer.transfer.policy.judge import Judges
from a3mailer.transfer.policy.milter import Milters
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.policy.policy_hook import REST_SECONDS, AskAboutMail, PolicyHook
from a3mailer.transfer.policy.reports import ReportMails
from a3mailer.transfer.policy.scripts import Scripts
from a3mailer.transfer.policy.stages import Stages
from a3mailer.transfer.policy.verify import Verification
from a3mailer.transfer.queue.handing import Handing
from a3mailer.transfer.queue.queue import Queue
from a3mailer.transfer.quota import Quotas
from a3mailer.transfer.receive import Receive
from a3mailer.transfer.relay.callout import Callout
from a3mailer.transfer.relay.sts import StsPolicies
from a3mailer.transfer.relay.tls_outcomes import TlsOutcomes
from a3mailer.transfer.signing import Signing
from a3mailer.transfer.suppression import Suppressions
from a3mailer.wire.webpush.vapid import private_key

STS_FOLDER: Final = "cache/mta-sts"
"""Where the policies of other domains are kept, in the data directory."""
READY_SECONDS: Final = 5.0
"""How long the store may take to prove that it can be written."""
GATHERED: Final = ("lmtp", "smtp", "submission", "submissions")
"""Listeners whose sessions are gathered (ADR 0017). Those of IMAP stay for days and must lie evenly."""
DOOR_REFUSALS: Final[dict[str, bytes]] = {
    "lmtp": b"421 4.3.2 too many connections\r\n",
    "smtp": b"421 4.3.2 too many connections\r\n",
    "submission": b"421 4.3.2 too many connections\r\n",
    "imap": b"* BYE [UNAVAILABLE] too many connections\r\n",
    "pop3": b"-ERR [SYS/TEMP] too many connections\r\n",
    "managesieve": b'BYE (TRYLATER) "too many connections"\r\n',
}
"""What a connection over a limit is told, by listener; under implicit TLS nothing can be said."""


Background = Callable[[asyncio.Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Rooms:
    """What a worker runs."""

    store: Store
    listeners: tuple[Listener, ...]
    before: Callable[[Connection], Awaitable[None]]
    background: Mapping[str, Background]
    """Works that go on beside the connections, by name; each ends soon after the event is set."""
    sweeps: tuple[Callable[[], None], ...]
    watch_parked: Callable[[Acceptor], None]
    """Let changes wake the connections that an acceptor has parked."""
    reconfigure: Callable[[Settings], None]
    office: Callable[[], Office]
    """The surroundings of an administrator's verb."""
    close: Callable[[], Awaitable[None]]


async def compose(
    held: Held, number: int, settings: Callable[[], Settings], certificates: ServerCertificates
) -> Rooms:
    """Build the rooms of worker ``number``. ``settings`` gives the snapshot in force."""
    clock = SystemClock()
    store = await SqliteStore.open(
        held.directory, settings(), held.run_directory / "writer.sock", f"worker-{number}"
    )
    directory = Directory(store, settings())
    authenticator = Authenticator(
        store,
        settings(),
        clock,
        StoreAudit(store, clock),
        mock_key(held.directory),
        throttle=held.throttle,
        writer=store,
        verified=held.verified,
    )
    resolver = dnssec.resolver_of(settings().dns, clock)
    lists = Lists(store, directory, settings(), clock, srs_keys(held.directory))
    user_scripts = UserScripts(store, settings())
    http = _asking(held, resolver, clock, settings())
    reports = reporting(held, store, resolver, clock, settings, lists.personal, http=http)
    forwarding, policy, receive, asking, handing, filtering = _way_in(
        held, store, directory, resolver, settings(), clock, reports.authenticate, lists, user_scripts
    )
    spools = held.directory / "spool"
    tls, mail_tls = certificates.context, certificates.mail_context
    smtp = SmtpDoor(policy, receive, authenticator, settings, tls, spools, clock, mail_tls)
    runs = EventScripts(filtering, clock)
    readers = reading(
        held, store, directory, authenticator, settings(), clock, certificates, user_scripts, runs
    )
    queue = _way_out(held, store, policy, resolver, settings(), clock, reports, http, handing, filtering)
    sending = Sending(store, policy, receive, settings(), clock)
    submitting = Submitting(store, directory, policy, receive, settings(), clock)
    store.watch(directory.heard)
    store.watch(authenticator.heard)

    def reconfigure(new: Settings) -> None:
        for room in (
            *(directory, authenticator, forwarding, policy, receive, sending, queue, lists, readers),
            *(user_scripts, filtering, submitting),
        ):
            room.reconfigure(new)
        dnssec.reconfigure(resolver, new.dns)

    pool = HashPool()

    def office() -> Office:
        return Office(store, held.directory, settings(), clock, pool, held.overrides)

    async def close() -> None:
        readers.close()
        await reports.tallies.flush()
        await http.close()
        await asking.close()
        for room in (user_scripts, authenticator, pool, resolver):
            room.close()
        await store.close()

    web, jmap = _web(
        held,
        settings,
        policy,
        certificates,
        sending,
        submitting,
        store,
        directory,
        authenticator,
        http,
        office,
        lists,
        user_scripts,
        clock,
    )
    doors: dict[str, Serve] = {
        "lmtp": _smtp(smtp, LMTP),
        "smtp": _smtp(smtp, MX),
        "submission": _smtp(smtp, SUBMISSION),
        "submissions": _smtp(smtp, SUBMISSIONS),
        **readers.doors(),
        **web,
        "metrics": HttpDoor(
            Routes(Health(partial(_not_ready, store), partial(_gauge, store, clock)).routes())
        ).serve,
    }
    listeners = tuple(
        Listener(
            port.name,
            tuple(held.bound[port.name]),
            doors[port.name],
            DOOR_REFUSALS.get(port.name, b""),
            _implicit(port, certificates),
            readers.resume(port.name),
            limited=not port.private,
            special=AlpnChallenges(Answers(held.directory)) if port.name == "https" else None,
            gathered=port.name in GATHERED,
        )
        for port in PORTS
        if port.name in held.bound
    )
    background: dict[str, Background] = {
        "queue": queue.run,
        "recheck": readers.parked.recheck,
        "tallies": reports.tallies.run,
        "failure reports": reports.failures.run,
        "indicators": reports.indicators.run,
    }
    if number == 1:
        background |= _works_for_all(
            held, store, resolver, http, clock, settings, reports.signing, directory.relaying
        )
        background["pushes"] = Pusher(jmap.services, jmap.hub, http).run
    return Rooms(
        store,
        listeners,
        ProxyProtocol(settings),
        background,
        (*readers.sweeps(), certificates.sweep),
        readers.parked.watch,
        reconfigure,
        office,
        close,
    )


def _implicit(port: Port, certificates: ServerCertificates) -> ssl.SSLContext | None:
    """TLS from the first octet, and with what."""
    if port.tls != "implicit":
        return None
    return certificates.context if port.name == "https" else certificates.mail_context


def _works_for_all(
    held: Held,
    store: SqliteStore,
    resolver: StubResolver,
    http: HttpClient,
    clock: SystemClock,
    settings: Callable[[], Settings],
    signing: Signing,
    relaying: Callable[[str], Awaitable[Relaying | None]],
) -> dict[str, Background]:
    """What one worker of an instance does for all of them."""
    tls, dmarc = daily(store, resolver, http, clock, settings, signing)
    return {
        "housekeeping": Housekeeping(store, settings, clock, store, store).run,
        "quotas": Quotas(store, settings(), clock).run,
        "tls reports": tls.run,
        "dmarc reports": dmarc.run,
        "hooks": Hooks(store, http, clock).run,
        "certificates": Renewal(held.directory, store, resolver, http, clock, settings).run,
        "domains": DomainWatch(
            store,
            held.directory,
            resolver,
            clock,
            lambda: hours(settings()),
            examiner(held, resolver, http, settings, clock, relaying),
            random.SystemRandom(),
        ).run,
    }


def _asking(held: Held, resolver: Resolver, clock: SystemClock, settings: Settings) -> HttpClient:
    """The client by which everything out there but mail is asked."""
    context = verifying_context(held.directory, settings)
    return HttpClient(resolver, clock, context, inside=settings.web.inside)


def _way_out(
    held: Held,
    store: Store,
    policy: Policy,
    resolver: Resolver,
    settings: Settings,
    clock: SystemClock,
    reports: Reporting,
    http: HttpClient,
    handing: Handing,
    filtering: Filtering,
) -> Queue:
    """What works the queue off."""
    verifying = verifying_context(held.directory, settings)
    policies = StsPolicies(resolver, http, clock, held.directory / STS_FOLDER, settings.web.port)
    return Queue(
        store,
        policy,
        resolver,
        dial,
        opportunistic_context(),
        settings,
        clock,
        identity_of_this(),
        _is_dead,
        verifying,
        policies,
        reports.signing,
        held.paces,
        TlsOutcomes(reports.tallies, settings),
        partial(_secret, held.directory),
        handing,
        filtering,
    )


def _secret(directory: Path, name: str) -> str:
    """A password in a file of the data directory. Errors: ValueError."""
    try:
        return read_secret(directory, name)
    except BadValue as error:
        raise ValueError(str(error)) from error


def _way_in(
    held: Held,
    store: Store,
    directory: Directory,
    resolver: Resolver,
    settings: Settings,
    clock: SystemClock,
    authenticate: Authenticate,
    lists: Lists,
    user_scripts: UserScripts,
) -> tuple[Forwarding, Policy, Receive, HttpClient, Handing, Filtering]:
    """Who may send what to whom, and who takes responsibility for it."""
    secrets = srs_keys(held.directory)
    forwarding = Forwarding(directory, settings, clock, secrets)
    context = verifying_context(held.directory, settings)
    # the operator's own service may be anywhere, so also inside
    asking = HttpClient(resolver, clock, context, inside=True, rest_most=REST_SECONDS)
    hook = PolicyHook(asking, clock, partial(policy_hook_key, held.directory))
    scripts = Scripts(held.directory, settings, clock)
    checks = (*all_checks(), *hook.checks(), *scripts.checks())
    chance = random.SystemRandom()
    callout = Callout(resolver, dial, opportunistic_context(), context, clock, chance)
    late = Verification(callout, directory.relaying, held.recipients, clock, chance).checks()
    stages = Stages(checks, resolver, clock, held.rates, held.greylist, settings, late)
    suppressions, quotas = Suppressions(store, settings, clock), Quotas(store, settings, clock)
    returns = Returns(Verp(secrets), clock, {tokens.STREAM: lists}, (suppressions,))
    policy = Policy(store, directory, settings, forwarding, stages, returns, suppressions, quotas, lists)
    milters = Milters(dial_filter, policy.lead, settings)
    stages.filters = milters.follow
    judges = Judges(
        {
            "authenticate": authenticate,
            "reports": ReportMails(read, store, directory, settings, clock),
            "policy hook": AskAboutMail(hook, settings),
            "milters": milters,
            "scripts": scripts,
            "header rules": HeaderRules(settings),
        }
    )
    handing = Handing(store, clock, identity_of_this())
    counts = Hourly(held.rates, clock, settings)
    of_site = partial(site.compiled, held.directory)
    rights = Rights(store, directory)
    store.watch(rights.heard)
    filing = Filing(store, rights)
    filtering = Filtering(user_scripts, store, directory, settings, counts, forwarding, of_site, filing)
    lists.filters = filtering.wants
    receive = Receive(
        store, directory, settings, clock, judges, forwarding, returns, lists, handing, filtering
    )
    return forwarding, policy, receive, asking, handing, filtering


def _is_dead(owner: str) -> bool:
    """Has the process behind a queue lease ended? One data directory has one machine (``app/lock.py``).

    A process that nobody has waited for yet has ended too."""
    return not still_alive(owner)


def _clients(
    held: Held, settings: Callable[[], Settings], policy: Policy, certificates: ServerCertificates
) -> ClientSettings:
    ports = {name: sockets[0].getsockname()[1] for name, sockets in held.bound.items()}
    return ClientSettings(settings, policy.hosts, ports, certificates.shown)


def _web(
    held: Held,
    settings: Callable[[], Settings],
    policy: Policy,
    certificates: ServerCertificates,
    sending: Sending,
    submitting: Submitting,
    store: Store,
    directory: Directory,
    authenticator: Authenticator,
    http: HttpClient,
    office: Callable[[], Office],
    lists: Lists,
    scripts: UserScripts,
    clock: SystemClock,
) -> tuple[dict[str, Serve], Jmap]:
    """The two listeners of HTTP, and the JMAP behind them.

    JMAP is spoken in clear to clients on loopback, where ``auth.plaintext`` says so."""
    clients = _clients(held, settings, policy, certificates)
    vapid, blobs = private_key(vapid_key(held.directory)), Blobs(store, clock)
    making = Making(http.permitted)
    rights = Rights(store, directory)
    store.watch(rights.heard)
    loans, sharing = Loans(store, rights, clock), Sharing(store, rights, clock)
    system = ssl.get_default_verify_paths().cafile or ""
    signatures = Signatures(store, clock, Authorities(held.directory, settings, system))
    people = People(store, rights, settings)
    services = JmapServices(
        store,
        clock,
        settings,
        blobs,
        AllMail(store),
        making,
        vapid,
        submitting,
        scripts,
        loans,
        signatures,
        people,
        sharing,
    )
    jmap = Jmap.of(services, authenticator.current)
    further = (
        *clients.routes(),
        *jmap.routes(),
        *Leaving(lists.leave_by).routes(),
        *Collecting(store, directory.domain, clock, posted).routes(),
    )
    plain = Plain(Answers(held.directory), settings)
    routes = (*plain.routes(), *clients.plain_routes())
    if settings().auth.plaintext:
        routes = (*routes, *jmap.routes())
    authorise = Authorise(authenticator, settings)
    return {
        "http": HttpDoor(Routes(routes), authorise=authorise, otherwise=plain.elsewhere).serve,
        "https": public(settings, policy, sending, store, authenticator, http, office, further).serve,
    }, jmap


def _smtp(door: SmtpDoor, profile: Profile) -> Serve:
    return lambda connection, trace: door.serve(connection, profile, trace)


async def _gauge(store: Store, clock: SystemClock) -> None:
    """Set what is looked up when somebody asks for the metrics; while the store is in trouble it stands."""
    try:
        await gauge(store, int(clock.now()))
    except MailError as error:
        emit("metrics.stale", level="warning", error=type(error).__name__)


async def _not_ready(store: Store) -> str:
    """Why mail cannot be served now; empty when it can. The commit changes nothing, but is a commit."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await store.account(SYSTEM_ACCOUNT)
            await store.commit(Transaction((PurgeVault(before=0, limit=0),)))
    except TimeoutError:
        return "the store does not answer"
    except MailError as error:
        return f"the store does not take mail: {error}"
    return ""
