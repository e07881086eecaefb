"""Which listeners an instance has when systemd hands over some of them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from a3mailer.app import listeners
from a3mailer.app.listeners import PORTS, CannotListen, addresses_of, listen, systemd_sockets
from a3mailer.config.tree import Server, Settings

Handed = dict[str, list[socket.socket]]


@pytest.fixture
def base() -> int:
    """A port base at which every port of the table is free now."""
    for number in range(30_000, 56_000, 131):
        try:
            for port in PORTS:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number + port.number))
        except OSError:
            continue
        return number
    raise AssertionError("no free ports")


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Handed]:
    """What systemd hands over, as the test fills it in."""
    found: Handed = {}
    monkeypatch.setattr(listeners, "systemd_sockets", lambda: dict(found))
    yield found
    for sockets in found.values():
        for each in sockets:
            each.close()


def names(settings: Settings) -> list[str]:
    bound = listen(settings)
    for sockets in bound.values():
        for each in sockets:
            each.close()
    return list(bound)


def test_without_systemd_every_listener_is_bound(base: int, handed: Handed) -> None:
    assert names(Settings(server=Server(port_base=base))) == [port.name for port in PORTS]


def test_lmtp_has_no_login_so_it_is_bound_for_this_machine_only() -> None:
    lmtp, smtp = PORTS[0], PORTS[1]
    assert (lmtp.name, smtp.name) == ("lmtp", "smtp")
    for listen_on, local in (
        (("0.0.0.0", "::"), ("127.0.0.1",)),
        (("192.0.2.1",), ("127.0.0.1",)),
        (("192.0.2.1", "::1", "127.0.0.2"), ("::1", "127.0.0.2")),
    ):
        settings = Settings(server=Server(listen=listen_on))
        assert addresses_of(lmtp, settings) == local and addresses_of(smtp, settings) == listen_on


def test_two_servers_of_one_machine_each_have_their_private_one() -> None:
    metrics = PORTS[-1]
    assert metrics.private
    for listen_on, own in (
        (("0.0.0.0", "::"), "127.0.0.1"),
        (("192.0.2.1", "::1"), "127.0.0.1"),
        (("192.0.2.1", "127.0.0.2", "127.0.0.3"), "127.0.0.2"),
    ):
        assert addresses_of(metrics, Settings(server=Server(listen=listen_on))) == (own,)


def test_a_part_of_the_sockets_is_all_that_is_served_but_for_the_private_one(
    base: int, handed: Handed
) -> None:
    handed.update(imaps=[socket.socket()], smtp=[socket.socket(), socket.socket()])
    assert names(Settings(server=Server(port_base=base))) == ["smtp", "imaps", "metrics"]


def test_the_private_one_can_be_handed_over_too(base: int, handed: Handed) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 9090))
        handed.update(metrics=[socket.socket()])
        assert names(Settings(server=Server(port_base=base))) == ["metrics"]


def test_a_socket_of_an_unknown_name_is_refused(base: int, handed: Handed) -> None:
    handed["pop4"] = [socket.socket()]
    with pytest.raises(CannotListen, match="pop4"):
        listen(Settings(server=Server(port_base=base)))


def test_sockets_meant_for_another_process_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert systemd_sockets() == {}
