"""The index of texts as an operator and a mail program meet it: made soon, found by, erased, made again."""

from __future__ import annotations

import base64
import imaplib
import smtplib
import time
from collections.abc import Iterator

import pytest

from tests.pdf import pdf
from tests.rig import Rig

WITHIN = 60.0
PAPER = (
    b"From: x@remote.test\r\nSubject: paper\r\nContent-Type: application/pdf; name=p.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(pdf("Perihelion"))
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("index"), workers=1) as running:
        yield running


def search(rig: Rig, *words: str) -> list[int]:
    with imaplib.IMAP4("127.0.0.1", rig.port("imap")) as client:
        client.login("bob@example.test", "secret-b")
        client.select()
        return [int(number) for number in client.search(None, *words)[1][0].split()]


def indexed(rig: Rig, mails: int) -> None:
    until = time.monotonic() + WITHIN
    while (found := rig.verb("search", "status", "bob@example.test"))["indexed"] < mails:
        assert time.monotonic() < until, (found, rig.log_tail())
        time.sleep(0.2)
    assert found["mails"] == found["indexed"]
    assert found["octets"] > 0


def test_mails_are_indexed_and_found(rig: Rig) -> None:
    volumes = rig.directory / "texts"
    with smtplib.SMTP("127.0.0.1", rig.port("smtp")) as client:
        for body in ("the quick brown fox", "会议纪要"):
            mail = f"Subject: s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n".encode()
            client.sendmail("x@remote.test", ["bob@example.test"], mail)
        client.sendmail("x@remote.test", ["bob@example.test"], PAPER)
    assert search(rig, "BODY", '"k BROWN f"') == [1]  # as soon as it is there
    indexed(rig, 3)
    assert search(rig, "BODY", '"k BROWN f"') == [1]
    assert search(rig, "TEXT", "perihelion") == [3]
    assert rig.verb("search", "rebuild")["accounts"] >= 2
    assert search(rig, "BODY", '"k BROWN f"') == [1]
    indexed(rig, 3)
    assert list(volumes.rglob("*.volume"))
    rig.verb("account", "reset", "bob@example.test")
    assert not list(volumes.rglob("*.volume"))
    state = (rig.directory / "run" / "state.json").read_text()
    assert "indexer" not in state  # who watches the server's processes sees those that serve
