"""The DNS records a domain's mail needs, computed from what the server has; pure.

Which ones: MX (RFC 5321), SPF (RFC 7208), DKIM (RFC 6376, 8463), DMARC (RFC 9989), MTA-STS (RFC 8461), TLS
reports (RFC 8460), TLSA (RFC 7672), CAA (RFC 8659), SRV (RFC 6186, 6764, 8314, 8620), and the names mail
programs try when they are given nothing but an address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from a3mailer.identity.relaying import BY_MX
from a3mailer.msgauth.mta_sts import own_id
from a3mailer.ops.autoconfig import pacc
from a3mailer.ops.autoconfig.services import SERVICES, offer

TTL: Final = 3600
"""Seconds resolvers keep a record; an hour, so that a mistake is mended within one."""
MX_PREFERENCE: Final = 10
BACKUP_PREFERENCE: Final = 20
"""Of a domain whose own MX come first."""
STRING: Final = 255
"""Octets one character-string of a TXT record holds (RFC 1035 section 3.3)."""
ISSUER: Final = "letsencrypt.org"
WEB: Final = "https"
WEB_PORT: Final = 443
TLS_REPORTS: Final = "/reports/tls/{domain}"
"""Where reports are posted to."""
"""The listener that serves the MTA-STS policy, and mail programs their settings."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is checked of the server's certificate."""

    names: tuple[str, ...]
    begins: int
    """Seconds since the epoch, as ``ends``."""
    ends: int
    self_signed: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server knows of itself and of one domain. Names are A-labels without the final dot."""

    domain: str
    hostname: str
    addresses: tuple[str, ...] = ()
    """Under which the world reaches the host; none: nobody said."""
    dkim: tuple[tuple[str, str], ...] = ()
    """(selector, text of the key record)"""
    resting: tuple[str, ...] = ()
    """Those of the selectors whose keys do not sign now: not yet, or no more."""
    removed: tuple[str, ...] = ()
    """Selectors of keys that are deleted: their records may go."""
    keys: tuple[str, ...] = ()
    """SHA-256, hexadecimal, of the certificate's SubjectPublicKeyInfo, and of the next one's."""
    listeners: Mapping[str, int] = field(default_factory=dict)
    """Ports by the listener's name."""
    sts_mode: str = "testing"
    """Of our MTA-STS policy."""
    relay: str = ""
    """The smart host all mail goes through."""
    issuer: str = ISSUER
    certificate: Certificate | None = None
    relayed: str = ""
    """The next server of a domain that we take mail for and hand on, or BY_MX; empty: it ends here."""
    verified: bool = False
    """It is asked whether a recipient exists (``policy.verify``) ..."""
    accepts_all: bool = False
    """... and was found to take mail for everybody."""
    posts: bool = False
    """TLS reports about it are taken by POST."""

    @property
    def holds_host(self) -> bool:
        """Is the host a name of this domain, so that its records belong into the same zone?"""
        return f".{self.hostname}".endswith(f".{self.domain}")


@dataclass(frozen=True, slots=True)
class DomainRecord:
    """One record to publish. ``data`` has the presentation form of a master file (RFC 1035 section 5)."""

    subject: str
    name: str
    kind: str
    data: str
    why: str
    needed: bool = True
    """Without it mail is lost or distrusted; the others only help."""
    ttl: int = TTL


def records(facts: Facts) -> tuple[DomainRecord, ...]:
    """All records of the domain, the most needed first; of a relayed one those that are about receiving."""
    if facts.relayed:
        transport = () if facts.relayed == BY_MX else _sts(facts)
        return (*_mx(facts), *_host(facts), *_host_spf(facts), *transport, *_tlsa(facts))
    return (
        *_mx(facts),
        *_host(facts),
        *_authentication(facts),
        *_transport(facts),
        *_tlsa(facts),
        *_services(facts),
    )


def _mx(facts: Facts) -> Iterator[DomainRecord]:
    preference = BACKUP_PREFERENCE if facts.relayed == BY_MX else MX_PREFERENCE
    yield DomainRecord(
        "mx", facts.domain, "MX", f"{preference} {facts.hostname}.", "where mail for the domain goes"
    )


def _host(facts: Facts) -> Iterator[DomainRecord]:
    if not facts.holds_host:
        return
    for address in facts.addresses:
        kind = "AAAA" if ":" in address else "A"
        yield DomainRecord("address", facts.hostname, kind, address, "where the server is")
    why = "only this authority may issue certificates for the server"
    yield DomainRecord("caa", facts.hostname, "CAA", f'0 issue "{facts.issuer}"', why, needed=False)


def _authentication(facts: Facts) -> Iterator[DomainRecord]:
    yield DomainRecord(
        "spf",
        facts.domain,
        "TXT",
        quoted(spf_text(facts)),
        "which hosts send mail of this domain; if other services do too, add their include: here",
    )
    for selector, text in facts.dkim:
        name = f"{selector}._domainkey.{facts.domain}"
        why = "the public key signatures are checked with"
        if rests := selector in facts.resting:
            why = "a key that signs as soon as this is published, or that signed until lately"
        yield DomainRecord("dkim", name, "TXT", quoted(text), why, needed=not rests)
    report = f"v=DMARC1; p=quarantine; rua=mailto:dmarc-reports@{facts.domain}"
    why = "what others do with mail that forges this domain, and where they report it"
    yield DomainRecord("dmarc", f"_dmarc.{facts.domain}", "TXT", quoted(report), why)
    yield from _host_spf(facts)


def _host_spf(facts: Facts) -> Iterator[DomainRecord]:
    if facts.hostname != facts.domain and facts.holds_host:
        why = "notifications have no sender but the server's own name: it sends for itself"
        yield DomainRecord("spf", facts.hostname, "TXT", quoted("v=spf1 a -all"), why, needed=False)


def spf_text(facts: Facts) -> str:
    """The domain's SPF record (RFC 7208): its MX hosts, the smart host, nobody else."""
    host = facts.relay.rpartition(":")[0]
    if not host:
        return "v=spf1 mx -all"
    if host.startswith("["):
        return f"v=spf1 mx ip6:{host[1:-1]} -all"
    return f"v=spf1 mx {'ip4' if host.replace('.', '').isdigit() else 'a'}:{host} -all"


def _transport(facts: Facts) -> Iterator[DomainRecord]:
    report = f"v=TLSRPTv1; rua=mailto:tls-reports@{facts.domain}"
    if facts.posts and WEB in facts.listeners:
        port = facts.listeners[WEB]
        host = facts.hostname if port == WEB_PORT else f"{facts.hostname}:{port}"
        report += f",https://{host}{TLS_REPORTS.format(domain=facts.domain)}"
    why = "where others report mail they could not send encrypted"
    yield DomainRecord("tls-rpt", f"_smtp._tls.{facts.domain}", "TXT", quoted(report), why, needed=False)
    yield from _sts(facts)


def _sts(facts: Facts) -> Iterator[DomainRecord]:
    if WEB not in facts.listeners or facts.sts_mode == "none":
        return
    text = f"v=STSv1; id={own_id(facts.hostname, facts.sts_mode)}"
    why = "says that there is a policy: mail to this domain only over verified TLS"
    yield DomainRecord("mta-sts", f"_mta-sts.{facts.domain}", "TXT", quoted(text), why, needed=False)
    why = "the host the policy is fetched from"
    alias = f"{facts.hostname}."
    yield DomainRecord("mta-sts", f"mta-sts.{facts.domain}", "CNAME", alias, why, needed=False)


def _tlsa(facts: Facts) -> Iterator[DomainRecord]:
    if not facts.holds_host:
        return
    whose = ("the certificate's key, for senders that use DANE; counts only in a signed zone", "the next key")
    for digest, why in zip(facts.keys, whose, strict=False):
        name, data = f"_25._tcp.{facts.hostname}", f"3 1 1 {digest}"
        yield DomainRecord("tlsa", name, "TLSA", data, why, needed=False)


def _services(facts: Facts) -> Iterator[DomainRecord]:
    for service in SERVICES:
        port = facts.listeners.get(service.listener)
        data = f"{service.priority} 1 {port} {facts.hostname}." if port else "0 0 0 ."
        offered = f"mail programs find {service.srv}" if port else f"{service.srv} is not offered"
        name, why = f"_{service.srv}._tcp.{facts.domain}", f"{offered} ({service.rfc})"
        yield DomainRecord("autoconfig", name, "SRV", data, why, needed=False)
    if WEB not in facts.listeners:
        return
    host, why = f"{facts.hostname}.", "where mail programs ask for their settings"
    data, name = f"0 1 {facts.listeners[WEB]} {host}", f"_autodiscover._tcp.{facts.domain}"
    yield DomainRecord("autoconfig", name, "SRV", data, why, needed=False)
    for name in ("autoconfig", "autodiscover"):
        yield DomainRecord("autoconfig", f"{name}.{facts.domain}", "CNAME", host, why, needed=False)
    if document := pacc.encode(offer(facts.domain, facts.hostname, facts.listeners)):
        yield DomainRecord("autoconfig", f"{pacc.HOST}{facts.domain}", "CNAME", host, why, needed=False)
        why = "the digest of those settings: no other server can hand out different ones"
        name, data = f"{pacc.RECORD}{facts.domain}", quoted(pacc.record(document))
        yield DomainRecord("autoconfig", name, "TXT", data, why, needed=False)


def quoted(text: str) -> str:
    """A TXT record's data: strings of at most 255 octets in quotes. ``text`` is ASCII."""
    pieces = [text[at : at + STRING] for at in range(0, len(text), STRING)] or [""]
    return " ".join('"' + piece.replace("\\", "\\\\").replace('"', '\\"') + '"' for piece in pieces)


def zone_file(facts: Facts, name_servers: Sequence[str], serial: int) -> str:
    """A whole zone as a master file (RFC 1035 section 5), which BIND reads; with SOA and NS records.

    ``name_servers``: the zone's, at least one; ``serial``: of the SOA record, e.g. the time."""
    lines = [
        f"; mail records of {facts.domain}; into an existing zone without its SOA and NS records",
        f"$ORIGIN {facts.domain}.",
        f"$TTL {TTL}",
        f"@ IN SOA {name_servers[0]}. postmaster.{facts.domain}. {serial} 7200 3600 1209600 3600",
        *(f"@ IN NS {name}." for name in name_servers),
    ]
    for record in records(facts):
        lines += [f"; {record.why}", f"{record.name}. {record.ttl} IN {record.kind} {record.data}"]
    return "\n".join(lines) + "\n"
