"""Passwords, SCRAM verifiers, SASLprep and the cache."""

from __future__ import annotations

import asyncio
import base64
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.identity import credentials
from a3mailer.identity.credentials import (
    HashPool,
    VerifiedCache,
    Verifier,
    accept_hash,
    hash_password,
    is_hashed,
    make_verifier,
    verify_password,
)
from a3mailer.identity.saslprep import MAX_LENGTH, Unprepared, saslprep
from a3mailer.mail.errors import BadName, TryLater
from a3mailer.telemetry.events import Secret

STORED = hash_password(Secret("s3cret"))


def test_the_parameters_are_those_of_owasp() -> None:
    assert STORED.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert accept_hash(STORED) == STORED


@pytest.mark.parametrize(
    ("password", "right"), [("s3cret", True), ("s3creT", False), ("", False), ("a\0b", False)]
)
def test_verify(password: str, right: bool) -> None:
    assert verify_password(STORED, Secret(password)) is right


def test_an_unknown_name_is_never_right_but_hashes() -> None:
    import argon2

    made, dummy = argon2.extract_parameters(STORED), argon2.extract_parameters(credentials._DUMMY)
    assert made == dummy  # the same work, salt and length included
    assert not verify_password(None, Secret("s3cret"))
    assert not verify_password(None, Secret("x" * (MAX_LENGTH + 1)))


def test_a_password_is_the_same_in_every_unicode_form() -> None:
    stored = hash_password(Secret("pa\u00dfw\u00f6rt \u2168"))
    assert verify_password(stored, Secret("pa\u00dfwo\u0308rt\u00a0IX"))


def test_a_hash_made_elsewhere_of_the_octets_as_typed_still_fits() -> None:
    import argon2

    raw = argon2.PasswordHasher(1, 8, 1).hash("x\u2168")
    assert verify_password(accept_hash("{ARGON2ID}" + raw), Secret("x\u2168"))


@pytest.mark.parametrize(
    "text",
    [
        "", "plain", "$2b$12$" + "a" * 53, "{ARGON2ID}", "$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHQ$",
        "$argon2id$v=19$m=9999999,t=2,p=1$c2FsdHNhbHQ$" + "A" * 43,
        "$argon2id$v=19$m=19456,t=99,p=1$c2FsdHNhbHQ$" + "A" * 43,
        "$argon2id$v=19$m=19456,t=2,p=99$c2FsdHNhbHQ$" + "A" * 43, STORED + "\n", STORED + "$x",
    ],
)  # fmt: skip
def test_hashes_of_unknown_form_or_price_are_refused(text: str) -> None:
    with pytest.raises(BadName):
        accept_hash(text)


def test_what_is_a_hash_is_told_from_what_is_a_password() -> None:
    assert is_hashed(STORED) and is_hashed("{ARGON2ID}" + STORED)
    assert not is_hashed("$ecret") and not is_hashed("{brace}")


@pytest.mark.parametrize(
    "bad",
    ["", "a\x00b", "tab\t", "\u200e\u0627", "\u0627x", "\ue000", "x" * (MAX_LENGTH + 1), "\u00fc" * 600],
)
def test_passwords_that_cannot_be_are_refused_with_a_reason(bad: str) -> None:
    with pytest.raises((Unprepared, BadName)) as refused:
        hash_password(Secret(bad))
    assert str(refused.value)


@pytest.mark.parametrize(
    ("given_", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u0627\u0628", "\u0627\u0628"),
    ],
)
def test_the_examples_of_rfc_4013(given_: str, prepared: str) -> None:
    assert saslprep(given_) == prepared


@given(st.text(max_size=64))
def test_saslprep_is_total_and_idempotent(value: str) -> None:
    try:
        once = saslprep(value)
    except Unprepared:
        return
    try:
        assert saslprep(once) == once
    except Unprepared:  # normalising may bring forth a direction mix; refused is safe
        assert not once.isascii()


def test_the_verifier_of_the_example_in_rfc_7677() -> None:
    made = make_verifier(Secret("pencil"), 4096, base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    text = made.encode()
    assert text.startswith("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
    assert Verifier.decode(text) == made
    # the exchange of the RFC itself is played in test_sasl.py; these keys fix the stored form
    assert text.endswith(
        "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


@pytest.mark.parametrize(
    "text", ["", "x", "a$b$c", "SCRAM-SHA-256$x:YQ==$YQ==:YQ==", "SCRAM-SHA-256$1:!$YQ==:YQ=="]
)
def test_broken_verifiers_are_named(text: str) -> None:
    with pytest.raises(BadName):
        Verifier.decode(text)


def test_verifiers_are_dear_by_default() -> None:
    assert credentials.SCRAM_ITERATIONS >= 600_000


async def test_the_pool_hashes_on_few_threads_and_turns_a_flood_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "MAX_WAITING", 8)
    pool, gate, seen = HashPool(2), threading.Event(), set()

    def work() -> None:
        seen.add(threading.get_ident())
        assert gate.wait(30)

    refused = 0

    async def one() -> None:
        nonlocal refused
        try:
            await pool.run(work)
        except TryLater:
            refused += 1
            if refused == 12:
                gate.set()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(one())
    assert refused == 12 and len(seen) <= 2
    pool.close()


def test_the_cache_forgets_by_time_by_epoch_and_by_size() -> None:
    cache = VerifiedCache(300.0, most=10)
    digest = cache.digest("a@b", Secret("x"), 1)
    assert not cache.knows(digest, 0.0)
    cache.remember(digest, 100.0)
    assert cache.knows(digest, 399.0) and not cache.knows(digest, 400.0)
    others = [("a@b", "x", 2), ("a@b", "y", 1), ("a@bx", "", 1), ("a@", "bx", 1)]
    assert all(cache.digest(n, Secret(p), e) != digest for n, p, e in others)
    many = [cache.digest("n", Secret(str(number)), 1) for number in range(100)]
    for at, one in enumerate(many):
        cache.remember(one, 100.0 + at)
    known = [one for one in many if cache.knows(one, 200.0)]
    assert len(known) <= 10 and many[-1] in known
    cache.seconds = 0.0
    cache.remember(digest, 500.0)
    assert not cache.knows(digest, 500.0)
    assert VerifiedCache(1.0).digest("a@b", Secret("x"), 1) != digest  # another instance, another key


def test_what_one_process_verified_another_knows() -> None:
    cache = VerifiedCache(300.0)
    digest = cache.digest("a@b", Secret("x"), 1)
    if (child := os.fork()) == 0:
        cache.remember(digest, 100.0)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert cache.knows(digest, 101.0)
    assert not cache.knows(cache.digest("a@b", Secret("y"), 1), 101.0)
