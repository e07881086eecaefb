"""Signed mails of every shape, by opendkim and by us, still verify after being received, stored and relayed.

Each mail carries two signatures of its author's domain. One of our servers keeps a copy and hands another on
to a second one; at both, our verifier and opendkim must find what they found before the mail was sent. Left
out, and counted, are mails that no relay may hand on as they are: with NUL, or lines beyond 998 octets.
"""

from __future__ import annotations

import pathlib
import re
import smtplib
import time
from typing import Final

import pytest

from a3mailer.mail.authresults import PASS
from a3mailer.transfer.outgoing import needs
from tests.compat import post, readers
from tests.compat.test_dkim import opendkim
from tests.compat.test_forwarding import text
from tests.compat.test_relay import Names
from tests.rig import Rig
from tests.unit.msgauth.signed import DOMAIN, key, mails, pem, record, signed, verified, zone

pytestmark = pytest.mark.timeout(3600)

SELECTORS: Final = ("rsa1024", "ed")
THEIRS: Final = "rsa2048"
SECONDS: Final = 600.0
AUTHOR: Final = re.compile(rb"^From[ \t]*:.*\r\n(?:[ \t].*\r\n)*", re.IGNORECASE | re.MULTILINE)
INSERTED: Final = re.compile(r"hname='DKIM-Signature' hvalue='([^']*)'")


def given(count: int, seed: int, folder: pathlib.Path) -> list[bytes]:
    """Mails under our two signatures and one of opendkim's, each with a number of its own."""
    drawn = [one.octets for one in post.draw(count // 2, seed)]
    head = f"From: <a@{DOMAIN}>\r\n".encode()
    shapes = [head + AUTHOR.sub(b"", mail) for mail in drawn] + mails(count - len(drawn), seed)
    marked = [b"X-Number: %d\r\n" % number + ended(mail) for number, mail in enumerate(shapes)]
    kept = [mail for mail in marked if not needs(mail, eight_bit_ok=True)]
    print(f"seed {seed}: {len(kept)} mails, {len(marked) - len(kept)} left out")
    now = int(time.time())
    made = [signed(mail, *map(key, SELECTORS), now=now) for mail in kept]
    (folder / "key.pem").write_bytes(pem(THEIRS))
    (folder / "key.pem").chmod(0o600)
    settings = f"Mode s\nSelector {THEIRS}\nDomain {DOMAIN}\nKeyFile {folder}/key.pem"
    settings += "\nCanonicalization relaxed/relaxed"
    return [
        _field(found[1]) + mail
        for said, mail in zip(opendkim(folder, settings, made), made, strict=True)
        if (found := INSERTED.search(said)) is not None
    ]


def ended(mail: bytes) -> bytes:
    """With the end of its last line, as SMTP brings it."""
    return mail if mail.endswith(b"\r\n") else mail + b"\r\n"


def _field(value: str) -> bytes:
    return ("DKIM-Signature: " + value.replace("\r\n", "\n").replace("\n", "\r\n") + "\r\n").encode()


def by_us(found: list[bytes]) -> dict[int, list[str]]:
    """What we say of each mail's signatures, by its number."""
    names = zone(*map(key, (*SELECTORS, THEIRS)))
    now = int(time.time()) + 60
    return {number_of(m): sorted(r.result for r in verified(m, names, now=now)) for m in found}


def by_opendkim(found: list[bytes], folder: pathlib.Path) -> dict[int, int]:
    """How many signatures opendkim lets pass."""
    folder.mkdir()
    records = folder / "records"
    lines = [
        f"{one}._domainkey.{DOMAIN} ".encode() + record(key(one)) + b"\n" for one in (*SELECTORS, THEIRS)
    ]
    records.write_bytes(b"".join(lines))
    said = opendkim(folder, f"Mode v\nTestDNSData {records}", found)
    return {number_of(mail): text.count("dkim=pass") for mail, text in zip(found, said, strict=True)}


def number_of(mail: bytes) -> int:
    found = re.search(rb"^X-Number: (\d+)\r\n", mail, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_they_verify_where_they_are_stored_and_where_they_are_relayed_to(
    tmp_path: pathlib.Path, count: int, draw_seed: int
) -> None:
    sent = given(count, draw_seed, tmp_path)
    ours, theirs = by_us(sent), by_opendkim(sent, tmp_path / "sent")
    assert len(sent) > count * 0.8
    assert sum(results == [PASS] * 3 for results in ours.values()) > len(sent) * 0.95
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    keys = [
        f"{name}._domainkey.{DOMAIN}. 60 IN TXT {text(record(key(name)))}" for name in (*SELECTORS, THEIRS)
    ]
    records = ("there.test. 60 IN MX 10 mx.there.test.", "mx.there.test. 60 IN A 127.0.0.1", *keys)
    there = Rig(
        tmp_path / "there", hostname="mx.there.test", domain="there.test", workers=1,
        accounts=(("bob@there.test", "secret-b"),),
    )  # fmt: skip
    with Names(*records) as names, there:
        here = Rig(
            tmp_path / "here", hostname="mx.here.test", domain="here.test", workers=1,
            accounts=(("alice@here.test", "secret-a"),), extra=("--dns", f"127.0.0.1:{names.port}"),
            settings=("limits.profile=off", f"queue.smtp_port={there.port('smtp')}"),
        )  # fmt: skip
        with here:
            here.verb("alias", "add", "away@here.test", "bob@there.test")
            bring(here, sent)
            stored = readers.imaplib_read(here.port("imap"), ("alice@here.test", "secret-a"))
            end = time.monotonic() + SECONDS
            while here.verb("queue", "list"):
                assert time.monotonic() < end, here.log_tail()
                time.sleep(0.5)
        relayed = readers.imaplib_read(there.port("imap"), ("bob@there.test", "secret-b"))
    for name, found in (("stored", stored), ("relayed", relayed)):
        assert len(found) == len(sent)
        assert by_us(found) == ours, name
        assert by_opendkim(found, tmp_path / name) == theirs, name
    said = sum(mail.count(b"dkim=pass") for mail in stored)
    assert said == sum(results.count(PASS) for results in ours.values())  # as the header of each tells


def bring(here: Rig, sent: list[bytes]) -> None:
    with smtplib.SMTP("127.0.0.1", here.port("smtp")) as smtp:
        for mail in sent:
            to = ["alice@here.test", "away@here.test"]
            smtp.sendmail(f"sender@{DOMAIN}", to, mail, mail_options=["BODY=8BITMIME"])
