"""A mail that an alias of ours hands on to Postfix, from a sender whose SRS address exceeds 64 octets."""

from __future__ import annotations

import asyncio
import pathlib

from a3mailer.mail.authresults import PASS
from a3mailer.msgauth import dkim
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.fields import read
from a3mailer.testing.resolver import FakeResolver
from tests.compat.test_arc import ask
from tests.compat.test_forwarding import (
    HERES_KEY,
    SENT_AT,
    carols_mail,
    carols_record,
    put_key,
    record_of,
    send,
    text,
)
from tests.compat.test_relay import Names, inbox, until, with_subject
from tests.peers import peer
from tests.rig import Rig

SENDER = "bounces+1234567-abcd-someone=example.test.and.a.little.more@origin.test"


def test_postfix_takes_it_and_what_it_stores_still_verifies(tmp_path: pathlib.Path) -> None:
    records = (
        "example.test. 60 IN MX 10 mx.example.test.",
        "mx.example.test. 60 IN A 127.0.0.1",
        f"s1._domainkey.origin.test. 60 IN TXT {text(carols_record())}",
    )
    with Names(*records) as names, peer() as postfix:
        here = Rig(
            tmp_path, hostname="mx.here.test", domain="here.test", workers=1,
            accounts=(("alice@here.test", "secret-a"),),
            settings=("limits.profile=off", "queue.retry=1", f"queue.smtp_port={postfix.port('smtp')}"),
            extra=("--dns", f"127.0.0.1:{names.port}"),
        )  # fmt: skip
        here.init()
        put_key(here)
        with here:
            here.verb("alias", "add", "away@here.test", "bob@example.test")
            send(here, "away@here.test", carols_mail("to postfix"), SENDER)

            def found() -> list[bytes]:
                return with_subject(inbox(postfix, *postfix.accounts[1]), "to postfix")  # type: ignore[arg-type]

            until(found, here)
            (mail,) = found()
    path = read(mail).all(b"return-path")[0].value.strip()
    assert path.startswith(b"<SRS0=")
    assert path.endswith(b"=origin.test=%b@here.test>" % SENDER.partition("@")[0].encode())
    assert len(path.partition(b"@")[0]) > 64
    zone = {"a3-rsa._domainkey.here.test": record_of(HERES_KEY), "s1._domainkey.origin.test": carols_record()}
    assert ask([mail], records=zone) == [PASS]
    resolver = FakeResolver()
    for name, record in zone.items():
        resolver.put(name, "TXT", record)
    header = read(mail)
    (result,) = asyncio.run(dkim.verify(header, Bodies(mail, header.body), resolver, SENT_AT, "origin.test"))
    assert result.result == PASS
