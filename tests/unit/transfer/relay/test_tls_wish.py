"""REQUIRETLS and TLS-Required: No on their way out (RFC 8689), to real TLS hosts."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from a3mailer.mail.address import NULL_PATH, Address, ReversePath
from a3mailer.mail.envelope import Envelope
from a3mailer.msgauth.mta_sts import StsPolicy
from a3mailer.runtime.resolver import Tlsa
from a3mailer.store.operations import Enqueue
from a3mailer.transfer.relay.sts import Found
from a3mailer.transfer.relay.tls_wish import tls_of
from tests.certificates import Certified, authority, certified
from tests.unit.transfer import world as transfer
from tests.unit.transfer.office import CONTENT, Office
from tests.unit.transfer.test_dane_relay import ENFORCE, HOST, Shows, World, ee
from tests.unit.transfer.test_mta_sts import MailHost

ROOT = authority()
RIGHT, OTHER = certified(HOST, ROOT), certified("other.test", ROOT)
NONE = Found()
ASKED = b"MAIL FROM:<alice@a.test> REQUIRETLS"


def host(folder: Path, shown: Certified = RIGHT, *, requiretls: bool = True) -> MailHost:
    return MailHost(Shows(folder, shown).context, requiretls=requiretls)


def world(*records: Tlsa, signed: bool = True, sts: Found = NONE, rules: tuple[str, ...] = ()) -> World:
    authorities = ssl.create_default_context(cadata=ROOT.pem.decode())
    return World(records, rules, ("b.test",) if signed else (), sts, authorities=authorities)


@pytest.mark.parametrize(
    ("records", "signed", "sts"),
    [((ee(RIGHT),), True, Found()), ((), True, Found()), ((), False, ENFORCE),
     ((), False, Found(StsPolicy("testing", (HOST,), 1000)))],
    ids=["DANE", "a signed MX, and the public authorities", "MTA-STS", "MTA-STS, testing"],
)  # fmt: skip
async def test_a_host_that_is_proven_and_hands_it_on_gets_the_mail(
    tmp_path: Path, records: tuple[Tlsa, ...], signed: bool, sts: Found
) -> None:
    there = host(tmp_path)
    outcome = await world(*records, signed=signed, sts=sts).send(there, tls="required")
    assert outcome.state == "relayed"
    assert (there.senders, [secure for secure, _ in there.mails]) == ([ASKED], [True])


@pytest.mark.parametrize(
    ("shown", "requiretls", "signed", "rules", "code", "why"),
    [
        (RIGHT, False, True, (), "5.7.30", "mx.b.test does not support REQUIRETLS"),
        (OTHER, True, True, (), "5.7.10", "certificate"),
        (None, True, True, (), "5.7.10", "STARTTLS"),
        (RIGHT, True, False, (), "5.7.10", "nothing proves that mx.b.test is a server of b.test"),
        (RIGHT, True, True, ("b.test=never",), "5.7.10", "nothing proves"),
        (RIGHT, True, False, ("b.test=must",), "5.7.10", "nothing proves"),
    ],
    ids=["not handed on", "another name", "no TLS", "nothing proven", "rule: never", "rule: must"],
)
async def test_row_5_another_one_does_not_and_the_sender_hears_at_once_without_the_mail(
    tmp_path: Path, shown: Certified | None, requiretls: bool, signed: bool, rules: tuple[str, ...],
    code: str, why: str,
) -> None:  # fmt: skip
    there = MailHost(None) if shown is None else host(tmp_path, shown, requiretls=requiretls)
    asking = world(signed=signed, rules=rules)
    outcome = await asking.send(there, tls="required", return_content="FULL")
    assert (outcome.state, outcome.enhanced, there.mails) == ("failed", code, [])
    assert why in outcome.text
    (told,) = asking.notices
    assert [each.status for each in told.recipients] == [code]


async def test_what_a_notification_holds_of_it_is_its_header_and_it_demands_the_same(tmp_path: Path) -> None:
    async with world().office(host(tmp_path, requiretls=False)) as office:
        await office.enqueue("x@b.test", sender="carol@c.test", tls="required", return_content="FULL")
        await office.attempt()
        ((made, octets),) = [
            (operation, bytes(transaction.contents[operation.content].octets))
            for transaction in office.store.transactions
            for operation in transaction.operations
            if isinstance(operation, Enqueue) and not operation.reverse_path
        ]
    assert made.tls == "required"
    assert b"Message-ID: <1@a.test>" in octets
    assert b"Hello." in CONTENT and b"Hello." not in octets


async def test_a_notification_goes_on_where_nobody_hands_it_on(tmp_path: Path) -> None:
    there = host(tmp_path, requiretls=False)
    assert (await world(signed=False).send(there, sender="", tls="required")).state == "relayed"
    assert there.senders == [b"MAIL FROM:<>"]
    for shown in (RIGHT, OTHER):
        there = host(tmp_path, shown)
        assert (await world().send(there, sender="", tls="required")).state == "relayed"
        assert there.senders == [b"MAIL FROM:<> REQUIRETLS"]


async def test_what_the_dns_does_not_answer_is_waited_for(tmp_path: Path) -> None:
    asking = world(ee(RIGHT))
    asking.fails = ["TLSA"]
    outcome = await asking.send(host(tmp_path), tls="required")
    assert (outcome.state, outcome.enhanced) == ("waiting", "4.4.3")
    broken = Found(None, "sts-policy-fetch-error", "the policy of b.test cannot be had")
    outcome = await world(signed=False, sts=broken).send(host(tmp_path), tls="required")
    assert (outcome.state, outcome.enhanced) == ("waiting", "4.7.10")


async def test_other_mail_goes_by_the_same_host_without_the_parameter(tmp_path: Path) -> None:
    there = host(tmp_path)
    async with world(ee(RIGHT)).office(there) as office:
        for wish in ("required", "", "required"):
            await office.enqueue("x@b.test", tls=wish)
            await office.attempt()
    assert there.senders == [ASKED, b"MAIL FROM:<alice@a.test>", ASKED]
    assert there.sessions == 1


@pytest.mark.parametrize(
    ("records", "sts", "fails"),
    [((ee(OTHER),), Found(), ""), ((), ENFORCE, ""), ((ee(OTHER),), Found(), "TLSA"),
     ((), Found(StsPolicy("enforce", ("elsewhere.test",), 1000)), "")],
    ids=["DANE", "MTA-STS", "no answer", "another host"],
)  # fmt: skip
@pytest.mark.parametrize("tls", [True, False])
async def test_tls_required_no_gets_there_whatever_the_policy(
    tmp_path: Path, records: tuple[Tlsa, ...], sts: Found, fails: str, tls: bool
) -> None:
    there = host(tmp_path, certified("somebody.test")) if tls else MailHost(None)
    asking = world(*records, sts=sts)
    asking.fails = [fails] if fails else []
    assert (await asking.send(there, tls="optional")).state == "relayed"
    assert [secure for secure, _ in there.mails] == [tls]


async def test_row_5_the_operators_rule_stands_above_tls_required_no() -> None:
    outcome = await world(rules=("b.test=must",)).send(MailHost(None), tls="optional")
    assert outcome.state == "waiting"


@pytest.mark.parametrize(
    ("top", "wish"),
    [
        (b"TLS-Required: No\r\n\r\n", "optional"),
        (b"From: a@b.test\r\ntls-required:\r\n\tNO \r\n\r\nhello", "optional"),
        (b"TLS-Required: Yes\r\n\r\n", ""),
        (b"TLS-Required: No, really\r\n\r\n", ""),
        (b"Subject: x\r\n\r\nTLS-Required: No\r\n", ""),
        (b"X-TLS-Required: No\r\n\r\n", ""),
        (b"TLS-Required: Maybe\r\nTLS-Required: No\r\n\r\n", ""),
        (b"", ""),
    ],
)
def test_the_field_counts_in_a_header_and_as_it_is_written(top: bytes, wish: str) -> None:
    envelope = Envelope(ReversePath(Address("a", "b.test")))
    assert tls_of(envelope, top) == wish


@pytest.mark.parametrize(
    ("field", "asked", "kept"),
    [(b"", "required", "required"), (b"TLS-Required: No\r\n", "", "optional"),
     (b"TLS-Required: No\r\n", "required", "required"), (b"", "", "")],
)  # fmt: skip
async def test_mail_that_goes_on_from_here_keeps_its_wish(field: bytes, asked: str, kept: str) -> None:
    world = transfer.World()
    assert await world.send(field + transfer.MAIL, "away@a.test", tls=asked) == (None,)
    queued = [o for t in world.store.transactions for o in t.operations if isinstance(o, Enqueue)]
    assert [each.tls for each in queued] == [kept]


async def test_an_alias_met_in_the_queue_keeps_it_too() -> None:
    office = Office()
    await office.enqueue("away@a.test", tls="required")
    await office.attempt()
    queued = [o for t in office.store.transactions for o in t.operations if isinstance(o, Enqueue)]
    assert [each.tls for each in queued] == ["required", "required"]


def test_the_parameter_stands_above_the_field() -> None:
    assert tls_of(Envelope(NULL_PATH, tls="required"), b"TLS-Required: No\r\n\r\n") == "required"
