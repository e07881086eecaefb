"""A whole server that gets certificates from Debian's pebble by its own listeners, and shows them."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from a3mailer.edge.tls import opportunistic_context
from tests.bind import Named
from tests.pebble import KID, MAC, Pebble
from tests.rig import Rig

HOST, STS = "mail.example.test", "mta-sts.example.test"
RECORDS = "mail IN A 127.0.0.1\nmta-sts IN A 127.0.0.1\n"
SECONDS = 60.0
SETTINGS = """
web.inside = true
web.authorities = "authority.pem"
dns.dnssec = "off"
[acme]
directory = "{url}"
agree = true
challenges = ["{kind}"]
contact = ["postmaster@example.test"]
"""


@dataclass
class World:
    rig: Rig
    pebble: Pebble
    named: Named


@contextmanager
def started(place: Path, kind: str, workers: int, more: str = "", **how: bool) -> Iterator[World]:
    with Named(_made(place / "named"), "example.test", RECORDS) as named:
        rig = Rig(
            place,
            workers=workers,
            settings=("limits.profile=off",),
            extra=("--dns", f"127.0.0.1:{named.port}"),
        )
        with Pebble(place / "pebble", named.port, rig.base + 80, rig.base + 443, **how) as pebble:
            rig.init()
            (rig.directory / "authority.pem").write_bytes(pebble.authority.file.read_bytes())
            (rig.directory / "conf.d" / "acme.toml").write_text(
                SETTINGS.format(url=pebble.url, kind=kind) + more
            )
            (rig.directory / "eab.key").write_text(MAC)
            with rig:
                yield World(rig, pebble, named)


def _made(place: Path) -> Path:
    place.mkdir()
    return place


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with started(tmp_path_factory.mktemp("acme"), "tls-alpn-01", 2) as made:
        yield made


def shown(rig: Rig, name: str, listener: str = "imaps") -> x509.Certificate:
    raw = socket.create_connection(("127.0.0.1", rig.port(listener)), 10)
    with opportunistic_context().wrap_socket(raw, server_hostname=name) as sock:
        return x509.load_der_x509_certificate(sock.getpeercert(binary_form=True) or b"")


def names(certificate: x509.Certificate) -> set[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(found.get_values_for_type(x509.DNSName))


def until(rig: Rig, look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not look():
        assert time.monotonic() < deadline, rig.log_tail()
        time.sleep(0.1)


def is_issued(rig: Rig, name: str) -> bool:
    return "Pebble" in shown(rig, name).issuer.rfc4514_string()


def key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_it_fetches_one_for_itself_and_one_for_its_domain_and_renews_when_asked(world: World) -> None:
    rig = world.rig
    until(rig, lambda: is_issued(rig, HOST) and is_issued(rig, STS))
    first, domains = shown(rig, HOST), shown(rig, STS)
    assert names(first) == {HOST} and names(domains) == {STS}, "autoconfig has no address, so it is left out"
    own = x509.load_pem_x509_certificate((rig.directory / "tls" / "cert.pem").read_bytes())
    assert key(first) == key(own), "the key stays, and its TLSA record with it"
    raw = socket.create_connection(("127.0.0.1", rig.port("imaps")), 10)
    with opportunistic_context().wrap_socket(raw, server_hostname=HOST) as session:
        assert session.recv(4096).startswith(b"* OK")
        done = rig.verb("cert", "renew", HOST)
        assert done == {"asked": [HOST], "fetched": [HOST], "failed": []}
        until(rig, lambda: shown(rig, HOST).serial_number != first.serial_number)
        session.sendall(b"a NOOP\r\n")
        assert session.recv(4096).startswith(b"a OK")
    assert key(shown(rig, HOST)) == key(first) and shown(rig, STS) == domains
    assert not list((rig.directory / "run" / "acme" / "alpn").iterdir())
    assert '"kind":"tls-alpn-01"' in rig.log_tail()


def test_a_proof_that_fails_is_told_and_leaves_what_there_is(world: World) -> None:
    rig = world.rig
    until(rig, lambda: is_issued(rig, HOST) and is_issued(rig, STS))
    before = shown(rig, HOST)
    (rig.directory / "conf.d" / "more.toml").write_text('acme.names = ["nowhere.example.test"]\n')
    rig.run("reload", "--dir", str(rig.directory))
    until(rig, lambda: any("nowhere.example.test" in row["error"] for row in rig.verb("cert", "list")))
    done = rig.verb("cert", "renew", HOST, check=False)
    assert (done["fetched"], done["failed"]) == ([], [HOST])
    (row,) = [row for row in rig.verb("cert", "list") if row["certificate"] == HOST]
    assert row["shown"] == [HOST] and row["renewal"] > time.time() + 200
    assert shown(rig, HOST) == before and '"event":"cert.failed"' in rig.log_tail()
    (rig.directory / "conf.d" / "more.toml").unlink()
    rig.run("reload", "--dir", str(rig.directory))
    assert rig.verb("cert", "renew", HOST)["fetched"] == [HOST]


def test_by_http_01_with_an_external_account(tmp_path: Path) -> None:
    more = f'eab_kid = "{KID}"\neab_key_file = "eab.key"\nnew_key = true\n'
    with started(tmp_path, "http-01", 1, more, external=True) as world:
        rig = world.rig
        until(rig, lambda: is_issued(rig, HOST) and is_issued(rig, STS))
        assert '"kind":"http-01"' in rig.log_tail()
        published = {r["data"] for r in rig.verb("domain", "dns", "example.test") if r["kind"] == "TLSA"}
        before = shown(rig, HOST)
        assert rig.verb("cert", "renew")["failed"] == []
        until(rig, lambda: shown(rig, HOST) != before)
        after = hashlib.sha256(key(shown(rig, HOST))).hexdigest()
        assert key(shown(rig, HOST)) != key(before) and f"3 1 1 {after}" in published
