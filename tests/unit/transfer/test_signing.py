"""Signatures on the way out: whose mails, with which keys, and that they are still good where they arrive."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from a3mailer.config.tree import Dkim, Forward, Server, Settings
from a3mailer.mail.authresults import PASS
from a3mailer.mail.ids import SYSTEM_ACCOUNT, AccountId
from a3mailer.msgauth import fields
from a3mailer.msgauth.author import author
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.dkim import verify
from a3mailer.store.rows import QueueEntry
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.signing import Signing
from tests.unit.msgauth.signed import key, pem, record
from tests.unit.transfer.test_two_servers import two, until

MAIL = b"From: User <user@a.test>\r\nTo: user@b.test\r\nSubject: x\r\n\r\n"


def put(folder: Path, domain: str, *selectors: str) -> None:
    (folder / domain).mkdir(parents=True, exist_ok=True)
    for selector in selectors:
        (folder / domain / f"{selector}.pem").write_bytes(pem(selector))


@dataclass(frozen=True)
class Entry:
    account: AccountId
    reverse_path: str
    hops: int
    created: int = 1_700_000_000


SUBMITTED = Entry(AccountId(7), "user@a.test", 1)
NOTICE = Entry(SYSTEM_ACCOUNT, "", 0)


def signing(folder: Path, *, sign: bool = True, profile: str = "standard") -> Signing:
    return Signing(folder, Settings(server=Server(profile=profile), dkim=Dkim(sign=sign)))


def is_signed(given: Signing, entry: Entry) -> bool:
    return getattr(given.of(entry), "func", None) == given._signed  # type: ignore[arg-type]


def test_only_what_was_submitted_and_our_own_notices_are_signed(tmp_path: Path) -> None:
    ours = signing(tmp_path)
    assert is_signed(ours, SUBMITTED) and is_signed(ours, NOTICE)
    assert not is_signed(ours, Entry(SYSTEM_ACCOUNT, "stranger@b.test", 1))
    assert not is_signed(ours, Entry(SYSTEM_ACCOUNT, "", 1))  # a stranger's notice that an alias hands on
    for off in (signing(tmp_path, sign=False), signing(tmp_path, profile="plain")):
        assert not is_signed(off, SUBMITTED) and not is_signed(off, NOTICE)
    ours.reconfigure(Settings(dkim=Dkim(sign=False)))
    assert not is_signed(ours, SUBMITTED)
    for strangers in (Entry(SYSTEM_ACCOUNT, "stranger@b.test", 1), Entry(SYSTEM_ACCOUNT, "", 1)):
        assert getattr(ours.of(strangers), "func", None) == ours._sealed  # type: ignore[arg-type]
        assert signing(tmp_path, profile="plain").of(strangers) is None  # type: ignore[arg-type]
        off = Signing(tmp_path, Settings(forward=Forward(arc=False)))
        assert off.of(strangers) is None  # type: ignore[arg-type]
    assert set(QueueEntry.__annotations__) >= set(Entry.__annotations__)


async def test_another_attempt_sends_the_same_octets(tmp_path: Path) -> None:
    put(tmp_path, "a.test", "rsa1024", "ed")
    sign = signing(tmp_path).of(SUBMITTED)  # type: ignore[arg-type]
    again = signing(tmp_path).of(SUBMITTED)  # type: ignore[arg-type]
    assert sign is not None and again is not None
    first = await sign(MAIL)
    assert first == await again(MAIL) and first.count(b"t=1700000000;") == 2


def test_the_keys_are_those_of_the_author_domain_or_of_the_one_above(tmp_path: Path) -> None:
    put(tmp_path, "a.test", "rsa1024", "ed")
    put(tmp_path, "sub.a.test", "ed")
    ours = signing(tmp_path)

    def found(domain: str) -> list[str]:
        return [f"{one.selector}@{one.domain}" for one in ours.keys(domain)]

    assert found("a.test") == ["rsa1024@a.test", "ed@a.test"]
    assert found("sub.a.test") == ["ed@sub.a.test"] == found("x.y.sub.a.test")
    assert found("mail.a.test") == ["rsa1024@a.test", "ed@a.test"]
    assert found("b.test") == found("test") == found("") == found("nota.test") == []
    assert ours.signs("mail.a.test")
    assert not ours.signs("b.test")
    assert not signing(tmp_path, sign=False).signs("a.test")


def test_keys_are_read_again_when_their_folder_changes(tmp_path: Path) -> None:
    put(tmp_path, "a.test", "ed")
    ours = signing(tmp_path)
    first = ours.keys("a.test")
    assert ours.keys("a.test") is first
    put(tmp_path, "a.test", "rsa1024")
    os.utime(tmp_path / "a.test", ns=(1, 1))
    assert [one.selector for one in ours.keys("a.test")] == ["rsa1024", "ed"]
    (tmp_path / "a.test" / "ed.pem").write_bytes(b"junk")
    os.utime(tmp_path / "a.test", ns=(2, 2))
    assert [one.selector for one in ours.keys("a.test")] == ["rsa1024"]


@pytest.mark.parametrize(
    ("header", "domain"),
    [
        (b"From: user@A.test", "a.test"),
        (b"From: a <a@a.test>, b@a.test", "a.test"),
        (b"From: a@a.test, b@b.test", ""),
        (b"From: a@a.test\r\nFrom: a@a.test", ""),
        (b"From: nobody", ""),
        (b"From: a@../../etc", ""),
        (b"From: a@[127.0.0.1]", ""),
        (b"From: a@b\xc3\xbccher.test", "xn--bcher-kva.test"),
        (b"Subject: x", ""),
    ],
)
def test_the_author_domain_is_a_name_or_nothing(header: bytes, domain: str) -> None:
    assert author(header + b"\r\n\r\n").domain == domain


async def test_signed_mails_of_every_kind_arrive_verifiable(tmp_path: Path) -> None:
    keys = tmp_path / "dkim"
    put(keys, "a.test", "rsa", "ed")
    resolver = FakeResolver()
    for selector in ("rsa", "ed"):
        resolver.put(f"{selector}._domainkey.a.test", "TXT", record(key(selector, "a.test")))
    bodies = (
        b"plain\r\n",
        b"\xc3\xa4 eight bits \r\n\r\n\r\n",
        b"bare\nline\rends\n",
        b".dots\r\n..\r\nno end",
        b"long " * 3000 + b"\r\n",
        b"nul \0\r\n",
        b"",
    )
    (tmp_path / "spool").mkdir()
    async with two(tmp_path / "spool", keys) as (a, b):
        for body in bodies:
            await a.enqueue("user@b.test", MAIL + body)
        await a.enqueue("nobody@b.test", MAIL + b"refused\r\n")
        await until(lambda: len(b.inbox()) == len(bodies))
        await until(lambda: len(a.inbox()) == 1)
        arrived = b.inbox()
    for octets in arrived:
        header = fields.read(octets)
        results = await verify(header, Bodies(octets, header.body), resolver, a.clock.now(), "a.test")
        assert [(r.result, r.selector) for r in results] == [(PASS, "rsa"), (PASS, "ed")], octets


def test_a_notice_of_ours_is_signed_for_the_domain_above_the_host(tmp_path: Path) -> None:
    put(tmp_path, "a.test", "ed")
    ours = signing(tmp_path)
    made = ours.sign(MAIL.replace(b"user@a.test", b"MAILER-DAEMON@mail.a.test"), 1)
    assert b"d=a.test; s=ed;" in made and made.startswith(b"DKIM-Signature: ")
    assert ours.sign(MAIL.replace(b"user@a.test", b"user@b.test"), 1).startswith(b"From:")


def test_a_mail_of_a_list_is_signed_by_the_list_and_by_its_author_where_that_was_proved(
    tmp_path: Path,
) -> None:
    put(tmp_path, "a.test", "rsa1024")
    put(tmp_path, "list.test", "rsa1024")
    settings = Settings(server=Server(hostname="mail.a.test"), forward=Forward(arc=False))
    asked: list[tuple[str, int]] = []

    def personal(octets: bytes, path: str, now: int) -> tuple[bytes, str]:
        asked.append((path, now))
        return b"X-Own: 1\r\n" + octets, "list.test"

    ours = Signing(tmp_path, settings, personal)
    proof = b"Authentication-Results: mail.a.test; auth=pass\r\nReceived: x\r\n"
    signed = ours.list_mail(proof + MAIL, "BOUNCE=x@list.test", 5)
    assert [b"d=list.test" in signed, b"d=a.test" in signed, b"X-Own: 1" in signed] == [True] * 3
    strangers = ours.list_mail(b"Received: x\r\n" + MAIL, "BOUNCE=x@list.test", 5)
    assert b"d=list.test" in strangers and b"d=a.test" not in strangers
    assert asked == [("BOUNCE=x@list.test", 5)] * 2
