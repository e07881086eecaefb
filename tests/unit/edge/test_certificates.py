"""Certificates shown by name and swapped while a worker serves, in real handshakes."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from a3mailer.config.tree import Server, Settings, Tls
from a3mailer.edge.certificates import ServerCertificates
from a3mailer.edge.tls import TICKET_SECONDS, end_point_of, opportunistic_context
from a3mailer.identity.sasl.channel import server_end_point
from a3mailer.ops.certificates import ACME, CertificateStore
from a3mailer.ops.pkix import read_chain
from a3mailer.testing.clock import FakeClock
from tests.certificates import NOW, Certified, authority, certified

ROOT = authority()
HOST, DOMAIN = "mail.example.test", "mta-sts.other.test"


@dataclass
class World:
    place: Path
    clock: FakeClock
    store: CertificateStore
    own: Certified

    def put(self, made: Certified, name: str) -> Certified:
        self.store.put(ACME, name, read_chain(made.pem + ROOT.pem), made.key)
        return made

    def certificates(self) -> ServerCertificates:
        return ServerCertificates(self.place, self.settings(), self.clock)

    @staticmethod
    def settings(certificate: str = "tls/cert.pem") -> Settings:
        return Settings(server=Server(hostname=HOST), tls=Tls(certificate=certificate))


@pytest.fixture
def world(tmp_path: Path) -> World:
    own = certified(HOST)
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "cert.pem").write_bytes(own.pem)
    (tmp_path / "tls" / "key.pem").write_bytes(own.key_pem)
    return World(tmp_path, FakeClock(NOW.timestamp()), CertificateStore(tmp_path, World.settings()), own)


@contextmanager
def session(
    context: ssl.SSLContext,
    name: str | None,
    former: ssl.SSLSession | None = None,
    client: ssl.SSLContext | None = None,
) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """(client, server) after a handshake."""
    left, right = socket.socketpair()
    server = context.wrap_socket(left, server_side=True, do_handshake_on_connect=False)
    failed: list[OSError] = []

    def serve() -> None:
        try:
            server.do_handshake()
            server.send(b"x")  # the tickets of TLS 1.3 go before it
        except OSError as error:
            failed.append(error)
            server.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        outer = (client or opportunistic_context()).wrap_socket(right, server_hostname=name, session=former)
        assert outer.recv(1) == b"x"
        thread.join()
        yield outer, server
        outer.close()
    finally:
        thread.join()
        right.close()
        server.close()


def shown(context: ssl.SSLContext, name: str | None = HOST) -> bytes:
    with session(context, name) as (client, server):
        der = client.getpeercert(binary_form=True)
        assert der is not None
        assert end_point_of(server) == server_end_point(der)
        return der


def test_the_name_decides(world: World) -> None:
    domain = world.put(certified(DOMAIN, ROOT), DOMAIN)
    context = world.certificates().context
    assert shown(context, DOMAIN) == shown(context, DOMAIN.upper()) == domain.der
    for name in (HOST, "stranger.test", "other.test", None):
        assert shown(context, name) == world.own.der


def test_a_renewal_is_taken_while_a_session_stays(world: World) -> None:
    certificates = world.certificates()
    context = certificates.context
    with session(context, HOST) as (client, server):
        first = world.put(certified(HOST, ROOT), HOST)
        assert shown(context) == world.own.der
        certificates.sweep()
        assert shown(context) == shown(context, None) == first.der
        second = world.put(certified(HOST, ROOT, key=first.key), HOST)
        certificates.sweep()
        assert shown(context) == second.der
        client.send(b"still here")
        assert server.recv(100) == b"still here"
        assert end_point_of(server) == server_end_point(world.own.der)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_from_before_the_swap_is_not_bound_to_the_new_certificate(
    world: World, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = world.certificates()
    peer = opportunistic_context()
    peer.maximum_version = version
    with session(certificates.context, HOST, client=peer) as (client, _):
        ticket = client.session
    with session(certificates.context, HOST, ticket, peer) as (client, server):
        assert client.session_reused and server.session_reused
        assert end_point_of(server) == server_end_point(world.own.der)
        ticket = client.session
    made = world.put(certified(HOST, ROOT), HOST)
    certificates.sweep()
    with session(certificates.context, HOST, ticket, peer) as (client, server):
        assert client.session_reused and end_point_of(server) is None
    with session(certificates.context, HOST, client=peer) as (_, server):
        assert end_point_of(server) == server_end_point(made.der)
        ticket = client.session
    monkeypatch.setattr("a3mailer.edge.tls.TICKET_SECONDS", 0.0)
    assert TICKET_SECONDS > 0
    with session(certificates.context, HOST, ticket, peer) as (client, server):
        assert end_point_of(server) == server_end_point(made.der)


def test_one_that_ended_gives_its_place_back(world: World) -> None:
    made = world.put(certified(HOST, ROOT, days=1), HOST)
    certificates = world.certificates()
    assert shown(certificates.context) == made.der
    world.clock.advance(2 * 86_400)
    certificates.sweep()
    assert shown(certificates.context) == world.own.der


def test_files_that_cannot_be_used_change_nothing(world: World) -> None:
    certificates = world.certificates()
    path = world.place / "tls" / "acme" / f"{HOST}.pem"
    path.parent.mkdir()
    alone = certified(HOST, ROOT).pem
    for octets in (b"", b"nonsense", alone, alone + world.own.key_pem):
        path.unlink(missing_ok=True)
        path.write_bytes(octets)
        certificates.sweep()
        assert shown(certificates.context) == world.own.der
        assert shown(world.certificates().context) == world.own.der
    with pytest.raises(OSError):
        certificates.reload(World.settings("tls/absent.pem"))
    assert shown(certificates.context) == world.own.der
    path.unlink()
    made = world.put(certified(HOST, ROOT), HOST)
    certificates.sweep()
    assert shown(certificates.context) == made.der


def test_a_file_that_vanished_within_a_second(world: World) -> None:
    world.put(certified(DOMAIN, ROOT), DOMAIN)
    certificates = world.certificates()
    world.store.remove(ACME, DOMAIN)
    assert shown(certificates.context, DOMAIN) == world.own.der


def test_a_reload_reads_the_configured_file_anew(world: World) -> None:
    certificates = world.certificates()
    other = certified(HOST, ROOT)
    (world.place / "tls" / "cert.pem").write_bytes(other.pem)
    (world.place / "tls" / "key.pem").write_bytes(other.key_pem)
    certificates.reload(World.settings())
    assert shown(certificates.context) == other.der


def test_without_any_certificate_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cert\.pem"):
        ServerCertificates(tmp_path, Settings(), FakeClock())
