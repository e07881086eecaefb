"""What a mail itself wants of the TLS on its way (RFC 8689): to have it throughout, or at no one's expense.

REQUIRETLS: only to hosts that are known to be the destination's (DNSSEC or MTA-STS), that show a good
certificate, and that promise the same of the next hop; else it comes back at once (section 4.2.1).
``TLS-Required: No``: policies of the destination do not keep it from getting there (section 4.1.2); what the
operator says of a destination stands above that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from a3mailer.mail.address import NULL_PATH
from a3mailer.mail.envelope import Envelope
from a3mailer.mail.message import headers
from a3mailer.mail.tls import TlsLevel, TlsPlan
from a3mailer.transfer.relay.destinations.mx import Host
from a3mailer.transfer.relay.session import Session
from a3mailer.transfer.relay.tls_policy import OPPORTUNISTIC, Demand, DomainDemand
from a3mailer.wire.smtp.remote import RemoteReply, ours

REQUIRED: Final = "required"
OPTIONAL: Final = "optional"
"""Words of ``Envelope.tls`` and ``Enqueue.tls``."""
PROVEN: Final = (TlsLevel.STS, TlsLevel.DANE)
"""Levels under which both the host's name and its certificate are proven."""
HEADER_LOOKED_AT: Final = 64 * 1024
"""Octets of a mail in which its TLS-Required field is looked for."""


# tls-required-field = "TLS-Required:" [FWS] "No" [FWS] CRLF
def tls_of(envelope: Envelope, top: bytes) -> str:
    """How a mail that begins with ``top`` is tagged: by its envelope, else by its field (section 4.1)."""
    if envelope.tls:
        return envelope.tls
    if b"\ntls-required:" not in b"\n" + top.lower():
        return ""
    value = headers.first(top, 0, len(top), b"tls-required")
    return OPTIONAL if value is not None and value.strip().lower() == b"no" else ""


def must_require(envelope: Envelope) -> bool:
    """Does it demand REQUIRETLS of the next server? A notification is not lost for it (section 5)."""
    return envelope.tls == REQUIRED and envelope.reverse_path != NULL_PATH


def for_mail(envelope: Envelope, demand: Demand, domain: DomainDemand, host: Host) -> Demand:
    """What is asked of a host for this mail, given what is asked of it for all."""
    if envelope.tls == OPTIONAL and not domain.level:
        hidden = tuple(plan for plan in demand.plans if not plan.in_clear)
        return replace(demand, plans=(*hidden, *OPPORTUNISTIC), refusal=None)
    if envelope.tls != REQUIRED:
        return demand
    if demand.refusal is not None:
        return replace(demand, refusal=for_good(envelope, demand.refusal))
    plans = tuple(plan for plan in demand.plans if plan.level in PROVEN)
    if not plans and host.authentic and domain.level != "never":
        reason = "the mail demands TLS (REQUIRETLS)"
        names = (host.name.lower().rstrip("."),)
        plans = (TlsPlan(TlsLevel.STS, names=names, reason=reason, asked="requiretls"),)
    if not must_require(envelope):
        return replace(demand, plans=(*plans, *(plan for plan in demand.plans if plan not in plans)))
    if plans:
        return replace(demand, plans=plans)
    why = domain.found.reason or f"nothing proves that {host.name} is a server of {domain.domain}"
    code = "4.7.10" if domain.found.failure else "5.7.10"
    return replace(demand, plans=(), refusal=ours(code, f"the mail demands TLS, and {why}"))


def excuses(envelope: Envelope, reply: RemoteReply) -> bool:
    """Was it TLS that a destination is left alone for, and does this mail not care?"""
    return envelope.tls == OPTIONAL and reply.enhanced.startswith("4.7.")


def for_good(envelope: Envelope, reply: RemoteReply) -> RemoteReply:
    """What is wrong with a host's TLS: a mail that demands TLS does not wait until it is mended."""
    if not must_require(envelope) or not reply.enhanced.startswith("4.7."):
        return reply
    return ours("5.7.10", reply.text)


def cannot(session: Session, host: Host, envelope: Envelope) -> RemoteReply | None:
    """Why this mail must not go in a session; None where it may."""
    if not must_require(envelope) or session.requires_tls:
        return None
    return ours("5.7.30", f"{host.name} does not support REQUIRETLS")
