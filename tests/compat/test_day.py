"""A day of mail between two of ours and other makers' servers, verified on both sides."""

from __future__ import annotations

import re
import smtplib
import time
from collections.abc import Iterator

import pytest

from a3mailer.mail.authresults import PASS
from a3mailer.msgauth.fields import read
from tests.compat.day import BAD_STS, DAY, EXIM, LIAR, ONE, OPEN, POST, STS, TWO, Ours, World, verdicts, world
from tests.compat.evening import (
    Told,
    authored,
    complaint,
    counted,
    handshakes_at_open,
    sessions_at,
    sessions_at_exim,
    sessions_at_postfix,
)
from tests.compat.test_arc import ask
from tests.compat.test_forwarding import carols_mail
from tests.compat.test_milters import GTUBE
from tests.compat.test_relay import until, with_subject

ALICE, BOB, POSTS = f"alice@{ONE}", f"bob@{TWO}", f"bob@{POST}"
EXIMS, OPENS = f"bob@{EXIM}", f"bob@{OPEN}"
ALL = dict.fromkeys(("spf", "dkim", "dmarc"), PASS)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("day")) as made:
        for name, domain in (("two", TWO), ("post", POST), ("exim", EXIM)):
            made.one.verb("alias", "add", f"to-{name}@{ONE}", f"bob@{domain}")
            made.one.verb("alias", "add", f"lost-{name}@{ONE}", f"nobody@{domain}")
        yield made


def stored(day: World, subject: str, account: str = BOB) -> bytes:
    """A mail as one of ours has it."""
    rig = day.one if account == ALICE else day.two
    until(lambda: with_subject(rig.inbox(account), subject), day.one)
    (mail,) = with_subject(rig.inbox(account), subject)
    return mail


def at_post(day: World, subject: str) -> bytes:
    """A mail as Postfix's user has it."""
    until(lambda: with_subject(day.at_post("bob"), subject), day.one)
    (mail,) = with_subject(day.at_post("bob"), subject)
    return mail


def at_exim(day: World, subject: str) -> bytes:
    """A mail as Exim's user has it."""
    until(lambda: with_subject(day.at_exim("bob"), subject), day.one)
    (mail,) = with_subject(day.at_exim("bob"), subject)
    return mail


def dkim_at_exim(day: World, mail: bytes, domain: str) -> bool:
    """Has Exim found the domain's signature good?"""
    (name,) = re.findall(rb"\r\n\tby mx\.exim\.good\.test[^;]*\r\n\tid (\S+)", mail)[:1]
    lines = [line for line in day.exim.log().splitlines() if name.decode() in line and "DKIM: " in line]
    return any(f"DKIM: d={domain} " in line and "[verification succeeded]" in line for line in lines)


def dkim_at_post(mail: bytes, domain: str) -> bool:
    """Has opendkim found the domain's signatures good there?"""
    fields = [each.value for each in read(mail).all(b"authentication-results")]
    mine = [field for field in fields if field.strip().startswith(b"verifier.test;")]
    return any(b"dkim=pass" in field and f"header.d={domain}".encode() in field for field in mine)


@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_ours_to_ours_with_dane(day: World, back: bool) -> None:
    sender, to = (BOB, ALICE) if back else (ALICE, BOB)
    here, there = (day.two, day.one) if back else (day.one, day.two)
    here.submit(sender, to, f"ours {back}")
    mail = stored(day, f"ours {back}", to)
    assert verdicts(mail, there.hostname).items() >= ALL.items()
    assert b"with ESMTPS id" in mail
    assert here.secured()["tlsa ok"]


def test_ours_to_ours_with_mta_sts(day: World) -> None:
    """Its zone is not signed; the policy comes with a certificate of pebble, and so does the host."""
    day.one.submit(ALICE, f"bob@{STS}", "by policy")
    mail = stored(day, "by policy", f"bob@{STS}")
    assert verdicts(mail, day.two.hostname).items() >= ALL.items()
    assert day.one.secured()["sts ok"]


def test_ours_to_postfix_and_its_answer(day: World) -> None:
    day.two.submit(BOB, POSTS, "to postfix")
    mail = at_post(day, "to postfix")
    assert dkim_at_post(mail, TWO) and b"(using TLSv1.3" in mail
    assert day.two.secured()["tlsa ok"]
    day.post(POSTS, BOB, "from postfix")
    mail = stored(day, "from postfix")
    assert verdicts(mail, day.two.hostname).items() >= ALL.items()
    assert f"Verified TLS connection established to {day.two.hostname}[{day.two.address}]:25" in day.log()


def test_ours_to_exim_and_its_answer(day: World) -> None:
    day.one.submit(ALICE, EXIMS, "to exim")
    mail = at_exim(day, "to exim")
    assert dkim_at_exim(day, mail, ONE) and b"with esmtps  (TLS1.3)" in mail
    assert day.one.secured()["tlsa ok"]
    day.post(EXIMS, ALICE, "from exim")
    mail = stored(day, "from exim", ALICE)
    assert verdicts(mail, day.one.hostname).items() >= ALL.items()
    (line, *_) = [line for line in day.exim.log().splitlines() if f"=> {ALICE}" in line]
    assert f"H={day.one.hostname} [{day.one.address}]" in line and "CV=dane" in line


def test_ours_to_opensmtpd_and_its_answer(day: World) -> None:
    """No TLS works with it as a server (see ``bench/peers/opensmtpd.py``), and nobody demands any."""
    day.one.submit(ALICE, OPENS, "to opensmtpd")
    until(lambda: with_subject(day.at_open("bob"), "to opensmtpd"), day.one)
    (mail,) = with_subject(day.at_open("bob"), "to opensmtpd")
    assert b"by mx.open.good.test (OpenSMTPD) with ESMTP id" in mail
    assert day.one.secured()["no-policy-found failed"]
    day.post(OPENS, ALICE, "from opensmtpd")
    mail = stored(day, "from opensmtpd", ALICE)
    assert b"with ESMTPS id" in mail
    assert verdicts(mail, day.one.hostname).items() >= {"spf": PASS, "dmarc": PASS}.items()


def test_postfix_to_exim_and_back(day: World) -> None:
    """What they think of each other here is what makes their word on us worth something."""
    day.post(POSTS, EXIMS, "postfix to exim")
    assert dkim_at_exim(day, at_exim(day, "postfix to exim"), POST)
    day.post(EXIMS, POSTS, "exim to postfix")
    assert dkim_at_post(at_post(day, "exim to postfix"), EXIM)


def test_a_strangers_mail_handed_on_to_exim(day: World) -> None:
    send(day, f"to-exim@{ONE}", "on to exim")
    mail = at_exim(day, "on to exim")
    assert dkim_at_exim(day, mail, "origin.test")
    check_the_way_back(day, mail, EXIM, "exim")


def test_a_strangers_mail_handed_on_to_ours(day: World) -> None:
    """His domain wants forgeries refused; a bounce finds the way back to him."""
    send(day, f"to-two@{ONE}", "on to ours")
    mail = stored(day, "on to ours")
    assert verdicts(mail, day.two.hostname).items() >= (ALL | {"arc": PASS}).items()
    check_the_way_back(day, mail, TWO, "two")


def test_a_strangers_mail_handed_on_to_postfix(day: World) -> None:
    send(day, f"to-post@{ONE}", "on to postfix")
    mail = at_post(day, "on to postfix")
    assert dkim_at_post(mail, "origin.test")
    check_the_way_back(day, mail, POST, "post")


def check_the_way_back(day: World, mail: bytes, domain: str, name: str) -> None:
    path = re.search(rb"(?im)^return-path: <(SRS0=[^>]*=origin\.test=carol@one\.good\.test)>", mail)
    assert path is not None
    assert ask([mail], records=day.zone) == [PASS], "dkimpy on the chain"
    send(day, f"lost-{name}@{ONE}", f"lost {name}")
    until(lambda: returned(day, f"nobody@{domain}"), day.one)
    ((sender, recipient, notice),) = returned(day, f"nobody@{domain}")
    assert (sender, recipient) == ("", "carol@origin.test")
    assert re.search(rb"\r\nAction: failed\r\nStatus: 5\.", notice)


def returned(day: World, lost: str) -> list[tuple[str, str, bytes]]:
    return [each for each in day.origin.mails if lost.encode() in each[2]]


def send(day: World, to: str, subject: str) -> None:
    """From the stranger's own address."""
    with smtplib.SMTP(
        day.one.address, local_hostname="mx.origin.test", source_address=(day.stranger, 0)
    ) as smtp:
        smtp.sendmail("carol@origin.test", [to], carols_mail(subject))


@pytest.mark.parametrize("domain", [TWO, POST, EXIM, OPEN])
def test_mail_for_nobody_comes_back_once(day: World, domain: str) -> None:
    nobody = f"no-one@{domain}"
    day.one.submit(ALICE, nobody, "to nobody")
    until(lambda: about(day, ALICE, nobody), day.one)
    (notice,) = about(day, ALICE, nobody)
    assert notice.startswith(b"Return-Path: <>\r\n") and re.search(
        rb"\r\nAction: failed\r\nStatus: 5\.", notice
    )


def about(day: World, account: str, lost: str) -> list[bytes]:
    look = {POSTS: day.at_post, EXIMS: day.at_exim, OPENS: day.at_open}
    mails = look[account]("bob") if account in look else day.one.inbox(account)
    return [mail for mail in mails if b"delivery-status" in mail and lost.encode() in mail]


@pytest.mark.parametrize("sender", [POSTS, EXIMS, OPENS])
def test_their_users_are_told_of_nobody_at_ours(day: World, sender: str) -> None:
    nobody = f"no-one@{ONE}"
    day.post(sender, nobody, "from outside to nobody")
    until(lambda: about(day, sender, nobody), day.one)
    (notice,) = about(day, sender, nobody)
    assert b"\nStatus: 5." in notice and b"550 5.1.1" in notice.replace(b"\r\n   ", b"")


@pytest.mark.parametrize(
    ("domain", "why"),
    [
        (LIAR, f"certificate fits none of the TLSA records of mx.{LIAR}"),
        (BAD_STS, f"the MTA-STS policy of {BAD_STS} does not name mx.{POST}"),
    ],
)
def test_what_cannot_go_safely_waits_and_says_why(day: World, domain: str, why: str) -> None:
    to = f"bob@{domain}"
    day.one.submit(ALICE, to, "not safe")
    until(lambda: day.one.waiting(to), day.one)
    (recipient, *_) = day.one.waiting(to)
    assert (recipient["enhanced"], recipient["state"]) == ("4.7.5", "waiting")
    assert why in recipient["text"]
    assert f"to=<{to}>" not in day.log()


def test_rspamd_marks_what_ours_takes_in_and_what_it_refuses_comes_back(day: World) -> None:
    day.one.submit(ALICE, BOB, "looked at")
    mail = stored(day, "looked at")
    day.one.submit(ALICE, BOB, "spam", GTUBE)
    until(lambda: about(day, ALICE, "Gtube pattern"), day.one)
    assert b"\r\nX-Spamd-Result: default: False [" in mail
    assert verdicts(mail, day.two.hostname).items() >= ALL.items()
    (notice,) = about(day, ALICE, "Gtube pattern")
    assert b"\r\nStatus: 5.7.1\r\n" in notice
    assert not with_subject(day.two.inbox(BOB), "spam")


MULTIPART = (
    'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary="cut"\r\n'
)


def test_the_day_ends_with_reports(day: World) -> None:
    """Ours tell everybody, the next morning, what they have seen; one mail in alice's name is not hers."""
    told = {us: Told(us) for us in (day.one, day.two)}
    a_little_of_everything(day)
    until(lambda: len(told[day.one]("arf")) == 2, day.two)
    failed = held(day)
    for each in (day.one, day.two):
        each.stop()
    expected = what_is_to_be_told(day, failed)
    begun = int(time.time())
    day.clock.set(f"+{(begun // DAY + 1) * DAY + 6 * 3600 - begun}")
    try:
        for each in (day.two, day.one):
            each.start()
        check_what_peers_were_told(day, expected)
        check_what_ours_were_told(day, expected, told)
    finally:
        day.clock.set("+0")
        day.one.verb("queue", "release", "--all")


def held(day: World) -> int:
    """Nobody tries any more what cannot go safely; how often no host fitted the policy until then."""
    for domain in (LIAR, BAD_STS):
        day.one.verb("queue", "hold", "--domain", domain)
    until(lambda: {entry["state"] for entry in day.one.verb("queue", "list")} == {"held"}, day.one)
    return day.one.secured()["sts failed"]


def a_little_of_everything(day: World) -> None:
    day.one.submit(ALICE, BOB, "evening one")
    day.one.submit(ALICE, f"bob@{STS}", "evening two")
    for to in (f"bob@{LIAR}", f"bob@{BAD_STS}"):
        day.one.submit(ALICE, to, "evening never")
    for n, (here, sender) in enumerate(((day.one, ALICE), (day.two, BOB))):
        here.submit(sender, POSTS, f"evening to postfix {n}")
        here.submit(sender, EXIMS, f"evening to exim {n}")
        at_post(day, f"evening to postfix {n}")
        at_exim(day, f"evening to exim {n}")
    day.one.submit(ALICE, OPENS, "evening to opensmtpd")
    until(lambda: with_subject(day.at_open("bob"), "evening to opensmtpd"), day.one)
    for n, sender in enumerate((POSTS, EXIMS, OPENS)):
        for to in (ALICE, BOB):
            day.post(sender, to, f"evening {n}")
            stored(day, f"evening {n}", to)
    with smtplib.SMTP(
        day.two.address, local_hostname="mx.origin.test", source_address=(day.stranger, 0)
    ) as smtp:
        smtp.sendmail("carol@origin.test", [BOB], carols_mail("not alice's", author=ALICE))
    mail = stored(day, "evening one")
    stored(day, "evening two", f"bob@{STS}")
    day.two.submit(BOB, f"abuse@{ONE}", "no more", complaint(mail), MULTIPART)
    until(lambda: day.one.secured()["sts failed"] and day.one.secured()["tlsa failed"], day.one)


def what_is_to_be_told(day: World, failed: int) -> dict[tuple[str, str, str], tuple[int, int]]:
    """As ``counted`` has it; what ours have made of the one that was not alice's has come to ``one`` too."""
    seen = {at.domains[0]: authored(day, at) for at in (day.one, day.two)}
    seen[ONE][TWO] += 1
    told = {("dmarc", who, about): (n, 0) for who, found in seen.items() for about, n in found.items()}
    told["dmarc", TWO, ONE] = (seen[TWO][ONE] + 1, 1)
    for us in (day.one, day.two):
        name = us.domains[0]
        mailed, turned_away = sessions_at_postfix(day, us)
        told["tls", name, POST] = (mailed, 0)
        told["tls", name, EXIM] = (sessions_at_exim(day, us), 0)
        if failed_at_open := handshakes_at_open(day, us):
            told["tls", name, OPEN] = (failed_at_open, failed_at_open)
        if turned_away:
            told["tls", name, LIAR] = (turned_away, turned_away)
    told["tls", ONE, BAD_STS] = (failed, failed)
    told["tls", ONE, TWO] = (sessions_at(day.two, day.one), 0)
    told["tls", TWO, ONE] = (sessions_at(day.one, day.two), 0)
    return told


def check_what_peers_were_told(day: World, expected: dict[tuple[str, str, str], tuple[int, int]]) -> None:
    wanted = {key: count for key, count in expected.items() if key[2] in (POST, EXIM, LIAR, OPEN)}

    def told() -> dict[tuple[str, str, str], tuple[int, int]]:
        return counted([*day.at_post("bob"), *day.at_exim("bob"), *day.at_open("bob")])

    until(lambda: told().keys() >= wanted.keys(), day.one)
    assert told() == wanted


def check_what_ours_were_told(
    day: World, expected: dict[tuple[str, str, str], tuple[int, int]], told: dict[Ours, Told]
) -> None:
    check_what_one_was_told(day.one, day.two, expected, told[day.one])
    check_what_one_was_told(day.two, day.one, expected, told[day.two])
    (summary,) = day.one.verb("report", "dmarc", "summary")
    assert summary["advice"] == [
        f"{day.stranger} sends as {ONE} with SPF pass for origin.test and DKIM pass for"
        f" origin.test: 1 mail in 1 day; if it is yours, have it sign as {ONE}."
    ]
    found = {row["type"]: (row["source"], row["mails"]) for row in told[day.one]("arf")}
    assert found == {"abuse": (TWO, 1), "auth-failure": (TWO, 1)}
    (advice,) = [
        each["advice"] for each in day.two.verb("report", "tls", "summary") if each["domain"] == BAD_STS
    ]
    assert f"mx.{POST}" in advice[0]


def check_what_one_was_told(
    us: Ours, other: Ours, expected: dict[tuple[str, str, str], tuple[int, int]], told: Told
) -> None:
    """Domains of ours share a host, and so sessions: which of them a session was opened for, nobody knows."""
    about, who = us.domains[0], other.domains[0]
    all_of_them, none = expected["tls", who, about]
    unsafe = {BAD_STS: expected["tls", who, BAD_STS]} if BAD_STS in us.domains else {}
    until(lambda: told("dmarc") and sum(n for n, _ in sessions(told).values()) >= all_of_them, other)
    until(lambda: sessions(told).keys() >= unsafe.keys(), other)
    (row,) = told("dmarc")
    mails, failed = expected["dmarc", who, about]
    said = row["domain"], row["source"], row["mails"], row["mails"] - row["passed"], row["policy"]
    assert said == (about, who, mails, failed, "reject")
    found = sessions(told)
    assert {domain: found.pop(domain) for domain in unsafe} == unsafe
    assert [sum(column) for column in zip(*found.values(), strict=True)] == [all_of_them, none]
    for kind in ("dmarc", "tls", "arf"):
        assert told(kind) == us.verb("report", kind, "list")


def sessions(told: Told) -> dict[str, tuple[int, int]]:
    """With each of its domains: all, and those that failed."""
    return {row["domain"]: (row["sessions"], row["failed"]) for row in told("tls")}
