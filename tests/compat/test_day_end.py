"""The end of a day of mail: ours tell everybody, the next morning, what they have seen.

In a world of its own: while ours sleep until the next morning, peers learn to leave them alone for a while.
"""

from __future__ import annotations

import smtplib
import time

from tests.compat.day import BAD_STS, DAY, EXIM, LIAR, ONE, OPEN, POST, STS, TWO, Ours, World
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
from tests.compat.test_day import ALICE, BOB, EXIMS, OPENS, POSTS, at_exim, at_post, stored
from tests.compat.test_forwarding import carols_mail
from tests.compat.test_relay import until, with_subject

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
    for each in (day.two, day.one):
        each.start()
    check_what_peers_were_told(day, expected)
    check_what_ours_were_told(day, expected, told)


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
