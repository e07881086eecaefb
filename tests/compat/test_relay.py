"""Two of our servers as users run them: mail from one to the other, and what comes back of it."""

from __future__ import annotations

import asyncio
import imaplib
import smtplib
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from a3mailer.testing.nameserver import NameServer
from tests.rig import Rig

WITHIN = 30.0
"""Seconds in which a mail must have arrived on a busy machine."""


class Names:
    """A name server in a thread of its own."""

    def __init__(self, *records: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._records = records
        self._server = NameServer()
        self.port = 0
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))

    async def _run(self) -> None:
        async with NameServer() as server:
            self._server = server
            server.put(*self._records)
            self.port = server.port
            self._started.set()
            await self._stop.wait()

    def put(self, *records: str) -> None:
        """Have more records from now on."""
        self._loop.call_soon_threadsafe(self._server.put, *records)

    def __enter__(self) -> Names:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, Rig]]:
    """``here.test`` sends to ``there.test`` by its MX; what is refused there comes back here at home."""
    records = ("there.test. 60 IN MX 10 mx.there.test.", "mx.there.test. 60 IN A 127.0.0.1")
    there = Rig(
        tmp_path_factory.mktemp("there"), hostname="mx.there.test", domain="there.test", workers=1,
        accounts=(("bob@there.test", "secret-b"),),
    )  # fmt: skip
    with Names(*records) as names, there:
        plain = ("profile=plain", "limits.profile=off", "queue.retry=1")
        here = Rig(
            tmp_path_factory.mktemp("here"), hostname="mx.here.test", domain="here.test", workers=2,
            accounts=(("alice@here.test", "secret-a"),),
            settings=(*plain, f"queue.smtp_port={there.port('smtp')}"),
            extra=("--dns", f"127.0.0.1:{names.port}"),
        )  # fmt: skip
        with here:
            yield here, there


def submit(rig: Rig, to: str, *subjects: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", rig.port("submission")) as smtp:
        smtp.starttls(context=context)
        smtp.login("alice@here.test", "secret-a")
        for subject in subjects:
            head = f"From: alice@here.test\r\nTo: {to}\r\nBcc: x@hidden.test\r\n"
            mail = f"{head}Subject: {subject}\r\n\r\nHello\r\n"
            smtp.sendmail("alice@here.test", [to], mail)


def inbox(rig: Rig, address: str, password: str) -> list[bytes]:
    with imaplib.IMAP4("127.0.0.1", rig.port("imap")) as imap:
        imap.login(address, password)
        if imap.select("INBOX", readonly=True)[1] == [b"0"]:
            return []
        return [p[1] for p in imap.fetch("1:*", "(BODY.PEEK[])")[1] if isinstance(p, tuple)]


def until(found: Callable[[], object], log: Rig) -> None:
    deadline = time.monotonic() + WITHIN
    while not found():
        assert time.monotonic() < deadline, log.log_tail()
        time.sleep(0.1)


def with_subject(mails: list[bytes], subject: str) -> list[bytes]:
    return [mail for mail in mails if f"\r\nSubject: {subject}\r\n".encode() in mail]


def at_bobs(there: Rig, subject: str) -> list[bytes]:
    return with_subject(inbox(there, "bob@there.test", "secret-b"), subject)


def test_a_mail_goes_from_user_to_user_over_tls(pair: tuple[Rig, Rig]) -> None:
    here, there = pair
    submit(here, "bob@there.test", "one")
    until(lambda: at_bobs(there, "one"), here)
    (mail,) = at_bobs(there, "one")
    assert mail.startswith(b"Return-Path: <alice@here.test>\r\nReceived: from mx.here.test ([127.0.0.1])\r\n")
    assert b"with ESMTPS id" in mail
    assert b"with ESMTPSA id" in mail
    assert b"x@hidden.test" not in mail
    assert mail.count(b"Return-Path:") == 1
    assert here.verb("queue", "list") == []


def test_what_is_refused_comes_back(pair: tuple[Rig, Rig]) -> None:
    here, _ = pair
    submit(here, "nobody@there.test", "two")

    def notices() -> list[bytes]:
        return [m for m in inbox(here, "alice@here.test", "secret-a") if b"<nobody@there.test>" in m]

    until(notices, here)
    (notice,) = notices()
    assert b"\r\nSubject: Your message could not be delivered\r\n" in notice
    assert notice.startswith(b"Return-Path: <>\r\n")
    assert b"\r\nFinal-Recipient: rfc822; nobody@there.test\r\nAction: failed\r\nStatus: 5.1.1\r\n" in notice
    assert here.verb("queue", "list") == []


def test_what_mail_asks_for_is_kept_and_handed_on(pair: tuple[Rig, Rig]) -> None:
    """RFC 4865, RFC 6710, RFC 2852: held for two seconds, of low priority, to be there in ten minutes."""
    here, there = pair
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", here.port("submission")) as smtp:
        smtp.starttls(context=context)
        smtp.login("alice@here.test", "secret-a")
        mail = "From: alice@here.test\r\nMessage-ID: <later@here.test>\r\nSubject: later\r\n\r\nHello\r\n"
        asks = ("HOLDFOR=2", "MT-PRIORITY=-3", "BY=600;R")
        smtp.sendmail("alice@here.test", ["bob@there.test", "alice@here.test"], mail, asks)
    story = here.verb("message", "trace", "<later@here.test>")["story"]
    assert "it is held until" in story[1] and "it comes back" in story[2] and len(story) == 5
    (entry,) = here.verb("queue", "list")
    assert (entry["priority"], entry["by_mode"]) == (-3, "R")
    assert entry["not_before"] >= entry["created"] and entry["deliver_by"] == entry["not_before"] + 600
    until(lambda: at_bobs(there, "later"), here)
    until(lambda: with_subject(inbox(here, "alice@here.test", "secret-a"), "later"), here)
    (mail_there,) = at_bobs(there, "later")
    assert mail_there.count(b"\r\n\tPRIORITY -3;") == 2, "both servers say so"
    until(lambda: here.verb("queue", "list") == [], here)
    told = "\n".join(here.verb("queue", "show", str(entry["queue"]))["story"])
    assert "to <bob@there.test>: taken by mx.there.test" in told
    assert "to <alice@here.test>: put into the mailbox here" in told


def test_giving_up_tells_the_sender(pair: tuple[Rig, Rig]) -> None:
    here, there = pair
    there.stop()
    submit(here, "bob@there.test", "three")
    until(lambda: here.verb("queue", "list"), here)
    (entry,) = here.verb("queue", "list")
    here.verb("queue", "fail", str(entry["queue"]))
    until(
        lambda: any(
            b"given up by the administrator" in m for m in inbox(here, "alice@here.test", "secret-a")
        ),
        here,
    )
    assert here.verb("queue", "list") == []
    there.start()


def test_a_server_killed_amid_it_hands_everything_on(pair: tuple[Rig, Rig]) -> None:
    here, there = pair
    names = [f"four-{n}" for n in range(30)]
    submit(here, "bob@there.test", *names)
    here.kill()
    here.start()
    until(lambda: all(at_bobs(there, name) for name in names), here)
    until(lambda: here.verb("queue", "list") == [], here)


def test_a_server_that_is_away_gets_its_mail_when_it_is_back(pair: tuple[Rig, Rig]) -> None:
    here, there = pair
    there.stop()
    submit(here, "bob@there.test", "five")
    until(lambda: any(r["attempts"] for e in here.verb("queue", "list") for r in e["recipients"]), here)
    (entry,) = here.verb("queue", "list")
    assert entry["recipients"][0]["enhanced"] == "4.4.1"
    assert here.verb("queue", "hold", str(entry["queue"]))
    there.start()
    time.sleep(2.5)
    assert not at_bobs(there, "five")
    here.verb("queue", "release", str(entry["queue"]))
    until(lambda: at_bobs(there, "five"), here)
    assert len(at_bobs(there, "five")) == 1
