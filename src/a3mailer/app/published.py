"""What of the server's keys and settings is published in the DNS, read from its data directory."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from a3mailer.app.listeners import PORTS
from a3mailer.app.lock import STATE
from a3mailer.app.material import DKIM_FOLDER
from a3mailer.config.tree import Settings
from a3mailer.keys.selectors import REMOVED, SIGNING
from a3mailer.ops.certificates import NEXT_KEY, CertificateStore
from a3mailer.ops.dkim_rotation import keys
from a3mailer.ops.domain_records import ISSUER, Certificate, Facts
from a3mailer.transfer.policy.verify import accepts_all


class _State(msgspec.Struct):
    """What ``serve`` says of itself."""

    listeners: dict[str, str]


def facts(
    directory: Path,
    settings: Settings,
    domain: str,
    addresses: Sequence[str] = (),
    issuer: str = ISSUER,
    relayed: str = "",
    posts: bool = False,
) -> Facts:
    """Of one domain. Without ``addresses`` those the listeners bind, if the world can reach them.

    Errors: OSError, ValueError (a key or certificate that cannot be read)."""
    dkim = keys(directory / DKIM_FOLDER / domain)
    return Facts(
        domain=domain,
        hostname=settings.server.hostname.lower(),
        addresses=tuple(addresses) or bound_addresses(settings.server.listen),
        dkim=tuple((key.name, text) for key, text in dkim if key.state != REMOVED),
        resting=tuple(key.name for key, _ in dkim if key.state not in (SIGNING, REMOVED)),
        removed=tuple(key.name for key, _ in dkim if key.state == REMOVED),
        keys=tls_keys(directory, settings),
        listeners=listeners(directory, settings),
        sts_mode=settings.web.mta_sts,
        relay=settings.queue.relay,
        issuer=issuer,
        certificate=certificate_facts(directory, settings),
        relayed=relayed,
        posts=posts,
        verified=settings.policy.verify,
        accepts_all=bool(relayed) and accepts_all(directory, domain, time.time(), settings),
    )


def listeners(directory: Path, settings: Settings) -> dict[str, int]:
    """Ports by name: those a running server has bound, else those it would bind."""
    names = {port.name: settings.server.port_base + port.number for port in PORTS if not port.private}
    try:
        bound = msgspec.json.decode((directory / STATE).read_bytes(), type=_State).listeners
        return {name: int(bound[name].rpartition(":")[2]) for name in names if name in bound}
    except (OSError, ValueError, msgspec.DecodeError):
        return names


def bound_addresses(listen: Sequence[str]) -> tuple[str, ...]:
    """Those of the bound addresses that name one host: no wildcard, no loopback."""
    found = [ipaddress.ip_address(each) for each in listen]
    return tuple(str(each) for each in found if not each.is_unspecified and not each.is_loopback)


def tls_keys(directory: Path, settings: Settings) -> tuple[str, ...]:
    """SHA-256, hexadecimal, of the certificate's SubjectPublicKeyInfo, then of the next key's, if any."""
    certificate = _shown(directory, settings)
    form = PublicFormat.SubjectPublicKeyInfo
    found = [certificate.public_key().public_bytes(Encoding.DER, form)]
    if (directory / NEXT_KEY).exists():
        following = load_pem_private_key((directory / NEXT_KEY).read_bytes(), None)
        found.append(following.public_key().public_bytes(Encoding.DER, form))
    return tuple(hashlib.sha256(each).hexdigest() for each in dict.fromkeys(found))


def _shown(directory: Path, settings: Settings) -> x509.Certificate:
    """The certificate of the host."""
    store, now = CertificateStore(directory, settings), time.time()
    store.look(now)
    kept = store.pick(settings.server.hostname.lower(), now)
    if kept is not None:
        return kept.chain.leaf
    return x509.load_pem_x509_certificate((directory / settings.tls.certificate).read_bytes())


def certificate_facts(directory: Path, settings: Settings) -> Certificate:
    """Of the certificate the listeners show. Errors: OSError, ValueError."""
    found = _shown(directory, settings)
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = tuple(names.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        known = ()
    return Certificate(
        known,
        int(found.not_valid_before_utc.timestamp()),
        int(found.not_valid_after_utc.timestamp()),
        found.issuer == found.subject,
    )
