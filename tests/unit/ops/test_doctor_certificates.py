"""What the doctor says of certificates."""

from __future__ import annotations

from pathlib import Path

import pytest

from a3mailer.config.tree import Settings
from a3mailer.ops.certificates import ACME, IMPORTED, CertificateStore
from a3mailer.ops.doctor import certificates
from a3mailer.ops.pkix import read_chain
from tests.certificates import NOW, authority, certified

ROOT = authority()
HOST = "mail.example.test"
DAY = 86_400


@pytest.fixture
def place(tmp_path: Path) -> Path:
    own = certified(HOST, days=3000)
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "cert.pem").write_bytes(own.pem)
    (tmp_path / "tls" / "key.pem").write_bytes(own.key_pem)
    made = certified(HOST, ROOT)
    CertificateStore(tmp_path, Settings()).put(ACME, HOST, read_chain(made.pem), made.key)
    return tmp_path


def told(place: Path, days: float = 0) -> list[tuple[str, str]]:
    return [(f.kind, f.where) for f in certificates(place, Settings(), NOW.timestamp() + days * DAY)]


def test_nothing_is_wrong(place: Path) -> None:
    assert told(place) == []


def test_one_that_ends_soon_and_is_shown(place: Path) -> None:
    assert told(place, 20) == [("certificate-ends", f"tls/acme/{HOST}.pem")]
    assert told(place, 40) == [], "the other one is shown by then"
    text = [f.text for f in certificates(place, Settings(), NOW.timestamp() + 3001 * DAY)]
    assert text and all("ended" in each for each in text)


def test_one_that_cannot_be_used(place: Path) -> None:
    (place / "tls" / "acme" / "x.pem").write_bytes(b"nonsense")
    own, other = certified(HOST, ROOT, days=90), certified(HOST, ROOT)
    (place / "tls" / "acme" / f"{HOST}.pem").write_bytes(own.pem + other.key_pem)
    wanted = [("certificate-unusable", "tls/acme/x.pem"), ("certificate-unusable", f"tls/acme/{HOST}.pem")]
    assert told(place) == wanted
    (place / "tls" / "acme" / f"{HOST}.pem").write_bytes(own.pem)
    assert told(place) == wanted


def test_an_import_hides_a_newer_one_until_it_ends_and_then_it_is_said(place: Path) -> None:
    """An operator's own certificate is shown as long as it is good, whatever ACME has fetched since."""
    own = certified(HOST, ROOT, days=10)
    store = CertificateStore(place, Settings())
    store.put(IMPORTED, HOST, read_chain(own.pem), own.key)
    where = f"tls/imported/{HOST}.pem"

    def texts(days: float) -> list[tuple[str, str]]:
        found = certificates(place, Settings(), NOW.timestamp() + days * DAY)
        return [(f.where, f.text) for f in found]

    assert texts(0) == [(where, f"{HOST}: ends in 10 days; then that of acme is shown")]
    assert texts(9.4) == [(where, f"{HOST}: ends in 1 days; then that of acme is shown")]
    text = f"{HOST}: ended 2 days ago; another is shown in its place, so: cert rm {HOST}"
    assert texts(12) == [(where, text)]
    store.remove(IMPORTED, HOST)
    assert texts(12) == []
    (place / "tls" / "acme" / f"{HOST}.pem").unlink()
    store.put(IMPORTED, HOST, read_chain(own.pem), own.key)
    assert texts(12)[0][1].startswith(f"{HOST}: ended 2 days ago; another"), "the self-signed one is good"
