"""A stranger's mail through an alias of ours to a third server: what speaks for it there, and its bounces.

``carol@origin.test`` signs and sends, ``here.test`` forwards, ``there.test`` receives.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import re
import smtplib
import socketserver
import threading
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from a3mailer.mail.authresults import PASS, parse
from a3mailer.msgauth import dkim
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.fields import read
from a3mailer.msgauth.sign import SigningKey, sign
from a3mailer.msgauth.spf import check_mail_from
from a3mailer.testing.resolver import FakeResolver
from tests.compat.test_arc import ask
from tests.compat.test_relay import Names, inbox, until, with_subject
from tests.rig import Rig

ORIGIN = "127.0.0.2"
SENT_AT = 1_795_000_000


class Mailbox(socketserver.StreamRequestHandler):
    """The server of ``origin.test``: takes everything, one recipient and mail after the other."""

    server: Origin

    def handle(self) -> None:
        sender = recipient = b""
        self.wfile.write(b"220 mx.origin.test\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"MAIL":
                sender = line[11:].split(b">")[0]
            elif verb == b"RCPT":
                recipient = line[9:].split(b">")[0]
            elif verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                octets = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.mails.append((sender.decode(), recipient.decode(), octets))
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            if verb == b"QUIT":
                return


class Origin(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, address: str = ORIGIN) -> None:
        super().__init__((address, port), Mailbox)
        self.mails: list[tuple[str, str, bytes]] = []


@functools.cache
def carols_key() -> SigningKey:
    return SigningKey("origin.test", "s1", rsa.generate_private_key(65537, 1024))


HERES_KEY = SigningKey("here.test", "a3-rsa", rsa.generate_private_key(65537, 2048))


def record_of(key: SigningKey) -> bytes:
    octets = key.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; p=" + base64.b64encode(octets)


def carols_record() -> bytes:
    return record_of(carols_key())


def text(record: bytes) -> str:
    """As strings of a master file."""
    return " ".join(f'"{record[at : at + 200].decode()}"' for at in range(0, len(record), 200))


def put_key(rig: Rig) -> None:
    """The key of ``here.test`` whose record is published."""
    folder = rig.directory / "keys" / "dkim" / "here.test"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    pem = HERES_KEY.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "a3-rsa.pem").write_bytes(pem)


def carols_mail(subject: str, author: str = "carol@origin.test") -> bytes:
    mail = (
        f"From: Carol <{author}>\r\nTo: away@here.test\r\nSubject: {subject}\r\n"
        f"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{subject}@origin.test>\r\n\r\n"
        "Hello,\r\n\r\n.a line with a dot\r\n"
    ).encode()
    header = read(mail)
    return sign(header, Bodies(mail, header.body), (carols_key(),), SENT_AT) + mail


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, Rig, Origin]]:
    records = (
        "there.test. 60 IN MX 10 mx.there.test.",
        "mx.there.test. 60 IN A 127.0.0.1",
        "origin.test. 60 IN MX 10 mx.origin.test.",
        f"mx.origin.test. 60 IN A {ORIGIN}",
        f"s1._domainkey.origin.test. 60 IN TXT {text(carols_record())}",
        '_dmarc.origin.test. 60 IN TXT "v=DMARC1; p=reject"',
        'origin.test. 60 IN TXT "v=spf1 ip4:127.0.0.2 -all"',
        'here.test. 60 IN TXT "v=spf1 ip4:127.0.0.1 -all"',
        f"a3-rsa._domainkey.here.test. 60 IN TXT {text(record_of(HERES_KEY))}",
    )
    with contextlib.ExitStack() as stack:
        names = stack.enter_context(Names(*records))
        dns = ("--dns", f"127.0.0.1:{names.port}")
        there = Rig(
            tmp_path_factory.mktemp("there"), hostname="mx.there.test", domain="there.test", workers=1,
            accounts=(("bob@there.test", "secret-b"),), extra=dns, settings=("limits.profile=off",),
        )  # fmt: skip
        stack.enter_context(there)
        origin = stack.enter_context(Origin(there.port("smtp")))
        thread = threading.Thread(target=origin.serve_forever)
        thread.start()
        here = Rig(
            tmp_path_factory.mktemp("here"), hostname="mx.here.test", domain="here.test", workers=2,
            accounts=(("alice@here.test", "secret-a"),),
            settings=("limits.profile=off", "queue.retry=1", f"queue.smtp_port={there.port('smtp')}"),
            extra=dns,
        )  # fmt: skip
        here.init()
        put_key(here)
        try:
            with here:
                here.verb("alias", "add", "away@here.test", "bob@there.test")
                here.verb("alias", "add", "lost@here.test", "nobody@there.test")
                yield here, there, origin
        finally:
            origin.shutdown()
            thread.join(10)


def send(here: Rig, to: str, mail: bytes, sender: str = "carol@origin.test") -> None:
    with smtplib.SMTP("127.0.0.1", here.port("smtp"), local_hostname="mx.origin.test") as smtp:
        smtp.sendmail(sender, [to], mail)


def arrived(here: Rig, there: Rig, subject: str) -> tuple[bytes, str]:
    """(the mail as bob has it, its reverse-path)."""
    until(lambda: with_subject(inbox(there, "bob@there.test", "secret-b"), subject), here)
    (mail,) = with_subject(inbox(there, "bob@there.test", "secret-b"), subject)
    path = re.match(rb"Return-Path: <([^>]*)>", mail)
    assert path is not None
    return mail, path[1].decode()


def check_what_there_found(mail: bytes) -> None:
    """The third server's own words, and dkimpy's on the chain."""
    found = parse(read(mail).all(b"authentication-results")[0].value)
    assert found is not None
    assert found.authserv_id == "mx.there.test"
    words = {result.method: result for result in found.results}
    assert {name: words[name].result for name in ("spf", "dkim", "dmarc", "arc")} == dict.fromkeys(
        ("spf", "dkim", "dmarc", "arc"), PASS
    )
    assert words["arc"].value("header", "d") == "here.test"
    records = {
        "a3-rsa._domainkey.here.test": record_of(HERES_KEY),
        "s1._domainkey.origin.test": carols_record(),
    }
    assert ask([mail], records=records) == [PASS]


def test_dkim_stays_good_and_spf_passes_for_the_forwarder(road: tuple[Rig, Rig, Origin]) -> None:
    here, there, _ = road
    sent = carols_mail("forwarded")
    send(here, "away@here.test", sent)
    mail, path = arrived(here, there, "forwarded")
    assert mail.endswith(sent)
    check_what_there_found(mail)
    assert path.startswith("SRS0=")
    assert path.endswith("=origin.test=carol@here.test")
    resolver = FakeResolver()
    resolver.put("s1._domainkey.origin.test", "TXT", carols_record())
    resolver.put("here.test", "TXT", b"v=spf1 ip4:127.0.0.1 -all")
    resolver.put("origin.test", "TXT", b"v=spf1 ip4:127.0.0.2 -all")
    header = read(mail)
    (result,) = asyncio.run(dkim.verify(header, Bodies(mail, header.body), resolver, SENT_AT, "origin.test"))
    assert (result.result, result.domain) == (PASS, "origin.test")
    for sender, expected in ((path, PASS), ("carol@origin.test", "fail")):
        found = asyncio.run(check_mail_from("127.0.0.1", "mx.here.test", sender, resolver))
        assert found.result == expected


def test_bounces_find_the_sender(road: tuple[Rig, Rig, Origin]) -> None:
    """One that the next server sends later, and one of ours because it refused the mail."""
    here, there, origin = road
    send(here, "away@here.test", carols_mail("later"))
    _, path = arrived(here, there, "later")
    send(here, path, b"Subject: too late\r\n\r\nbounced\r\n", sender="")
    until(lambda: any(b"Subject: too late" in octets for _, _, octets in origin.mails), here)
    send(here, "lost@here.test", carols_mail("refused"))
    until(lambda: any(b"nobody@there.test" in octets for _, _, octets in origin.mails), here)
    assert {(sender, recipient) for sender, recipient, _ in origin.mails} == {("", "carol@origin.test")}
    (notice,) = (octets for _, _, octets in origin.mails if b"nobody@there.test" in octets)
    assert b"\r\nAction: failed\r\nStatus: 5.1.1\r\n" in notice
    assert here.verb("queue", "list") == []


def test_row_6_nobody_else_gets_through(road: tuple[Rig, Rig, Origin]) -> None:
    here, there, origin = road
    send(here, "away@here.test", carols_mail("known"))
    _, path = arrived(here, there, "known")
    before = len(origin.mails)
    with smtplib.SMTP("127.0.0.1", here.port("smtp")) as smtp:
        smtp.ehlo("mx.evil.test")
        for sender, to in (
            ("mallory@evil.test", path),
            ("", path.replace("=carol@", "=victim@")),
            ("", path.replace("origin.test", "victim.test")),
            ("", "SRS0=AAAAAAAA=AA=victim.test=x@here.test"),
            ("", "SRS1=AAAAAAAA=victim.test==x@here.test"),
            ("", "SRS0=AAAAAAAA=AA=victim.test=x@there.test"),
        ):
            assert smtp.mail(sender)[0] == 250
            assert smtp.rcpt(to)[0] == 550
            smtp.rset()
    assert len(origin.mails) == before
