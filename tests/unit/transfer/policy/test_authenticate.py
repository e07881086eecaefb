"""Mail of strangers is looked at before it is stored: what is written down, taken away, filed and refused."""

import mmap
from typing import Any

import pytest
from msgspec import structs

from a3mailer.config.tree import Dns, Msgauth, Server, Settings
from a3mailer.edge.smtp.replies import reply_to
from a3mailer.mail.authresults import AuthResults, parse
from a3mailer.mail.envelope import Client
from a3mailer.mail.errors import Refused
from a3mailer.telemetry.metrics import SHARED
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.policy.authenticate import LARGE, Authenticate
from a3mailer.transfer.policy.judge import Judges
from a3mailer.transfer.receive import Receive
from tests.unit.transfer.world import MAIL, MX, SETTINGS, World

FORGED = b"Authentication-Results: mail.a.test; dmarc=pass header.from=b.test\r\n"
FOREIGN = b"Authentication-Results: mx.b.test; dmarc=pass header.from=b.test\r\n"
LOOPBACK = Client("127.0.0.1", 40000, "localhost")


def settings(**msgauth: Any) -> Settings:
    return structs.replace(SETTINGS, msgauth=Msgauth(**msgauth))


class Office(World):
    """The world, in a DNS where b.test is careful: its mail comes from 192.0.2.7."""

    def __init__(self, given: Settings = SETTINGS, policy: bytes = b"reject") -> None:
        super().__init__(given)
        self.resolver = FakeResolver()
        self.resolver.put("b.test", "TXT", b"v=spf1 ip4:192.0.2.7 -all")
        self.resolver.put("_dmarc.b.test", "TXT", b"v=DMARC1; p=" + policy)
        self.judge = Authenticate(self.resolver, given, self.clock)
        judges = Judges({"authenticate": self.judge})
        self.receive = Receive(self.store, self.directory, given, self.clock, judges)

    def stored(self) -> bytes:
        (octets,) = self.store.inbox(self.alice.id)
        return octets

    async def junk(self) -> list[int]:
        box = await self.store.mailbox_named(self.alice.id, "Junk")
        return list((await self.store.columns(self.alice.id, box.id))[1].uids)


def results_of(octets: bytes) -> AuthResults:
    """The field that lies between Return-Path and our Received."""
    head = octets[: octets.index(b"\r\nReceived: ") + 2]
    returned, field = head.split(b"\r\n", 1)
    assert returned.startswith(b"Return-Path:")
    name, _, value = field.partition(b":")
    assert name == b"Authentication-Results"
    found = parse(value)
    assert found is not None
    return found


async def test_the_results_lie_on_top_and_nothing_below_is_changed() -> None:
    office = Office()
    assert await office.send(MAIL, "alice@a.test") == (None,)
    found = results_of(office.stored())
    assert found.authserv_id == "mail.a.test"
    assert {r.method: r.result for r in found.results} == {
        "iprev": "permerror",
        "spf": "pass",
        "dkim": "none",
        "dmarc": "pass",
    }
    assert found.of("spf")[0].value("smtp", "mailfrom") == "carol@b.test"
    assert office.stored().endswith(b"+0000\r\n" + MAIL)
    assert b"Received-SPF" not in office.stored()


@pytest.mark.parametrize("wrap", [bytes, lambda octets: _mapped(octets)])
async def test_fields_in_our_name_are_taken_away_and_foreign_ones_stay(wrap: Any) -> None:
    office = Office()
    await office.send(
        wrap(FORGED + FOREIGN + FORGED.lower().replace(b": ", b":\r\n ") + MAIL), "alice@a.test"
    )
    assert office.stored().endswith(b"+0000\r\n" + FOREIGN + MAIL)
    assert results_of(office.stored()).of("dmarc")[0].result == "pass"


async def test_fields_in_our_name_are_found_in_a_large_header_too() -> None:
    office = Office()
    filler = b"X-Filler: y\r\n" * (LARGE // 13 + 1)
    await office.send(filler + FORGED + MAIL, "alice@a.test")
    assert office.stored().endswith(filler + MAIL)


def _mapped(octets: bytes) -> mmap.mmap:
    area = mmap.mmap(-1, len(octets))
    area[:] = octets
    return area


async def test_a_client_on_this_machine_is_not_looked_at_but_does_not_speak_for_us() -> None:
    office = Office()
    await office.send(FORGED + MAIL, "alice@a.test", client=LOOPBACK)
    assert office.stored().endswith(b"+0000\r\n" + MAIL)
    assert b"Authentication-Results" not in office.stored()
    assert not office.resolver.asked


async def test_a_client_on_this_machine_is_looked_at_where_name_servers_are_given() -> None:
    office = Office(structs.replace(SETTINGS, dns=Dns(servers=("127.0.0.1:5353",))))
    await office.send(MAIL, "alice@a.test", client=LOOPBACK)
    assert results_of(office.stored()).of("spf")[0].result == "fail"


@pytest.mark.parametrize(
    ("given", "client"),
    [
        (structs.replace(SETTINGS, server=Server(hostname="mail.a.test", profile="plain")), MX),
        (settings(enabled=False), MX),
        (SETTINGS, structs.replace(MX, protocol="LMTP")),
    ],
    ids=["profile plain", "switched off", "LMTP"],
)
async def test_nothing_is_looked_at_or_changed(given: Settings, client: Client) -> None:
    office = Office(given)
    await office.send(FORGED + MAIL, "alice@a.test", client=client)
    assert office.stored().endswith(b"+0000\r\n" + FORGED + MAIL)
    assert not office.resolver.asked


async def test_a_submission_is_not_looked_at() -> None:
    office = Office()
    mail = MAIL.replace(b"carol@b.test", b"alice@a.test")
    await office.send(mail, "alice@a.test", sender="alice@a.test", client=office.submitter())
    assert not office.resolver.asked
    assert b"Authentication-Results: mail.a.test; auth=pass\r\n" in office.stored()


EVE = Client("198.51.100.1", 40000, "mx.b.test")


@pytest.mark.parametrize(
    ("choice", "policy", "where"),
    [
        ("tag", b"reject", "inbox"),
        ("tag", b"quarantine", "inbox"),
        ("junk", b"none", "inbox"),
        ("junk", b"quarantine", "junk"),
        ("junk", b"reject", "junk"),
        ("enforce", b"none", "inbox"),
        ("enforce", b"quarantine", "junk"),
        ("enforce", b"reject", "refused"),
        ("enforce", b"reject; t=y", "junk"),
    ],
)
async def test_what_becomes_of_a_mail_that_fails(choice: str, policy: bytes, where: str) -> None:
    office = Office(settings(dmarc=choice), policy)
    before = SHARED.total("a3_dmarc_total", "fail")
    (outcome,) = await office.send(MAIL, "alice@a.test", client=EVE)
    assert SHARED.total("a3_dmarc_total", "fail") == before + 1
    inbox, junk = len(office.store.inbox(office.alice.id)), len(await office.junk())
    assert (inbox, junk) == {"inbox": (1, 0), "junk": (0, 1), "refused": (0, 0)}[where]
    assert isinstance(outcome, Refused) is (where == "refused")
    if isinstance(outcome, Refused):
        reply = reply_to(outcome)
        assert (reply.code, reply.enhanced) == (550, "5.7.26")
        assert "b.test" in reply.text
    if where == "inbox":
        assert results_of(office.stored()).of("dmarc")[0].result == "fail"


@pytest.mark.parametrize("choice", ["tag", "junk", "enforce"])
async def test_a_dns_that_does_not_answer_refuses_nothing(choice: str) -> None:
    office = Office(settings(dmarc=choice))
    for name, kind in (("_dmarc.b.test", "TXT"), ("b.test", "TXT"), ("1.100.51.198.in-addr.arpa", "PTR")):
        office.resolver.fail(name, kind)
    assert await office.send(MAIL, "alice@a.test", client=EVE) == (None,)
    assert {r.method: r.result for r in results_of(office.stored()).results} == {
        "iprev": "temperror",
        "spf": "temperror",
        "dkim": "none",
        "dmarc": "temperror",
    }


async def test_a_from_field_of_two_is_refused_where_policies_are_enforced() -> None:
    office = Office(settings(dmarc="enforce"))
    (outcome,) = await office.send(b"From: eve@attack.test\r\n" + MAIL, "alice@a.test")
    assert isinstance(outcome, Refused)
    assert "2 From fields" in str(outcome)


async def test_new_settings_hold_for_the_next_mail() -> None:
    office = Office()
    office.receive.reconfigure(settings(dmarc="enforce"))
    (outcome,) = await office.send(MAIL, "alice@a.test", client=EVE)
    assert isinstance(outcome, Refused)


async def test_a_mail_sent_again_is_known_though_its_results_differ() -> None:
    office = Office()
    await office.send(MAIL, "alice@a.test")
    office.resolver.fail("b.test", "TXT")
    await office.send(MAIL, "alice@a.test")
    first, again = (t.fingerprint for t in office.store.transactions)
    assert first == again


LOCATION = b"BIMI-Location: v=BIMI1; l=https://evil.test/x.svg;\r\n a=https://evil.test/x.pem\r\n"


async def test_what_is_shown_beside_a_mail_is_not_for_strangers_to_say() -> None:
    office = Office()
    await office.send(LOCATION + MAIL, "alice@a.test")
    await office.send(LOCATION + MAIL, "alice@a.test", client=LOOPBACK)
    for octets in office.store.inbox(office.alice.id):
        assert octets.endswith(b"+0000\r\n" + MAIL) and b"bimi=" not in octets
    assert ("default._bimi.b.test", "TXT") not in office.resolver.asked


@pytest.mark.parametrize(
    ("policy", "ip", "word", "reason"),
    [
        (b"reject", MX.ip, "pass", "its indicator is not looked at yet"),
        (b"none", MX.ip, "skipped", "DMARC asks for nothing (p=none)"),
        (b"reject", "198.51.100.1", "skipped", "DMARC does not pass"),
    ],
)
async def test_the_picture_of_an_author_is_looked_up_where_he_is_proved(
    policy: bytes, ip: str, word: str, reason: str
) -> None:
    office = Office(settings(bimi=True), policy)
    office.resolver.put("default._bimi.b.test", "TXT", b"v=BIMI1; l=https://b.test/logo.svg")
    await office.send(MAIL, "alice@a.test", client=structs.replace(MX, ip=ip))
    (found,) = results_of(office.stored()).of("bimi")
    assert (found.result, found.reason) == (word, reason)
    asked = ("default._bimi.b.test", "TXT") in office.resolver.asked
    assert asked is (word == "pass")
    if asked:
        assert found.value("header", "d") == "b.test" and found.value("header", "selector") == "default"
        assert found.value("policy", "authority") == "none"
