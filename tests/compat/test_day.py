"""A day of mail between two of ours and other makers' servers, verified on both sides."""

from __future__ import annotations

import re
import smtplib

import pytest

from a3mailer.mail.authresults import PASS
from a3mailer.msgauth.fields import read
from tests.compat.day import BAD_STS, EXIM, LIAR, ONE, OPEN, POST, STS, TWO, World, verdicts
from tests.compat.test_arc import ask
from tests.compat.test_forwarding import carols_mail
from tests.compat.test_milters import GTUBE
from tests.compat.test_relay import until, with_subject

ALICE, BOB, POSTS = f"alice@{ONE}", f"bob@{TWO}", f"bob@{POST}"
EXIMS, OPENS = f"bob@{EXIM}", f"bob@{OPEN}"
ALL = dict.fromkeys(("spf", "dkim", "dmarc"), PASS)


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
