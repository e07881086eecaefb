"""The judgement itself: each wrong is found, and a clean run is clean."""

import hashlib

import pytest

from tests.faults import ledger
from tests.faults.ledger import Attempt, Outcome, Stored

ALICE, BOB = "alice@example.test", "bob@example.test"


def attempt(name: str, outcome: Outcome = Outcome.ACKNOWLEDGED) -> Attempt:
    return Attempt(name, ALICE, hashlib.sha256(ledger.content(name, b"body\r\n")).digest(), outcome)


def stored(name: str, uid: int, *, body: bytes = b"body\r\n", recipient: str = ALICE) -> Stored:
    known = ledger.digest(b"Received: by us\r\n" + ledger.content(name, body))
    assert known is not None
    return Stored(recipient, uid, *known)


def test_a_server_that_keeps_its_word_is_faultless() -> None:
    attempts = [
        attempt("1"),
        attempt("2", Outcome.UNKNOWN),
        attempt("3", Outcome.UNKNOWN),
        attempt("4", Outcome.REFUSED),
    ]
    verdict = ledger.judge(attempts, [stored("1", 1), stored("2", 2)], {ALICE: [1, 2]})
    assert verdict.faultless
    assert (verdict.acknowledged, verdict.unknown, verdict.unknown_kept) == (1, 2, 1)


def test_a_mail_that_was_deferred_and_kept_is_named_and_no_wrong() -> None:
    attempts = [attempt("1", Outcome.DEFERRED), attempt("2", Outcome.DEFERRED)]
    verdict = ledger.judge(attempts, [stored("1", 1)], {ALICE: [1]})
    assert verdict.faultless
    assert (verdict.deferred, verdict.deferred_kept) == (2, ("1",))


@pytest.mark.parametrize(
    ("wrong", "attempts", "found"),
    [
        ("lost", [attempt("1")], []),
        ("duplicated", [attempt("1")], [stored("1", 1), stored("1", 2)]),
        ("duplicated", [attempt("1", Outcome.UNKNOWN)], [stored("1", 1), stored("1", 2)]),
        ("duplicated", [attempt("1", Outcome.DEFERRED)], [stored("1", 1), stored("1", 2)]),
        ("damaged", [attempt("1")], [stored("1", 1, body=b"bodY\r\n")]),
        ("damaged", [attempt("1")], [stored("1", 1, body=b"body\r\nmore\r\n")]),
        ("misplaced", [attempt("1")], [stored("1", 1, recipient=BOB)]),
        ("phantom", [attempt("1", Outcome.REFUSED)], [stored("1", 1)]),
        ("phantom", [], [stored("1", 1)]),
    ],
)
def test_each_wrong_is_found_by_its_name(wrong: str, attempts: list[Attempt], found: list[Stored]) -> None:
    verdict = ledger.judge(attempts, found, {ALICE: [s.uid for s in found]})
    assert getattr(verdict, wrong) == ("1",)
    assert not verdict.faultless


@pytest.mark.parametrize("uids", [[1, 1], [2, 1], [1, 3, 2]])
def test_uids_out_of_order_are_found(uids: list[int]) -> None:
    assert ledger.judge([], [], {BOB: uids}).disordered == (BOB,)


def test_a_mail_of_someone_else_is_no_matter() -> None:
    assert ledger.digest(b"Subject: welcome\r\n\r\nhello\r\n") is None
