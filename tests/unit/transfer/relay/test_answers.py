"""What answers of other servers are about, in their own words."""

import random

import pytest

from a3mailer.mail.answers import Answer
from a3mailer.telemetry.metrics import METRICS
from a3mailer.transfer.relay.answers import PHRASES, classify
from a3mailer.transfer.relay.destinations.providers import (
    HOSTS,
    OTHER,
    PROVIDERS,
    SAYINGS,
    lane_of,
    provider_of,
)
from a3mailer.wire.smtp.remote import RemoteReply, ReplyReader, ours

HEARD = [
    # from whom, what, what it is about
    ("google", "421 4.7.28 Gmail has detected an unusual rate of email", Answer.THROTTLED),
    ("google", "421-4.7.0 Our system has detected an unusual rate of unsolicited mail", Answer.THROTTLED),
    ("google", "450 4.2.1 The user you are trying to contact is receiving mail quickly", Answer.TEMPORARY),
    ("google", "550 5.2.1 The user you are trying to contact is receiving mail at a rate", Answer.PERMANENT),
    ("google", "552 5.2.2 The recipient's inbox is out of storage space", Answer.FULL),
    ("google", "550 5.1.1 The email account that you tried to reach does not exist", Answer.NO_SUCH_USER),
    ("google", "550 5.7.26 This mail has been blocked because the sender is unauthenticated", Answer.POLICY),
    ("google", "550 5.7.1 has been blocked. p=UnsolicitedMessageError", Answer.BLOCKED),
    ("microsoft", "451 4.7.650 The mail server has been temporarily rate limited due to IP reputation",
     Answer.THROTTLED),
    ("microsoft", "451 4.7.500 Server busy. Please try again later from 192.0.2.1. (S77714)",
     Answer.THROTTLED),
    ("microsoft", "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent (S3140)", Answer.BLOCKED),
    ("microsoft", "550 5.4.1 Recipient address rejected: Access denied.", Answer.NO_SUCH_USER),
    ("microsoft", "550 5.5.0 Requested action not taken: mailbox unavailable", Answer.NO_SUCH_USER),
    ("yahoo", "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume",
     Answer.THROTTLED),
    ("yahoo", "421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred", Answer.BLOCKED),
    ("yahoo", "553 5.7.1 [BL21] Connections not accepted from IP addresses on a list", Answer.BLOCKED),
    ("apple", "550 5.7.0 Blocked - see https://support.apple.com [HM08]", Answer.BLOCKED),
    ("qq", "550 Ip frequency limited [x 192.0.2.1]", Answer.THROTTLED),
    ("qq", "550 Mail content denied", Answer.POLICY),
    ("netease", "421 HL:ICC 192.0.2.1", Answer.THROTTLED),
    ("netease", "421 HL:REP 163", Answer.BLOCKED),
    ("netease", "554 DT:SPM 163 smtp", Answer.POLICY),
    ("ionos", "554 Transaction failed. Reject due to policy restrictions", Answer.POLICY),
    (OTHER, "450 4.2.0 <a@b>: Recipient address rejected: Greylisted, see postgrey", Answer.GREYLISTED),
    (OTHER, "550 5.7.1 Greylisted for ever", Answer.POLICY),
    (OTHER, "452 4.2.2 <a@b> Quota exceeded (mailbox for user is full)", Answer.FULL),
    (OTHER, "450 4.1.1 <a@b>: Recipient address rejected: unverified address", Answer.TEMPORARY),
    (OTHER, "450 4.2.1 too many messages, slow down", Answer.THROTTLED),
    (OTHER, "421 4.7.0 mx.b.test Error: too many connections from 192.0.2.1", Answer.THROTTLED),
    (OTHER, "451 4.4.5 Mail system congested", Answer.THROTTLED),
    (OTHER, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
     Answer.BLOCKED),
    (OTHER, "550 No such user here", Answer.NO_SUCH_USER),
    (OTHER, "550 5.2.1 Mailbox disabled", Answer.NO_SUCH_USER),
    (OTHER, "554 5.7.1 Relay access denied", Answer.POLICY),
    (OTHER, "550 5.7.9 no", Answer.POLICY),
    (OTHER, "451 try again", Answer.TEMPORARY),
    (OTHER, "554 no", Answer.PERMANENT),
    (OTHER, "250 2.0.0 quota exceeded? no: accepted", Answer.ACCEPTED),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "line", "answer"), HEARD)
def test_what_is_heard(provider: str, line: str, answer: Answer) -> None:
    reader = ReplyReader()
    reader.receive(line.replace("-", " ", 1).encode() + b"\r\n" if line[3] == "-" else f"{line}\r\n".encode())
    reply = reader.next_reply()
    assert reply is not None
    assert classify(reply, provider) is answer


def test_what_we_say_in_their_place_is_that_nobody_was_reached() -> None:
    assert classify(ours("4.4.1", "connection refused: too many messages")) is Answer.UNREACHABLE
    assert classify(ours("5.1.2", "the domain does not exist")) is Answer.PERMANENT


def test_a_word_never_changes_whether_it_is_for_good(rng: random.Random) -> None:
    phrases = [p for _, group in PHRASES for p in group]
    phrases += [p for group in SAYINGS.values() for p, _ in group]
    for _ in range(2000):
        code = rng.choice((421, 450, 451, 452, 550, 552, 554))
        text = " ".join(rng.sample(phrases, rng.randint(0, 3)))
        enhanced = f"{code // 100}.{rng.randint(0, 7)}.{rng.randint(0, 30)}"
        answer = classify(RemoteReply(code, enhanced, text.upper()), rng.choice(PROVIDERS))
        assert answer is not Answer.ACCEPTED
        assert not (code < 500 and answer in (Answer.NO_SUCH_USER, Answer.PERMANENT))
        assert not (code >= 500 and answer in (Answer.GREYLISTED, Answer.TEMPORARY))


def test_phrases_can_be_found() -> None:
    phrases = [p for _, group in PHRASES for p in group]
    phrases += [p for group in SAYINGS.values() for p, _ in group]
    assert [p for p in phrases if p != p.lower()] == []
    assert set(SAYINGS) <= set(HOSTS.values())


@pytest.mark.parametrize(
    ("host", "provider", "lane"),
    [
        ("ASPMX.L.Google.com.", "google", "google"),
        ("gmail-smtp-in.l.google.com", "google", "google"),
        ("example-org.mail.protection.outlook.com", "microsoft", "microsoft"),
        ("mta5.am0.yahoodns.net", "yahoo", "yahoo"),
        ("mx3.qq.com", "qq", "qq"),
        ("163mx01.mxmail.netease.com", "netease", "netease"),
        ("notgoogle.com", OTHER, "notgoogle.com"),
        ("MX1.hoster.test", OTHER, "mx1.hoster.test"),
        ("192.0.2.1", OTHER, "192.0.2.1"),
        ("", OTHER, ""),
    ],
)
def test_who_stands_behind_a_host(host: str, provider: str, lane: str) -> None:
    assert (provider_of(host), lane_of(host)) == (provider, lane)


def test_metrics_know_every_answer_and_provider() -> None:
    values = {metric.name: metric.values for metric in METRICS}
    assert set(values["a3_relay_answers_total"]) == set(Answer)
    assert set(values["a3_relay_throttled_total"]) == set(PROVIDERS)
    assert set(values["a3_relay_taken_total"]) == set(PROVIDERS)
