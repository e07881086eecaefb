"""include (RFC 6609): its examples, scopes, and what attack row 38 says of recursion."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from a3mailer.wire.sieve.compile import compile_script
from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.extensions import ALL
from a3mailer.wire.sieve.limits import INCLUDED, INCLUDES
from tests.unit.wire.sieve.scripts import told

MAIL = b"From: money@example.com\r\nSubject: Make money $$ XXXX\r\nList-Id: sieve.ietf.org\r\n\r\n"


def ran(script: str, library: Mapping[str, str] | None = None, mail: bytes = MAIL) -> list[str]:
    """Scripts by name; ``global NAME`` for those of the site."""

    def scripts(location: str, name: str) -> object | None:
        found = (library or {}).get(name if location == "personal" else f"{location} {name}")
        return None if found is None else compile_script(found.encode(), ALL)

    return told(f'require "include"; {script}', mail, scripts=scripts)


def test_the_first_example() -> None:
    library = {
        "always_allow": 'if address :is "from" "boss@example.com" { keep; }',
        "global spam_tests": 'require "reject"; if header :contains "Subject" "$$" { reject "No."; stop; }',
        "spam_tests": 'require ["reject"]; if header :contains "Subject" "XXXX" { reject "Subject"; stop; }',
        "mailing_lists": 'require "fileinto"; if header "List-ID" "sieve.ietf.org" { fileinto "l.sieve"; }',
    }
    script = (
        'include :personal "always_allow"; include :global "spam_tests"; include :personal "spam_tests";'
        ' include :personal "mailing_lists";'
    )
    assert ran(script, library) == ["reject"]
    assert ran(script, library, MAIL.replace(b"$$", b"")) == ["reject"]
    assert ran(script, library, MAIL.replace(b"$$ XXXX", b"")) == ["fileinto l.sieve"]
    assert ran(script, library, b"From: boss@example.com\r\n\r\n") == ["keep"]


def test_the_example_of_shared_variables() -> None:
    script = """require ["fileinto", "variables", "relational", "comparator-i;ascii-numeric"];
        global "test"; global "test_mailbox";
        set "test" "$$"; include "subject_tests";
        set "test" "Make money"; include "subject_tests";
        if string :count "eq" :comparator "i;ascii-numeric" "${test_mailbox}" "1"
        { fileinto "${test_mailbox}"; stop; }"""
    library = {
        "subject_tests": """require ["include", "variables"]; global ["test", "test_mailbox"];
            if header :contains "Subject" "${test}" { set "test_mailbox" "spam-${test}"; }"""
    }
    assert ran(script, library) == ["fileinto spam-Make money"]


@pytest.mark.parametrize(
    ("script", "included", "wanted"),
    [
        ('include "a"; keep;', 'require "include"; return; discard;', ["keep"]),
        ('include "a"; keep;', "stop;", ["implicit keep"]),
        ('include "a"; keep;', "discard;", ["discard", "keep"]),
        ("return; discard;", "", ["implicit keep"]),
        ('include :optional "a\u00a0b\ue000";', "", ["implicit keep"]),
        ('if true { include "a"; }', 'require "include"; if true { return; } discard;',
         ["implicit keep"]),
        ('include "a"; include "a";', 'redirect "a@b.example";', ["redirect a@b.example"]),
        ('require ["variables", "fileinto"]; set "x" "1"; include "a"; fileinto "<${x}>";',
         'require "variables"; set "x" "2";', ["fileinto <1>"]),
        ('require ["variables", "fileinto"]; set "x" "1"; include "a";',
         'require ["variables", "fileinto"]; fileinto "<${x}>";', ["fileinto <>"]),
        ('require ["variables", "fileinto"]; set "global.x" "1"; include "a"; fileinto "${global.x}${x}";',
         'require ["variables", "include"]; global "X"; set "x" "${x}2";', ["fileinto 12"]),
        ('require ["variables", "fileinto"]; if header :matches "subject" "* *" {}'
         ' include "a"; fileinto "${1}";',
         'require "variables"; if header :matches "from" "*@*" { }', ["fileinto Make"]),
        ('include :optional "none"; keep;', "", ["keep"]),
        ('include :once "a"; include :once "a"; include "a";', 'redirect "a@b.example";',
         ["redirect a@b.example"]),
        ('require "fileinto"; include "a"; fileinto "x";', "", ["fileinto x"]),
    ],
)  # fmt: skip
def test_scripts_of_scripts(script: str, included: str, wanted: list[str]) -> None:
    assert ran(script, {"a": included}) == wanted


@pytest.mark.parametrize(
    ("script", "included", "text"),
    [
        ('include "none";', "", 'column 20: there is no personal script "none"'),
        ('include :global "a";', "", "there is no global script"),
        ('include "a";', "bogus;", 'the script "a", line 1, column 1: there is no bogus'),
        ('require "fileinto"; include "a";', 'fileinto "x";', 'needs the capability "fileinto"'),
        (
            'include "a";',
            'require "reject"; reject "x";\n reject "y";',
            'the script "a", line 2, column 2: a second',
        ),
        ('include "a";', 'require "include"; include "a";', "is within itself"),
        ('require "variables"; set "x" "1"; global "x";', "", "is one of this script already"),
    ],
)
def test_errors(script: str, included: str, text: str) -> None:
    (said,) = ran(script, {"a": included})
    assert said.startswith("error: line 1, column ")
    assert text in said


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ('include "${x}";', "constant"),
        ('include :personal :global "a";', "only one of them"),
        ('include "";', "no name of a script"),
        ('include "a\r\nb";', "no name of a script"),
        ('global "a b";', "no name of a variable"),
        ('global "1";', "no name of a variable"),
        ('set "global.a.b" "";', "namespace"),
        ('set "global.1" "";', "no name of a variable"),
    ],
)
def test_what_cannot_be(script: str, text: str) -> None:
    with pytest.raises(ScriptError, match=text):
        ran('require "variables"; ' + script)


def test_global_needs_variables_too() -> None:
    with pytest.raises(ScriptError, match='needs the capability "variables"'):
        ran('global "x";')
    with pytest.raises(ScriptError, match="variables of global"):
        told('require ["variables", "fileinto"]; fileinto "${global.x}";')
    assert told('require "variables"; set "global.x" "1";')[0].endswith("needs the capability include")


def test_scripts_within_scripts_are_limited() -> None:
    chain = {f"s{n}": f'require "include"; include "s{n + 1}";' for n in range(INCLUDED + 5)}
    assert f"more than {INCLUDED}" in ran('include "s0";', chain)[0]
    chain[f"s{INCLUDED - 1}"] = "discard;"
    assert ran('include "s0";', chain) == ["discard"]
    circle = {"a": 'require "include"; include "b";', "b": 'require "include"; include "a";'}
    assert "is within itself" in ran('include "a";', circle)[0]
    assert ran('include "a";', circle | {"b": 'require "include"; include :once "a"; discard;'}) == [
        "discard"
    ]


def test_a_tree_of_includes_ends_at_the_limit() -> None:
    tree = {f"s{n}": f'require "include"; include "s{n + 1}"; include "s{n + 1}";' for n in range(8)}
    tree["s8"] = "keep;"
    assert f"or {INCLUDES} in all" in ran('include "s0";', tree)[0]
