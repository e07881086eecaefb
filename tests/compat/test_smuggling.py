"""End-of-data smuggling between servers, both ways, with a real Postfix (attack rows 1 and 2).

A Postfix that takes bare line feeds for ends of lines (its defaults before CVE-2023-51764) is the easiest
victim: whatever we were given, it must see one mail. And what it hands to us is as many mails as it took.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from bench.peers.rig import PeerRig
from tests.compat.test_relay import inbox, until
from tests.peers import peer
from tests.rig import Rig
from tests.unit.edge.smtp.test_smuggling import all_variants

USER = ("alice@here.test", "secret-a")
SMUGGLED = b"Subject: smuggled"


@contextmanager
def talking(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        say(sock, b"")
        say(sock, b"EHLO attacker.example\r\n")
        yield sock


def say(sock: socket.socket, octets: bytes) -> bytes:
    """One command; its whole reply."""
    sock.sendall(octets)
    said = b""
    while not said.endswith(b"\n") or said.splitlines()[-1][3:4] == b"-":
        piece = sock.recv(65536)
        assert piece, said
        said += piece
    return said


def attack(variant: bytes, number: int, target: str) -> bytes:
    """A content that has a second mail behind what only looks like its end; the right end ends both."""
    inner = (
        f"MAIL FROM:<admin@here.test>\r\nRCPT TO:<{target}>\r\nDATA\r\n"
        "From: admin@here.test\r\nSubject: smuggled\r\n\r\nyou are mine\r\n.\r\n"
    )
    return f"Subject: outer {number}\r\n\r\nbefore".encode() + variant + inner.encode()


def send(port: int, target: str, contents: Iterable[bytes]) -> int:
    """Each in a session of its own; how many mails were taken."""
    taken = 0
    for content in contents:
        with talking(port) as sock:
            say(sock, b"MAIL FROM:<eve@example.org>\r\n")
            say(sock, f"RCPT TO:<{target}>\r\n".encode())
            say(sock, b"DATA\r\n")
            sock.sendall(content + b"QUIT\r\n")
            said = b""
            while piece := sock.recv(65536):
                said += piece
        replies = said.splitlines()
        taken += sum(r.startswith(b"250 2.0.0") for r in replies)
    return taken


@pytest.fixture(scope="module")
def postfix_and_ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PeerRig, Rig]]:
    postfix = peer(settings={"smtpd_forbid_bare_newline": "no", "smtpd_forbid_unauth_pipelining": "no"})
    rule = f"queue.rules=to=example.test via=127.0.0.1:{postfix.port('smtp')}"
    here = Rig(
        tmp_path_factory.mktemp("ours"), hostname="mx.here.test", domain="here.test", workers=1,
        accounts=(USER,), settings=("profile=plain", "limits.profile=off", "queue.retry=1", rule),
    )  # fmt: skip
    with (postfix.postfix.config / "main.cf").open("a") as main:
        main.write(f"default_transport = smtp:[127.0.0.1]:{here.port('smtp')}\n")
    with postfix, here:
        here.verb("alias", "add", "out@here.test", "bob@example.test")
        yield postfix, here


def test_row_2_a_postfix_that_is_easily_fooled_gets_one_mail_of_one(
    postfix_and_ours: tuple[PeerRig, Rig],
) -> None:
    postfix, here = postfix_and_ours
    variants = all_variants()
    contents = [attack(v, n, "bob@example.test") for n, v in enumerate(variants)]
    assert send(here.port("smtp"), "out@here.test", contents) == len(variants)

    def arrived() -> list[bytes]:
        return inbox(postfix, *postfix.accounts[1])  # type: ignore[arg-type]

    until(lambda: len(arrived()) >= len(variants), here)
    until(lambda: not here.verb("queue", "list") and not postfix.queued(), here)
    mails = arrived()
    assert len(mails) == len(variants)
    for number in range(len(variants)):
        (mail,) = [m for m in mails if b"Subject: outer %d\r\n" % number in m]
        head, _, body = mail.partition(b"\r\n\r\n")
        assert SMUGGLED not in head and SMUGGLED in body, variants[number]


def test_row_1_of_what_a_postfix_hands_on_we_take_as_many_mails_as_it_took(
    postfix_and_ours: tuple[PeerRig, Rig],
) -> None:
    """Some variants fool this Postfix itself: then it hands on two, and says so."""
    postfix, here = postfix_and_ours
    variants = all_variants()
    contents = [attack(v, n, "alice@here.test") for n, v in enumerate(variants)]
    taken = send(postfix.port("smtp"), "alice@here.test", contents)
    assert taken > len(variants)  # or it is no victim, and the test above shows nothing

    def arrived() -> list[bytes]:
        return inbox(here, *USER)

    until(lambda: len(arrived()) >= taken and not postfix.queued(), here)
    assert len(arrived()) == taken
