"""Certificates of a server with two workers: swapped on every listener, by name, no session lost."""

from __future__ import annotations

import contextlib
import hashlib
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from a3mailer.config.tree import Settings
from a3mailer.edge.tls import opportunistic_context
from a3mailer.ops.certificates import ACME, CertificateStore
from a3mailer.ops.pkix import read_chain
from tests.certificates import Certified, authority, certified
from tests.rig import Rig
from tests.unit.wire.test_tls_hello import hello

HOST, OTHER = "mail.example.test", "mta-sts.example.test"
IMPLICIT = ("imaps", "submissions", "https")
SECONDS = 20.0


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("certificates"), workers=2) as server:
        yield server


def put(rig: Rig, name: str, issuer: Certified) -> bytes:
    made = certified(name, issuer)
    store = CertificateStore(rig.directory, Settings())
    store.put(ACME, name, read_chain(made.pem + issuer.pem), made.key)
    return made.der


def dialled(rig: Rig, listener: str, name: str) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", rig.port(listener)), 10)
    return opportunistic_context().wrap_socket(raw, server_hostname=name)


def shown(rig: Rig, listener: str, name: str) -> bytes:
    with dialled(rig, listener, name) as sock:
        return sock.getpeercert(binary_form=True) or b""


def shown_after_starttls(rig: Rig, name: str) -> bytes:
    with contextlib.closing(smtplib.SMTP("127.0.0.1", rig.port("smtp"), timeout=10)) as client:
        client._host = name  # type: ignore[attr-defined]  # what it says in SNI
        client.starttls(context=opportunistic_context())
        assert isinstance(client.sock, ssl.SSLSocket)
        return client.sock.getpeercert(binary_form=True) or b""


def wait_for(rig: Rig, name: str, der: bytes, times: int = 8) -> None:
    """Until every worker shows it: so many connections in a row."""
    deadline, seen = time.monotonic() + SECONDS, 0
    while seen < times:
        assert time.monotonic() < deadline, rig.log_tail()
        if shown(rig, "imaps", name) == der:
            seen += 1
        else:
            seen = 0
            time.sleep(0.1)


def test_a_renewed_certificate_is_on_every_listener_and_no_session_is_lost(rig: Rig) -> None:
    root = authority()
    before = shown(rig, "imaps", HOST)
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(dialled(rig, "imaps", HOST)) for _ in range(4)]
        assert all(sock.recv(4096).startswith(b"* OK") for sock in sessions)
        mine, theirs = put(rig, HOST, root), put(rig, OTHER, root)
        wait_for(rig, HOST, mine)
        wait_for(rig, OTHER, theirs)
        for sock in sessions:
            assert sock.getpeercert(binary_form=True) == before
            sock.sendall(b"a NOOP\r\n")
            assert sock.recv(4096).startswith(b"a OK")
    for listener in IMPLICIT:
        assert (shown(rig, listener, HOST), shown(rig, listener, OTHER)) == (mine, theirs)
        assert shown(rig, listener, "stranger.test") == mine
    assert (shown_after_starttls(rig, HOST), shown_after_starttls(rig, OTHER)) == (mine, theirs)
    # the records to publish follow what is shown
    digest = key_digest(mine)
    tlsa = [r["data"] for r in rig.verb("domain", "dns", "example.test") if r["kind"] == "TLSA"]
    assert f"3 1 1 {digest}" in tlsa


def key_digest(der: bytes) -> str:
    """SHA-256 of the key of a certificate."""
    key = x509.load_der_x509_certificate(der).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def test_a_name_that_is_not_ascii_ends_that_connection_with_one_event(rig: Rig) -> None:
    octets = hello("mail.a.test").replace(b"mail.a.test", b"ma\xffl.a.test")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", rig.port("imaps")), 10) as raw:
            raw.sendall(octets)
            assert raw.recv(7)[:1] == b"\x15", "an alert"
    assert shown(rig, "imaps", HOST)
    deadline = time.monotonic() + SECONDS
    while '"event":"process.unraisable"' not in (log := rig.log.read_text("utf-8", "replace")):
        assert time.monotonic() < deadline, log
        time.sleep(0.1)
    assert "Traceback" not in log and all(line.startswith("{") for line in log.splitlines())


def test_a_broken_file_changes_nothing(rig: Rig) -> None:
    before = shown(rig, "imaps", HOST)
    path: Path = rig.directory / "tls" / "acme" / "broken.pem"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"nonsense")
    rig.run("reload", "--dir", str(rig.directory))
    wait_for(rig, HOST, before)
    path.unlink()
