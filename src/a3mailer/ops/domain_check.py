"""Is what a domain needs in the DNS really there? One section a subject, in sentences a user can follow.

Pure but for the questions it asks through the Resolver door. A check that could not be made says so
(``Section.not_checked``) and is neither an error nor a pass.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from a3mailer.identity.relaying import BY_MX, parse_relaying
from a3mailer.mail.authresults import FAIL, PASS, PERMERROR, TEMPERROR
from a3mailer.msgauth import dmarc_record, domainkeys, mta_sts
from a3mailer.msgauth.mailto import mailbox
from a3mailer.ops.autoconfig import mozilla, pacc
from a3mailer.ops.autoconfig.services import offer
from a3mailer.ops.domain_records import Facts
from a3mailer.ops.record_state import (
    DIFFERENT,
    MISSING,
    PUBLISHED,
    UNKNOWN,
    RecordState,
    ask_spf,
    host_addresses,
    is_open,
    policy_of,
    senders,
)
from a3mailer.ops.reports.destinations import MOST_PLACES, destinations
from a3mailer.runtime.resolver import Resolver, ResolverFailure
from a3mailer.transfer.policy.checks import lists

SECTION_SECONDS: Final = 30.0
"""One section's time; over it, the section says that it was not checked."""
RENEW_SECONDS: Final = 14 * 86400
"""A certificate that ends sooner is a warning."""
BLOCKLISTS: Final = ("zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org")
"""Lists of addresses (RFC 5782) that many servers ask."""
NOT_OF_RELAYED: Final = frozenset(("dkim", "dmarc", "tls-rpt", "autoconfig"))
"""What is the business of the server behind us."""
SHOWN: Final = 200
"""Characters of a stranger's record that a sentence repeats."""


class FetchFailed(Exception):
    """A page could not be had; the text says why."""


Fetch = Callable[[str], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Section:
    """What was found about one subject; good when there are neither errors nor warnings."""

    subject: str
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()


@dataclass(slots=True)
class _Findings:
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    instructions: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)

    def publish(self, state: RecordState) -> None:
        """Ask for a record."""
        each = state.record
        self.instructions.append(f"Publish: {each.name}. IN {each.kind} {each.data}")

    def section(self, subject: str) -> Section:
        return Section(
            subject,
            tuple(self.errors),
            tuple(self.warnings),
            tuple(dict.fromkeys(self.instructions)),
            tuple(self.not_checked),
        )


@dataclass(frozen=True, slots=True)
class Examination:
    """What the checks of one domain work with. ``now``: seconds since the epoch."""

    facts: Facts
    resolver: Resolver
    now: float
    states: tuple[RecordState, ...]
    blocklists: Sequence[str] = BLOCKLISTS
    fetch: Fetch | None = None
    """Gets an https address; what it raises is FetchFailed."""
    validator: str = ""
    """Who validates the resolver's answers, in words; "nobody: ..." where nobody does."""

    def of(self, subject: str) -> Iterator[RecordState]:
        """The records of a subject."""
        return (s for s in self.states if s.record.subject == subject)


# --- sections -----------------------------------------------------------------------------------------


async def _mx(exam: Examination, found: _Findings) -> None:
    domain, hostname = exam.facts.domain, exam.facts.hostname
    answer = await exam.resolver.lookup(domain, "MX")
    exchanges = [mx.exchange.lower().rstrip(".") for mx in answer.exchanges]
    if not exchanges:
        found.errors.append(f"{domain} has no MX record: mail for it does not reach this server.")
    elif "" in exchanges:
        found.errors.append(f"{domain} says that it takes no mail at all (null MX, RFC 7505).")
    elif hostname not in exchanges:
        found.errors.append(f"Mail for {domain} goes to {', '.join(exchanges)[:SHOWN]}, not to {hostname}.")
    if found.errors:
        for state in exam.of("mx"):
            found.publish(state)
    if (await exam.resolver.lookup(hostname, "CNAME")).strings:
        found.errors.append(f"{hostname} is an alias; the target of an MX must not be (RFC 2181).")


async def _next(exam: Examination, found: _Findings) -> None:
    """The server that mail for a relayed domain goes on to."""
    facts = exam.facts
    if facts.accepts_all:
        found.warnings.append("The next server takes mail for everybody, and sends it back later.")
        found.instructions.append("Let it refuse unknown recipients at RCPT, so that we can.")
    elif not facts.verified:
        found.warnings.append("Mail to nobody is taken, and sent back to whoever its sender claims to be.")
        found.instructions.append("Let the next server be asked first: a3mailer config set policy.verify on")
    if facts.relayed == BY_MX:
        exchanges = (await exam.resolver.lookup(facts.domain, "MX")).exchanges
        named = [(mx.preference, mx.exchange.lower().rstrip(".")) for mx in exchanges]
        own = [preference for preference, name in named if name == facts.hostname]
        before = [name for preference, name in named if not own or preference < min(own)]
        if not before:
            found.errors.append(f"No MX of {facts.domain} comes before {facts.hostname}: mail cannot go on.")
            found.instructions.append(
                f"Publish an MX of {facts.domain} with a lower preference number, "
                f"or: a3mailer domain set {facts.domain} --relay-to HOST"
            )
        return
    host = parse_relaying(facts.relayed).host
    try:
        addresses: Sequence[str] = (str(ipaddress.ip_address(host)),)
    except ValueError:
        addresses = await host_addresses(host, exam.resolver)
    if not addresses:
        found.errors.append(f"The next server, {host}, has no address: mail for {facts.domain} waits here.")
    elif host == facts.hostname or (set(addresses) & set(facts.addresses) and facts.relayed == host):
        found.errors.append(f"The next server, {host}, is this server: mail for {facts.domain} loops.")
    if found.errors:
        found.instructions.append(f"Name another server: a3mailer domain set {facts.domain} --relay-to HOST")


async def _address(exam: Examination, found: _Findings) -> None:
    hostname = exam.facts.hostname
    addresses = await host_addresses(hostname, exam.resolver)
    if not addresses:
        found.errors.append(f"{hostname} has no address: nobody can reach this server.")
        found.instructions.append(f"Publish an A record of {hostname} (and AAAA, if it has IPv6).")
    for known in exam.facts.addresses:
        if addresses and known not in addresses:
            found.warnings.append(f"This server has the address {known}, but {hostname} does not name it.")
    for address in addresses:
        if not ipaddress.ip_address(address).is_global:
            found.errors.append(f"{address} is no address the world can reach.")
            continue
        await _reverse(exam, found, address)
    for known in exam.facts.addresses:
        if known not in addresses and ipaddress.ip_address(known).is_global:
            await _reverse(exam, found, known)


async def _reverse(exam: Examination, found: _Findings, address: str) -> None:
    hostname = exam.facts.hostname
    names = (await exam.resolver.lookup(ipaddress.ip_address(address).reverse_pointer, "PTR")).strings
    if not names:
        found.errors.append(f"{address} has no name (PTR record): many servers refuse its mail.")
    elif hostname not in (name.lower() for name in names):
        found.warnings.append(f"The name of {address} is {names[0][:SHOWN]}, not {hostname}.")
    else:
        return
    found.instructions.append(f"Ask whoever gave you {address} to set its PTR record to {hostname}.")


async def _spf(exam: Examination, found: _Findings) -> None:
    for state in exam.of("spf"):
        name = state.record.name
        if state.state == UNKNOWN:
            found.not_checked.append(f"The name server did not answer for {name}.")
        elif len(state.seen) > 1:
            found.errors.append(f"{name} has {len(state.seen)} SPF records; there may be one (RFC 7208).")
        elif state.state == MISSING:
            text = f"{name} has no SPF record."
            (found.errors if state.record.needed else found.warnings).append(text)
            found.publish(state)
        elif from_ := await senders(exam.facts, exam.resolver):
            await _ask_spf(exam, found, state, from_)
        elif state.state == DIFFERENT:
            found.warnings.append(
                f"The SPF record of {name} is {state.seen[0][:SHOWN]}: is this server in it?"
            )
            found.publish(state)


async def _ask_spf(exam: Examination, found: _Findings, state: RecordState, addresses: Sequence[str]) -> None:
    """What a receiver makes of mail from this server (RFC 7208 section 4)."""
    name, text = state.record.name, state.seen[0]
    if is_open(text):
        found.warnings.append(f"The SPF record of {name} lets everybody send: it says nothing.")
        found.publish(state)
    for address in addresses:
        said = await ask_spf(name, address, exam.facts.hostname, exam.resolver)
        shown = f"SPF of {name} says {said.result} of {address}"
        if said.result == TEMPERROR:
            found.not_checked.append(f"{shown}: {said.reason}.")
        elif said.result in (FAIL, PERMERROR):
            found.errors.append(f"{shown}{f' ({said.reason})' if said.reason else ''}: {text[:SHOWN]}")
            found.publish(state)
        elif said.result != PASS:
            found.warnings.append(f"{shown}: is this server in it? {text[:SHOWN]}")
            found.publish(state)


async def _dkim(exam: Examination, found: _Findings) -> None:
    for state in exam.of("dkim"):
        name = state.record.name
        if state.state == UNKNOWN:
            found.not_checked.append(f"The name server did not answer for {name}.")
        elif state.state == MISSING and not state.record.needed:
            found.warnings.append(f"The key {name} is not published; at present no mail is signed with it.")
            found.publish(state)
        elif state.state == MISSING:
            found.errors.append(f"The key {name} is not published: signatures with it count as broken.")
            found.publish(state)
        elif state.state == DIFFERENT:
            key = domainkeys.load(state.seen[0].encode("ascii", "replace"))
            why = (
                key.reason
                if isinstance(key, domainkeys.Fault)
                else "it is not the one this server signs with"
            )
            found.errors.append(f"The key published as {name} cannot be used: {why}.")
            found.publish(state)


async def _dmarc(exam: Examination, found: _Findings) -> None:
    for state in exam.of("dmarc"):
        if state.state == UNKNOWN:
            found.not_checked.append("The name server did not answer for the DMARC record.")
        elif len(state.seen) > 1:
            found.errors.append("There are several DMARC records, so none counts (RFC 9989).")
        elif state.state == MISSING:
            found.errors.append("There is no DMARC record: large providers distrust such mail.")
            found.publish(state)
        elif (policy := policy_of(state.seen[0])) is None:
            found.errors.append("The DMARC record cannot be read, so it does not count.")
            found.publish(state)
        else:
            if policy.policy == dmarc_record.NONE or policy.testing:
                found.warnings.append("DMARC asks for nothing (p=none or t=y): forged mail arrives as yours.")
                found.instructions.append("When the reports show your own mail only, ask for p=quarantine.")
            if not policy.aggregate:
                found.warnings.append("DMARC has no rua: nobody tells you who uses your name.")
            await _report_addresses(exam, policy, found)


async def _report_addresses(exam: Examination, policy: dmarc_record.DmarcRecord, found: _Findings) -> None:
    """Places elsewhere have to say that they take the reports (RFC 7489 section 7.1)."""
    domain = exam.facts.domain
    try:
        taken = await destinations(domain, policy.aggregate, exam.resolver)
    except ResolverFailure:
        found.not_checked.append("The name server did not answer for who takes the DMARC reports.")
        return
    for uri in policy.aggregate[:MOST_PLACES]:
        host = mailbox(uri.encode("ascii", "replace")).rpartition("@")[2]
        if not host:
            found.warnings.append(f"DMARC reports to {uri} never come: it is no address of mail.")
        elif uri not in taken.values():
            found.warnings.append(
                f"DMARC reports to {uri} never come: {host} does not say that it takes them."
            )
            found.instructions.append(f"Have {host} publish {domain}._report._dmarc.{host} TXT v=DMARC1.")


async def _mta_sts(exam: Examination, found: _Findings) -> None:
    states = list(exam.of("mta-sts"))
    if not states:
        found.not_checked.append("This server serves no MTA-STS policy, so none is looked for.")
        return
    _helpful(states, found, "Senders do not know that they must use TLS")
    if exam.fetch is None or not any(s.state == PUBLISHED and s.record.kind == "TXT" for s in states):
        found.not_checked.append("The policy itself was not fetched.")
        return
    address = f"https://mta-sts.{exam.facts.domain}{mta_sts.PATH}"
    try:
        policy = mta_sts.parse_policy(await exam.fetch(address))
    except FetchFailed as error:
        found.errors.append(f"{address} cannot be fetched: {error}.")
    except mta_sts.BadPolicy as error:
        found.errors.append(f"{address} is no policy: {error}.")
    else:
        if policy.mode != "none" and not policy.names(exam.facts.hostname):
            found.errors.append(f"The policy does not name {exam.facts.hostname}: mail to it is held back.")


async def _tls_rpt(exam: Examination, found: _Findings) -> None:
    _helpful(exam.of("tls-rpt"), found, "Nobody reports failures of encryption to you")


def _helpful(states: Iterator[RecordState] | Sequence[RecordState], found: _Findings, lack: str) -> None:
    """Records that help: missing ones are a warning."""
    for state in states:
        name = f"{state.record.kind} record of {state.record.name}"
        if state.state == UNKNOWN:
            found.not_checked.append(f"The name server did not answer for the {name}.")
        elif state.state != PUBLISHED:
            which = "missing" if state.state == MISSING else f"{state.seen[0][:SHOWN]}, not as expected"
            found.warnings.append(f"{lack}: the {name} is {which}.")
            found.publish(state)


async def _tlsa(exam: Examination, found: _Findings) -> None:
    states = list(exam.of("tlsa"))
    if not states:
        found.not_checked.append(f"{exam.facts.hostname} is of another domain; its TLSA records are there.")
        return
    current, *_ = states
    if current.state == UNKNOWN:
        found.not_checked.append("The name server did not answer for the TLSA record.")
    elif current.state == DIFFERENT:
        text = "No TLSA record fits the certificate: senders that use DANE cannot deliver."
        (found.errors if current.authentic else found.warnings).append(text)
        for state in states:
            found.publish(state)
    elif current.state == MISSING and current.authentic:
        found.warnings.append("The zone is signed but has no TLSA record: DANE is within reach.")
        for state in states:
            found.publish(state)
    elif current.state == PUBLISHED and exam.validator.startswith("nobody"):
        found.not_checked.append(f"Whether DNSSEC vouches for it: answers are validated by {exam.validator}.")
        found.instructions.append("Install libunbound8, or use a validating resolver on this machine.")
    elif current.state == PUBLISHED and not current.authentic:
        found.warnings.append("The TLSA record is not vouched for by DNSSEC, so it does not count.")
        found.instructions.append("Sign the zone.")


async def _certificate(exam: Examination, found: _Findings) -> None:
    facts, certificate = exam.facts, exam.facts.certificate
    if certificate is None:
        found.not_checked.append("No certificate was given.")
        return
    if not any(covers(name, facts.hostname) for name in certificate.names):
        found.errors.append(f"The certificate is not for {facts.hostname}: mail programs warn of it.")
    if certificate.ends <= exam.now:
        found.errors.append("The certificate has ended.")
    elif certificate.ends <= exam.now + RENEW_SECONDS:
        found.warnings.append(f"The certificate ends in {int(certificate.ends - exam.now) // 86400} days.")
    if certificate.begins > exam.now:
        found.errors.append("The certificate is not valid yet: is the clock right?")
    if certificate.self_signed:
        found.warnings.append("The certificate is self-signed: mail programs warn of it.")
    if found.errors or found.warnings:
        found.instructions.append(
            "Let one be fetched (a3mailer config set acme.directory URL), or: a3mailer cert import FILE"
        )


def covers(pattern: str, name: str) -> bool:
    """Does a name of a certificate stand for this host (RFC 6125 section 6.4)?"""
    pattern = pattern.lower().rstrip(".")
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return pattern == name


async def _caa(exam: Examination, found: _Findings) -> None:
    """The closest set of CAA records upwards decides (RFC 8659 section 3)."""
    name, issuer = exam.facts.hostname, exam.facts.issuer
    while name:
        seen = [text.lower() for text in (await exam.resolver.lookup(name, "CAA")).strings]
        if seen:
            issuers = [text.split()[2].strip('";') for text in seen if _property(text) == "issue"]
            if issuers and issuer not in issuers:
                allowed = ", ".join(filter(None, issuers))[:SHOWN] or "nobody"
                found.errors.append(f"CAA of {name} allows {allowed} to issue, not {issuer}.")
                for state in exam.of("caa"):
                    found.publish(state)
            return
        name = name.partition(".")[2]
    found.warnings.append("No CAA record: any authority may issue a certificate for this server.")
    for state in exam.of("caa"):
        found.publish(state)


def _property(text: str) -> str:
    words = text.split()
    return words[1] if len(words) > 2 else ""


async def _autoconfig(exam: Examination, found: _Findings) -> None:
    states = list(exam.of("autoconfig"))
    _helpful(states, found, "Mail programs do not find their settings")
    facts = exam.facts
    wanted = offer(facts.domain, facts.hostname, facts.listeners)
    known = {s.record.name for s in states if s.record.kind == "CNAME" and s.state == PUBLISHED}
    for host, path, document in (
        (mozilla.HOST, mozilla.PATH, mozilla.encode(wanted)),
        (pacc.HOST, pacc.PATH, pacc.encode(wanted)),
    ):
        if (name := f"{host}{facts.domain}") in known and exam.fetch is not None:
            await _served(f"https://{name}{path}", document, exam.fetch, found)


async def _served(address: str, document: bytes, fetch: Fetch, found: _Findings) -> None:
    """Does the world get the document this server makes?"""
    try:
        seen = await fetch(address)
    except FetchFailed as error:
        found.warnings.append(f"Mail programs do not get their settings: {address}: {error}.")
        found.instructions.append(
            "Let the certificate have this name (acme.domain_names), and open port 443."
        )
    else:
        if seen != document:
            found.warnings.append(f"{address} is not what this server serves: who answers there?")


async def _blocklists(exam: Examination, found: _Findings) -> None:
    addresses = await host_addresses(exam.facts.hostname, exam.resolver)
    if not (asked := dict.fromkeys((*addresses, *exam.facts.addresses))):
        found.not_checked.append("Which address to look for is not known.")
    for address in asked:
        for blocklist in exam.blocklists:
            await ask_blocklist(address, blocklist, exam.resolver, found)


async def ask_blocklist(address: str, blocklist: str, resolver: Resolver, found: _Findings) -> None:
    """Is an address on a list (RFC 5782 section 2)?"""
    labels = lists.reversed_address(address)
    try:
        refuses = await lists.refuses(labels, blocklist, resolver)
        has = await lists.listed(labels, lists.NEVER_ADDRESS, (blocklist,), resolver)
    except ResolverFailure:
        found.not_checked.append(f"{blocklist} did not answer for {address}.")
        return
    if refuses:
        found.not_checked.append(f"{blocklist} does not answer the resolver this server uses.")
    elif has:
        found.errors.append(f"{address} is on the blocklist {blocklist}: its mail is refused by many.")
        found.instructions.append(f"Look up {address} on the page of {blocklist} and ask to be taken off.")


Check = Callable[[Examination, _Findings], Awaitable[None]]
SECTIONS: Final[tuple[tuple[str, Check], ...]] = (
    ("mx", _mx),
    ("address", _address),
    ("spf", _spf),
    ("dkim", _dkim),
    ("dmarc", _dmarc),
    ("mta-sts", _mta_sts),
    ("tls-rpt", _tls_rpt),
    ("tlsa", _tlsa),
    ("certificate", _certificate),
    ("caa", _caa),
    ("autoconfig", _autoconfig),
    ("blocklists", _blocklists),
)
"""One line a subject, in the order of the report."""
RELAYED_SECTIONS: Final = (
    *SECTIONS[:1],
    ("next server", _next),
    *((subject, run) for subject, run in SECTIONS[1:] if subject not in NOT_OF_RELAYED),
)
"""Of a domain that we hand on."""


async def check(exam: Examination, subjects: Sequence[str] = ()) -> tuple[Section, ...]:
    """These sections (none named: all), examined at the same time."""
    of_all = RELAYED_SECTIONS if exam.facts.relayed else SECTIONS
    chosen = [(subject, run) for subject, run in of_all if not subjects or subject in subjects]
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(_section(exam, subject, run)) for subject, run in chosen]
    return tuple(task.result() for task in made)


async def _section(exam: Examination, subject: str, run: Check) -> Section:
    found = _Findings()
    try:
        async with asyncio.timeout(SECTION_SECONDS):
            await run(exam, found)
    except ResolverFailure as error:
        found.not_checked.append(f"The name server did not answer: {error}.")
    except TimeoutError:
        found.not_checked.append(f"No answer within {SECTION_SECONDS:.0f} s.")
    return found.section(subject)
