"""A mailing list of a whole server with a member on Postfix: signed, left by curl, bounces, moderation."""

from __future__ import annotations

import asyncio
import pathlib
import re
import smtplib
import subprocess
import time

from a3mailer.mail.authresults import PASS
from a3mailer.msgauth import dkim
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.fields import read
from a3mailer.testing.resolver import FakeResolver
from tests.compat.test_forwarding import HERES_KEY, put_key, record_of
from tests.compat.test_relay import Names, inbox, until, with_subject
from tests.peers import peer
from tests.rig import Rig

LIST = "news@here.test"


def submit(rig: Rig, to: str, subject: str, body: str = "hello") -> None:
    """A mail of alice's, who is a member."""
    with smtplib.SMTP("127.0.0.1", rig.port("submission"), timeout=60) as client:
        client.starttls()
        client.login("alice@here.test", "secret-a")
        mail = f"From: alice@here.test\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n{body}\r\n"
        client.sendmail("alice@here.test", [to], mail)


def curl(rig: Rig, path: str, *arguments: str) -> tuple[int, str]:
    url = f"https://127.0.0.1:{rig.port('https')}{path}"
    command = ["curl", "-sS", "-k", "-m", "20", "-w", "\n%{http_code}", *arguments, url]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    text, _, status = done.stdout.rpartition(b"\n")
    return int(status), text.decode()


def members(rig: Rig) -> list[str]:
    return [row["address"] for row in rig.verb("list", "members", LIST)]


def test_a_member_on_postfix_gets_signed_mail_and_leaves_with_one_click(tmp_path: pathlib.Path) -> None:
    records = (
        "example.test. 60 IN MX 10 mx.example.test.", "mx.example.test. 60 IN A 127.0.0.1",
        "gone.test. 60 IN MX 0 .",
    )  # fmt: skip
    with Names(*records) as names, peer() as postfix:
        here = Rig(
            tmp_path, hostname="mx.here.test", domain="here.test", workers=1,
            accounts=(("alice@here.test", "secret-a"),),
            settings=("limits.profile=off", "queue.retry=1", f"queue.smtp_port={postfix.port('smtp')}"),
            extra=("--dns", f"127.0.0.1:{names.port}"),
        )  # fmt: skip
        here.init()
        put_key(here)

        def arrived(subject: str) -> list[bytes]:
            return with_subject(inbox(postfix, *postfix.accounts[1]), subject)  # type: ignore[arg-type]

        with here:
            here.verb("list", "add", LIST, "--owner", "alice@here.test", "--name", "News")
            here.verb("list", "subscribe", LIST, "alice@here.test", "bob@example.test", "nobody@gone.test")
            submit(here, LIST, "to all")
            until(lambda: arrived("to all"), here)
            (mail,) = arrived("to all")
            until(lambda: here.verb("list", "members", LIST)[2]["failed"], here)
            link = re.search(rb"<https://mx\.here\.test(?::\d+)?(/lists/leave/[^>]+)>", mail)
            assert link is not None and b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in mail
            path = link[1].decode()
            assert curl(here, path)[0] == 200
            assert "bob@example.test" in members(here), "who only looks at a link does not leave"
            assert curl(here, path[:-2], "-d", "List-Unsubscribe=One-Click")[0] == 404
            assert curl(here, path, "-d", "List-Unsubscribe=One-Click")[0] == 200
            assert "bob@example.test" not in members(here)
            until(lambda: arrived("You have left news@here.test"), here)
            (row,) = here.verb("list", "archive", LIST)
            assert row["subject"] == "to all"
    header = read(mail)
    assert header.all(b"return-path")[0].value.strip().startswith(b"<BOUNCE=")
    resolver = FakeResolver()
    resolver.put("a3-rsa._domainkey.here.test", "TXT", record_of(HERES_KEY))
    (result, *_) = asyncio.run(
        dkim.verify(header, Bodies(mail, header.body), resolver, int(time.time()), "here.test")
    )
    assert result.result == PASS
    signature = b"".join(header.all(b"dkim-signature")[0].value.lower().split())
    assert b":list-unsubscribe:" in signature and b"list-unsubscribe-post" in signature
