"""Fields that the operator's rules change, on one door or another, and what no rule can do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from a3mailer.config.checks import check
from a3mailer.config.fields import BadValue
from a3mailer.config.headers import parse_header_rule
from a3mailer.config.tree import Policy, Server
from a3mailer.transfer.policy.header_rules import HeaderRules, rewritten
from a3mailer.transfer.policy.judge import Judges
from a3mailer.transfer.receive import Receive
from tests.growth import assert_linear
from tests.unit.transfer.policy.test_judge import only_mail
from tests.unit.transfer.world import SETTINGS, World

RULES = (
    r"smtp Subject ^\[SPAM\] *(.*)$ => \1",
    "any User-Agent .* =>",
    "submission X-Mailer (?i)secret => open",
    "smtp X-Long x => xxxxxxxxxx",
)
HEADER = (
    b"From: a\r\nsubject: [SPAM]\r\n hello\r\nUser-Agent: x\r\n y\r\nX-Mailer: Secret\r\nno field\r\n\r\n"
)


def done(header: bytes, *rules: str) -> bytes:
    return rewritten(header, tuple(parse_header_rule(rule) for rule in rules))


def test_fields_are_changed_and_taken_out_and_the_others_keep_their_octets() -> None:
    assert done(HEADER, *RULES[:2]) == (b"From: a\r\nsubject: hello\r\nX-Mailer: Secret\r\nno field\r\n\r\n")
    assert done(b"A: 1\r\nA: 2\r\na : 1\r\n\r\n", "any A 1 => one") == b"A: one\r\nA: 2\r\na: one\r\n\r\n"
    assert done(b"A: 1", "any A 1 => 2", "any A 2 => 3") == b"A: 3\r\n"


def test_a_value_that_would_be_too_long_is_not_put_in() -> None:
    header = b"X-Long: " + b"x" * 200 + b"\r\n\r\n"
    assert done(header, RULES[3]) == header


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_whatever_a_stranger_writes_no_rule_ends_the_header_or_makes_a_field(
    value: bytes, name: bytes
) -> None:
    header = b"A: 1\r\nSubject: " + value.replace(b"\n", b"").replace(b"\r", b"") + b"\r\nB: 2\r\n\r\n"
    new = done(header, r"any Subject (.*) => <\1>", "any X y => z")
    assert new.startswith(b"A: 1\r\n") and new.endswith(b"\r\nB: 2\r\n\r\n") and new.count(b"\r\n") == 4
    assert isinstance(done(name + value, r"any Subject (.*) => <\1>"), bytes)


def test_no_pattern_is_slow_on_any_text() -> None:
    rule = "any X ^(a+)+$ => y"
    assert_linear(lambda n: b"X: " + b"a" * n + b"b\r\n\r\n", lambda header: done(header, rule), 2000)


@pytest.mark.parametrize(
    "text",
    ["", "smtp", "smtp Subject x", "imap Subject x => y", "smtp Sub:ject x => y", r"smtp Subject (a)\1 => y",
     "smtp Subject ( => y", "smtp Received .* =>", "any Return-Path .* =>", r"smtp Subject x => \1",
     "smtp Subject (?=x) => y", "smtp Subject x => a\r\nBcc: y", "smtp Subject " + "x" * 1000 + " => y"],
)  # fmt: skip
def test_rules_that_are_none_are_not_set(text: str) -> None:
    with pytest.raises(BadValue):
        check("policy.header_rules", (text,))


def test_good_rules_are_set() -> None:
    check("policy.header_rules", RULES)


async def test_a_mail_is_kept_as_the_rules_of_its_door_leave_it() -> None:
    world = World(structs.replace(SETTINGS, policy=Policy(header_rules=RULES)))
    judges = Judges({"header rules": HeaderRules(world.settings)})
    world.receive = Receive(world.store, world.directory, world.settings, world.clock, judges)
    assert await world.send(HEADER + b"body\r\n", "alice@a.test") == (None,)
    kept = await only_mail(world)
    assert kept.endswith(b"From: a\r\nsubject: hello\r\nX-Mailer: Secret\r\nno field\r\n\r\nbody\r\n")


async def test_nobody_is_asked_without_rules_or_under_plain() -> None:
    world = World()
    judge = HeaderRules(world.settings)
    assert not judge.wants(None)  # type: ignore[arg-type]
    judge.reconfigure(
        structs.replace(SETTINGS, policy=Policy(header_rules=RULES), server=Server(profile="plain"))
    )
    assert not judge.wants(None)  # type: ignore[arg-type]
