"""What ``init`` makes besides the store: certificate, DKIM keys, recovery key, SCRAM's mock key, SRS key."""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from a3mailer.keys import selectors
from a3mailer.keys.recovery import make_recovery
from a3mailer.ops.certificates import NEXT_KEY
from a3mailer.transfer.forwarding.srs import SECRET_SIZE

CERTIFICATE_DAYS: Final = 3650
"""A self-signed certificate is replaced by hand or by ACME, never by its end."""
RSA_BITS: Final = 2048
"""RFC 8301 section 3.2 asks for at least 1024 and advises 2048."""
DKIM_FOLDER: Final = selectors.FOLDER
RSA_SELECTOR: Final = "a3-rsa"
ED25519_SELECTOR: Final = "a3-ed25519"
MOCK_KEY: Final = Path("keys") / "scram-mock"
SRS_KEY: Final = Path("keys") / "srs"
REDACTION_KEY: Final = Path("keys") / "report-redaction"
POLICY_HOOK_KEY: Final = Path("keys") / "policy-hook"
VAPID_KEY: Final = Path("keys") / "vapid"
OLD_SRS_KEY: Final = Path("keys") / "srs.old"
RECOVERY_PUBLIC: Final = Path("keys") / "recovery.pub"
MOCK_KEY_SIZE: Final = 32
FOLDERS: Final = ("conf.d", "keys", "keys/dkim", "tls", "run", "spool")

_PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


def make_folders(directory: Path) -> None:
    """The layout, open to its owner only."""
    for name in FOLDERS:
        (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)


SERVED_NAMES: Final = ("mail", "mta-sts", "autoconfig", "autodiscover", "ua-auto-config")
"""Below every domain of ours: names that clients ask for with TLS."""


def certificate_names(hostname: str, domains: Sequence[str]) -> tuple[str, ...]:
    """The names a certificate of this server should carry, the host's first."""
    return tuple(dict.fromkeys((hostname, *(f"{name}.{d}" for d in domains for name in SERVED_NAMES))))


def make_certificate(
    directory: Path, hostname: str, addresses: Sequence[str], domains: Sequence[str] = ()
) -> None:
    """``tls/cert.pem`` and ``tls/key.pem``: self-signed, ECDSA P-256, for the host, what is served below its
    domains, and the addresses; and the key that follows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    hosts = (*certificate_names(hostname, domains), "localhost")
    names: list[x509.GeneralName] = [x509.DNSName(n) for n in dict.fromkeys(hosts)]
    names += [x509.IPAddress(ipaddress.ip_address(a)) for a in dict.fromkeys(addresses)]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(directory / "tls" / "cert.pem", certificate.public_bytes(Encoding.PEM), 0o644)
    _write(directory / "tls" / "key.pem", _pem(key), 0o600)
    _write(directory / NEXT_KEY, _pem(ec.generate_private_key(ec.SECP256R1())), 0o600)


def make_dkim_keys(directory: Path, domain: str) -> None:
    """One RSA and one Ed25519 key (RFC 8463) for a domain, unless it has them."""
    folder = directory / DKIM_FOLDER / domain
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.glob(f"*{selectors.SUFFIX}")):
        return
    make_dkim_key(folder / f"{RSA_SELECTOR}{selectors.SUFFIX}", "rsa")
    make_dkim_key(folder / f"{ED25519_SELECTOR}{selectors.SUFFIX}", "ed25519")


def make_dkim_key(path: Path, kind: str) -> None:
    """A new private key. Errors: FileExistsError, ValueError (no such kind)."""
    if kind not in ("rsa", "ed25519"):
        raise ValueError(f"no such kind of key: {kind}")
    key = rsa.generate_private_key(65537, RSA_BITS) if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()
    _write(path, _pem(key), 0o400)


def mock_key(directory: Path) -> bytes:
    """The key that makes the salts SCRAM shows for accounts without a verifier: made once, the same in every
    process of this data directory."""
    return _kept(directory / MOCK_KEY, MOCK_KEY_SIZE)


def policy_hook_key(directory: Path) -> bytes:
    """The secret that signs what is asked of the operator's service (``transfer/policy/policy_hook.py``)."""
    return _kept(directory / POLICY_HOOK_KEY, SECRET_SIZE)


def vapid_key(directory: Path) -> bytes:
    """The secret behind the key that pushes are signed with (RFC 8292)."""
    return _kept(directory / VAPID_KEY, SECRET_SIZE)


def srs_keys(directory: Path) -> tuple[bytes, ...]:
    """The key of the addresses that bounces of forwarded mail come back to (``transfer/forwarding/srs.py``).

    And the one before it where ``keys/srs.old`` keeps it for the bounces still to come."""
    old = directory / OLD_SRS_KEY
    return (_kept(directory / SRS_KEY, SECRET_SIZE), *([old.read_bytes()] if old.exists() else []))


def redaction_key(directory: Path) -> bytes:
    """The key of the hashes that stand for names in failure reports (``ops/reports/failures.py``)."""
    return _kept(directory / REDACTION_KEY, SECRET_SIZE)


def _kept(path: Path, size: int) -> bytes:
    """The random octets of a file, made now where there is none yet.

    Put in place whole by a link, as several workers of an older data directory may be at it."""
    if not path.exists():
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        _write(draft, secrets.token_bytes(size), 0o400)
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_bytes()


def make_recovery_key(directory: Path) -> str:
    """The printable secret, to be shown once; the public half stays, for ``backup`` to seal to."""
    printable, public = make_recovery()
    _write(directory / RECOVERY_PUBLIC, public, 0o400)
    return printable


def _pem(key: _PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, octets: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
