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
challenges = ["tls-alpn-01"]
contact = ["postmaster@example.test"]
"""


@dataclass
class World:
    rig: Rig
    pebble: Pebble
    named: Named
    first: x509.Certificate
    """What the host was given first."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("acme")
    (place / "named").mkdir()
    with Named(place / "named", "example.test", RECORDS) as named:
        dns = ("--dns", f"127.0.0.1:{named.port}")
        rig = Rig(place, workers=2, settings=("limits.profile=off",), extra=dns)
        with Pebble(place / "pebble", named.port, rig.base + 80, rig.base + 443) as pebble:
            rig.init()
            (rig.directory / "authority.pem").write_bytes(pebble.authority.file.read_bytes())
            (rig.directory / "conf.d" / "acme.toml").write_text(SETTINGS.format(url=pebble.url))
            with rig:
                until(rig, lambda: all((_file(rig, name)).exists() for name in (HOST, STS)))
                yield World(rig, pebble, named, settled(rig, HOST))


def _file(rig: Rig, name: str) -> Path:
    return rig.directory / "tls" / "acme" / f"{name}.pem"


def settled(rig: Rig, name: str) -> x509.Certificate:
    """The certificate of a name, once every worker shows it: so many connections in a row."""
    found = x509.load_pem_x509_certificate(_file(rig, name).read_bytes())
    until(rig, lambda: all(shown(rig, name) == found for _ in range(6)))
    return found


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


def key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def it_fetches_one_for_itself_and_one_for_its_domain_and_renews_when_asked(world: World) -> None:
    rig = world.rig
    own = x509.load_pem_x509_certificate((rig.directory / "tls" / "cert.pem").read_bytes())
    assert "Pebble" in world.first.issuer.rfc4514_string()
    assert key(world.first) == key(own), "the key stays, and its TLSA record with it"
    before, domains = settled(rig, HOST), settled(rig, STS)
    assert names(before) == {HOST} and names(domains) == {STS}, "autoconfig has no address, so it is left out"
    raw = socket.create_connection(("127.0.0.1", rig.port("imaps")), 10)
    with opportunistic_context().wrap_socket(raw, server_hostname=HOST) as session:
        assert session.recv(4096).startswith(b"* OK")
        done = rig.verb("cert", "renew", HOST)
        assert done == {"asked": [HOST], "fetched": [HOST], "failed": []}
        after = settled(rig, HOST)
        session.sendall(b"a NOOP\r\n")
        assert session.recv(4096).startswith(b"a OK")
    assert after != before and key(after) == key(before) and shown(rig, STS) == domains
    assert told(rig, '"kind":"tls-alpn-01"') >= 3
    assert not list((rig.directory / "run" / "acme" / "alpn").iterdir())


@contextmanager
def changed(rig: Rig, settings: str) -> Iterator[None]:
    """Other settings for a while. Workers take them at their time: ask until it is so."""
    path = rig.directory / "conf.d" / "more.toml"
    path.write_text(settings)
    rig.run("reload", "--dir", str(rig.directory))
    try:
        yield
    finally:
        path.unlink()
        rig.run("reload", "--dir", str(rig.directory))


def told(rig: Rig, event: str) -> int:
    return rig.log.read_text("utf-8", "replace").count(event)


def a_proof_that_fails_is_told_and_leaves_what_there_is(world: World) -> None:
    rig = world.rig
    before = settled(rig, HOST)
    with changed(rig, 'acme.names = ["nowhere.example.test"]\n'):
        until(rig, lambda: any("nowhere.example.test" in row["error"] for row in rig.verb("cert", "list")))
        done = rig.verb("cert", "renew", HOST, check=False)
        assert (done["fetched"], done["failed"]) == ([], [HOST])
        (row,) = [row for row in rig.verb("cert", "list") if row["certificate"] == HOST]
        assert row["shown"] == [HOST] and row["renewal"] > time.time() + 200
        assert settled(rig, HOST) == before and told(rig, '"event":"cert.failed"')
    until(rig, lambda: bool(rig.verb("cert", "renew", HOST, check=False)["fetched"] == [HOST]))


def by_dns_01(world: World) -> None:
    rig = world.rig

    def nothing_was_asked_of_the_listeners() -> bool:
        before = told(rig, '"event":"acme.challenge.shown"')
        fetched = rig.verb("cert", "renew", HOST, check=False)["fetched"]
        return bool(fetched == [HOST] and told(rig, '"event":"acme.challenge.shown"') == before)

    (rig.directory / "zone.key").write_bytes(world.named.key_file.read_bytes())
    where = f'dns_server = "127.0.0.1:{world.named.port}"\ndns_key_file = "zone.key"\ndns_seconds = 0.0\n'
    with changed(rig, f'[acme]\nchallenges = ["dns-01"]\n{where}'):
        until(rig, nothing_was_asked_of_the_listeners)


def by_http_01_from_another_authority_with_an_external_account(world: World, tmp_path: Path) -> None:
    """And with a new key, whose TLSA record was published before."""
    rig, before = world.rig, settled(world.rig, HOST)
    published: set[str] = set()
    ports = (rig.base + 80, rig.base + 443)
    (rig.directory / "eab.key").write_text(MAC)
    more = f'eab_kid = "{KID}"\neab_key_file = "eab.key"\nnew_key = true\nchallenges = ["http-01"]\n'

    def has_a_new_key() -> bool:
        """The server asks another authority by itself; should that fail, it would not again for minutes."""
        published.update(r["data"] for r in rig.verb("domain", "dns", "example.test") if r["kind"] == "TLSA")
        if key(settled(rig, HOST)) != key(before):
            return True
        rig.verb("cert", "renew", HOST, check=False)
        return False

    with (
        Pebble(tmp_path, world.named.port, *ports, external=True, authority=world.pebble.authority) as other,
        changed(rig, f'[acme]\ndirectory = "{other.url}"\n{more}'),
    ):
        until(rig, has_a_new_key)
        assert told(rig, '"kind":"http-01"')
        digest = hashlib.sha256(key(settled(rig, HOST))).hexdigest()
    assert f"3 1 1 {digest}" in published


def test_the_life_of_a_servers_certificates(world: World, tmp_path: Path) -> None:
    """One after the other: what one changes of the settings is still being done when it is over."""
    it_fetches_one_for_itself_and_one_for_its_domain_and_renews_when_asked(world)
    a_proof_that_fails_is_told_and_leaves_what_there_is(world)
    by_dns_01(world)
    by_http_01_from_another_authority_with_an_external_account(world, tmp_path)
