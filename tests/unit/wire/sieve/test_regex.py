"""regex: its matches and match variables, what is refused, and the expressions of attack row 38."""

from __future__ import annotations

import pytest

from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.limits import STANDARD
from tests.unit.wire.sieve.scripts import result, told, true

NEED = '"regex", "variables", "fileinto"'
MAIL = b"Subject: [acme-users] [fwd] Version 1.0 is out\r\nX: =?utf-8?q?gr=C3=BCn?=\r\n\r\n"


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        ('header :regex "subject" "version [0-9]+\\\\.[0-9]"', True),
        ('header :regex :comparator "i;octet" "subject" "version"', False),
        ('header :regex "subject" "^\\\\[acme-(users|devs)\\\\]"', True),
        ('header :regex "subject" ["q", "out$"]', True),
        ('header :regex "subject" "^out"', False),
        ('header :regex "x" "^gr.n$"', True),
        ('address :domain :regex "from" "x"', False),
        ('string :regex "a\r\nb" "a.*b"', True),
    ],
)
def test_regex(test: str, wanted: bool) -> None:
    assert true(test, MAIL, NEED) is wanted


def test_match_variables() -> None:
    script = (
        f'require [{NEED}]; if header :regex "subject" "\\\\[([^]]*)\\\\] (x)?.*(Version.*)" {{ fileinto "'
    )
    assert told(script + '${1}|${2}|${3}"; }', MAIL) == ["fileinto acme-users||Version 1.0 is out"]
    assert told(script + '${0}"; }', MAIL) == ["fileinto [acme-users] [fwd] Version 1.0 is out"]


def test_what_is_quoted_matches_itself() -> None:
    script = f"""require [{NEED}]; set :quoteregex "q" "a.b*[c]\\\\|ü";
        if string :regex "a.b*[c]\\\\|ü" "^${{q}}$" {{ discard; }}
        if string :regex "aXb" "${{q}}" {{ keep; }}"""
    assert told(script) == ["discard"]


@pytest.mark.parametrize("expression", ["(", "a**b[", "(a)\\\\1", "x{1,100000}", "(?=a)", "a" * 3_000])
def test_what_is_no_expression(expression: str) -> None:
    with pytest.raises(ScriptError):
        told(f'require [{NEED}]; if header :regex "subject" "{expression}" {{ }}')
    script = f'require [{NEED}]; set "e" "{expression}"; if header :regex "subject" "${{e}}" {{ }}'
    assert told(script, MAIL)[0].startswith("error: ")


@pytest.mark.parametrize(
    "expression", ["(a+)+$", "(a|aa)+$", "(a|a?)+$", "(.*a){12}b", "(x+x+)+y", "((a*)*)*b"]
)
def test_no_expression_is_catastrophic(expression: str) -> None:
    mail = b"Subject: " + b"a" * 60_000 + b"!\r\n\r\n"
    done = result(f'require "regex"; if header :regex "subject" "{expression}" {{ discard; }}', mail)
    assert done.error is None
    assert done.steps < STANDARD.steps // 10


def test_many_expressions_are_over_budget() -> None:
    mail = b"Subject: " + b"a" * 200_000 + b"!\r\n\r\n"
    keys = ", ".join(f'"(a|b{n})+c"' for n in range(200))
    assert told(f'require "regex"; if header :regex "subject" [{keys}] {{ discard; }}', mail)[0].endswith(
        "steps"
    )
