"""Attack row 38: scripts and mails made to cost much. Counted in steps of the budget, never in time."""

from __future__ import annotations

import random

import pytest

from a3mailer.wire.sieve.glob import match, pattern
from a3mailer.wire.sieve.limits import FIELDS, STANDARD, Limits
from a3mailer.wire.sieve.parser import parse_source
from a3mailer.wire.sieve.syntax import Source
from tests.unit.wire.sieve.scripts import result, told


def _ignored(steps: int) -> None:
    pass


def _reference(key: bytes, value: bytes) -> bool:
    """``:matches`` by the book: a table of which beginning of the pattern matches which of the value."""
    places = []
    escaped = False
    for octet in key:
        if not escaped and octet == 0x5C:
            escaped = True
            continue
        places.append((octet, escaped))
        escaped = False
    if escaped:
        places.append((0x5C, True))
    row = {0}
    for octet, literal in places:
        if not literal and octet == ord("*"):
            row = set(range(min(row), len(value) + 1)) if row else row
        elif not literal and octet == ord("?"):
            row = {at + 1 for at in row if at < len(value)}
        else:
            row = {at + 1 for at in row if at < len(value) and value[at] == octet}
    return len(value) in row


def test_matches_agrees_with_the_book() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(20_000):
        key = bytes(rng.choices(b"ab*?\\", k=rng.randrange(9)))
        value = bytes(rng.choices(b"ab*?\\", k=rng.randrange(9)))
        found = match(pattern(key), value, _ignored)
        assert (found is not None) is _reference(key, value), (key, value)
        if found is not None:
            assert found[0] == value


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        (b"*<*@*", b"List <a@b@c>", (b"List ", b"a", b"b@c>")),
        (b"[*] *", b"[acme] [fwd] x", (b"acme", b"[fwd] x")),
        (b"coyote@**.com", b"coyote@ACME.Example.com", (b"", b"ACME.Example")),
        (b"?*?", b"abc", (b"a", b"b", b"c")),
        (b"*?b*", b"abbb", (b"", b"a", b"bb")),
        (b"a\\*b", b"a*b", ()),
        (b"**", b"xy", (b"", b"xy")),
    ],
)
def test_wildcards_stand_for_little(key: bytes, value: bytes, parts: tuple[bytes, ...]) -> None:
    assert match(pattern(key), value, _ignored) == (value, *parts)


@pytest.mark.parametrize(
    "key",
    [
        "*a" * 2000 + "b",
        "*a?" * 2000 + "b",
        "a*" * 500 + "?b",
        "?" * 3000 + "b",
        "*" * 5000 + "b",
        "*?a" * 50 + "*b?c*",
    ],
)
def test_a_pattern_ends_or_is_over_budget(key: str) -> None:
    mail = b"Subject: " + b"a" * 60_000 + b"\r\n\r\n"
    done = result(f'if header :matches "subject" "{key}" {{ discard; }}', mail)
    assert done.actions[0].word == "keep"
    assert done.steps <= STANDARD.steps + 5_000
    assert done.error is None or "steps" in done.error.text


def test_many_places_of_a_piece_are_charged() -> None:
    """Each place where the anchor of ``*aa?b*`` is found costs a step, so the search is cut."""
    mail = b"Subject: " + b"a" * 200_000 + b"\r\n\r\n"
    (wanted,) = told('if header :matches "subject" "*aa?b*" { discard; }', mail)
    assert wanted.endswith(f"more than {STANDARD.steps} steps")


def test_contains_of_long_texts_is_charged() -> None:
    mail = b"Subject: " + b"a" * 2_400 + b"\r\n\r\n"
    keys = ", ".join(f'"{"a" * 1_100}{n}"' for n in range(300))
    (wanted,) = told(f'if header :contains "subject" [{keys}] {{ discard; }}', mail)
    assert wanted.endswith("steps")


def test_a_long_script_is_cut_by_its_budget() -> None:
    script = 'if header :contains "subject" "q" { discard; }\n' * 2_000
    assert told(script, limits=Limits(steps=3_000))[0].endswith("more than 3000 steps")


def test_a_script_of_one_long_line_costs_what_its_length_costs() -> None:
    """Columns are counted from the place asked for before, not from the begin of the line each time."""
    counted = []

    class Counted(Source):
        def place(self, at: int) -> tuple[int, int]:
            counted.append(at - self._last[1] if at >= self._last[1] else at)
            return super().place(at)

    source = Counted(b"keep; /* \xc3\xbc */ " * 2_000)
    places = [source.place(node.at) for node in parse_source(source)]
    assert places == [(1, 14 * number + 1) for number in range(2_000)]
    assert sum(counted) < 2 * len(source.octets)


def test_a_header_is_read_up_to_its_limits() -> None:
    mail = b"X: y\r\n" * (FIELDS + 10) + b"Last: 1\r\n\r\n"
    assert told('if exists "last" { discard; }', mail) == ["implicit keep"]
    mail = b"X: " + b"y" * 300_000 + b"\r\nLast: 1\r\n\r\n"
    assert told('if exists "last" { discard; }', mail) == ["implicit keep"]


def test_memory_is_limited() -> None:
    mail = b"".join(b"X%d: %s\r\n" % (n, b"=?utf-8?q?y?=" * 100) for n in range(100)) + b"\r\n"
    script = "".join(f'if header "x{n}" "q" {{ discard; }}\n' for n in range(100))
    assert told(script, mail, limits=Limits(memory=4_096))[0].endswith("octets of memory")
    assert told(script, mail) == ["implicit keep"]


def test_addresses_of_a_long_list_are_charged() -> None:
    mail = b"To: " + b", ".join(b"a%d@b.example" % n for n in range(9_000)) + b"\r\n\r\n"
    script = 'if address "to" "x@y.example" { discard; }\n' * 200
    assert told(script, mail)[0].startswith("error: ")


def test_long_lists_of_flags_are_charged_for() -> None:
    words = " ".join(f"k{number}" for number in range(800))
    need = f'require ["imap4flags", "variables"]; set "v" "{words}";'
    once, often = (result(need + 'if hasflag "v" "x" {}' * count).steps for count in (1, 21))
    assert often - once > 20 * len(words) // 64


def test_reading_is_charged_before_it_is_done() -> None:
    """So that what is long goes to a thread before it begins."""
    words = b"Subject: " + b"=?utf-8?b?w6TDpMOk?= " * 9_000 + b"\r\n\r\n"
    html = b"Content-Type: text/html\r\n\r\n" + b"<p>a &amp; b</p>" * 36_000
    few = Limits(steps=1_000, memory=10_000)
    for test, mail in (('header "subject" "x"', words), ('body :text "x"', html)):
        (said,) = told(f'require "body"; if {test} {{ discard; }}', mail, limits=few)
        assert said.endswith("steps"), "else the memory would be over first"
