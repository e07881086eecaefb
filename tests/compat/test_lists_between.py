"""A mailing list of one of our servers with members at another one, from the question to the last click.

``there.test`` says ``p=reject``: what the list hands on of its members has to pass at its own door again.
"""

from __future__ import annotations

import re
import smtplib
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from a3mailer.mail.authresults import PASS, parse
from a3mailer.msgauth.fields import read
from tests.compat.test_relay import Names, inbox, until, with_subject
from tests.rig import Rig

LIST, ALICE, BOB, DAVE = "news@here.test", "alice@here.test", "bob@there.test", "dave@there.test"
PASSWORD = "secret-a"
RECORDS = tuple(
    record
    for name in ("here.test", "there.test")
    for record in (
        f"{name}. 60 IN MX 10 mx.{name}.",
        f"mx.{name}. 60 IN A 127.0.0.1",
        f'{name}. 60 IN TXT "v=spf1 ip4:127.0.0.1 -all"',
        f'_dmarc.{name}. 60 IN TXT "v=DMARC1; p=reject"',
    )
)
SETTINGS = ("limits.profile=off", "dns.dnssec=off", "queue.retry=1")


@dataclass
class World:
    here: Rig
    there: Rig

    def at(self, address: str, subject: str) -> list[bytes]:
        rig = self.here if address == ALICE else self.there
        return with_subject(inbox(rig, address, PASSWORD), subject)

    def arrived(self, address: str, subject: str) -> bytes:
        until(lambda: self.at(address, subject), self.here)
        (mail,) = self.at(address, subject)
        return mail

    def submit(self, sender: str, to: str, subject: str) -> None:
        rig = self.here if sender == ALICE else self.there
        with smtplib.SMTP("127.0.0.1", rig.port("submission"), timeout=60) as client:
            client.login(sender, PASSWORD)
            client.sendmail(
                sender, [to], f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nHello\r\n"
            )

    def members(self) -> dict[str, int]:
        """With how many failures each."""
        return {row["address"]: row["failed"] for row in self.here.verb("list", "members", LIST)}


def keys(rig: Rig, domain: str) -> list[str]:
    rows = rig.verb("domain", "dns", domain)
    return [f"{row['name']}. 60 IN TXT {row['data']}" for row in rows if "._domainkey." in row["name"]]


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Names(*RECORDS) as names:
        here, there = (
            Rig(
                tmp_path_factory.mktemp(name), hostname=f"mx.{name}.test", domain=f"{name}.test", workers=1,
                accounts=[(address, PASSWORD) for address in people], settings=SETTINGS,
                extra=("--dns", f"127.0.0.1:{names.port}"),
            )
            for name, people in (("here", (ALICE,)), ("there", (BOB, DAVE)))
        )  # fmt: skip
        for us, other in ((here, there), (there, here)):
            us.env["A3_QUEUE__SMTP_PORT"] = str(other.port("smtp"))
        with here, there:
            names.put(*keys(here, "here.test"), *keys(there, "there.test"))
            here.verb("list", "add", LIST, "--owner", ALICE, "--name", "News")
            here.verb("list", "subscribe", LIST, ALICE, DAVE)
            yield World(here, there)


def found(mail: bytes) -> dict[str, str]:
    """What the server that stored it says, by method; of signatures the worst."""
    results = parse(read(mail).all(b"authentication-results")[0].value)
    assert results is not None and results.authserv_id == "mx.there.test"
    said = sorted((each.method, each.result == PASS, each.result) for each in results.results)
    return {method: result for method, _, result in reversed(said)}


def author(mail: bytes) -> bytes:
    return read(mail).all(b"from")[0].value.strip()


def test_a_list_with_members_at_another_server(world: World) -> None:
    bob_joins(world)
    world.here.verb("list", "subscribe", LIST, "nobody@there.test")
    world.submit(ALICE, LIST, "from alice")
    mail = world.arrived(DAVE, "from alice")
    assert author(mail) == ALICE.encode()
    assert found(mail).items() >= {"spf": PASS, "dkim": PASS, "dmarc": PASS, "arc": PASS}.items()
    assert read(mail).all(b"return-path")[0].value.strip().startswith(b"<BOUNCE=")
    until(lambda: world.members()["nobody@there.test"], world.here)
    what_bob_writes_passes_at_his_own_server(world)
    dave_leaves_with_one_click(world, mail)


def bob_joins(world: World) -> None:
    """He writes, is asked, and answers."""
    world.submit(BOB, "news-subscribe@here.test", "please")
    until(lambda: [mail for mail in inbox(world.there, BOB, PASSWORD) if b"CONFIRM=" in mail], world.here)
    (question,) = [mail for mail in inbox(world.there, BOB, PASSWORD) if b"CONFIRM=" in mail]
    assert found(question).items() >= {"dkim": PASS, "dmarc": PASS}.items()
    assert BOB not in world.members(), "nobody is on a list who has not said yes"
    answer = re.search(rb"(?m)^Reply-To:\s*<?([^\s<>]+)>?", question)
    assert answer is not None and answer[1].startswith(b"CONFIRM=")
    world.submit(BOB, answer[1].decode(), "Re: yes")
    until(lambda: BOB in world.members(), world.here)


def what_bob_writes_passes_at_his_own_server(world: World) -> None:
    """As he wrote it, while his signature stands; with a tag the list is the author, and he its Reply-To."""
    world.submit(BOB, LIST, "from bob")
    mail = world.arrived(DAVE, "from bob")
    assert author(mail) == BOB.encode()
    assert found(mail).items() >= {"dkim": PASS, "dmarc": PASS, "arc": PASS}.items()
    world.here.verb("list", "set", LIST, "--tag", "[News]")
    world.submit(BOB, LIST, "tagged")
    mail = world.arrived(DAVE, "[News] tagged")
    assert author(mail) == b"bob via News <news@here.test>"
    assert read(mail).all(b"reply-to")[0].value.strip() == BOB.encode()
    assert found(mail).items() >= {"dmarc": PASS, "arc": PASS}.items()


def dave_leaves_with_one_click(world: World, mail: bytes) -> None:
    link = re.search(rb"<https://mx\.here\.test(?::\d+)?(/lists/leave/[^>]+)>", mail)
    assert link is not None and b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in mail
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    url = f"https://127.0.0.1:{world.here.port('https')}{link[1].decode()}"
    with urllib.request.urlopen(url, b"List-Unsubscribe=One-Click", timeout=20, context=context) as answer:
        assert answer.status == 200
    assert world.members().keys() == {ALICE, BOB, "nobody@there.test"}
    world.arrived(DAVE, f"You have left {LIST}")
