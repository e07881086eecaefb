"""variables (RFC 5229) and encoded-character (RFC 5228 section 2.4.2.4): their examples and limits."""

from __future__ import annotations

import pytest

from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.limits import VARIABLE, VARIABLES
from tests.unit.wire.sieve.scripts import result, told

NEED = 'require ["variables", "encoded-character", "fileinto", "reject", "envelope"]; '


def value(script: str, mail: bytes = b"\r\n") -> str:
    """What a script rejects with."""
    (action,) = result(NEED + script, mail).actions
    return str(getattr(action, "text", action))


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("&%${}!", "&%${}!"),
        ("${doh!}", "${doh!}"),
        ("${full}", ""),
        ("${company}", "ACME"),
        ("${COMPANY}", "ACME"),
        ("${BAD${Company}", "${BADACME"),
        ("${President, ${Company} Inc.}", "${President, ACME Inc.}"),
        (r"${comp\any}", "ACME"),
        (r"${fo\\o}", r"${fo\o}"),
        (r"\${company}", "ACME"),
        (r"\\${company}", r"\ACME"),
        ("$${hex:40}", "$@"),
        ("${hex: 40 }", "@"),
        ("${HEX: 40}", "@"),
        ("${hex:40", "${hex:40"),
        ("${hex:400}", "${hex:400}"),
        ("${hex:4${hex:30}}", "${hex:40}"),
        ("${unicode:40}", "@"),
        ("${ unicode:40}", "${ unicode:40}"),
        ("${UnICoDE:0000040}", "@"),
        ("${Unicode:Cool}", "${Unicode:Cool}"),
        ("${unicode:fc 20 4e2d}", "ü 中"),
        ("${hex:24 7b}company}", "ACME"),
        ("${hex:c3 bc}", "ü"),
        ("a${0}${1}${31}z", "az"),
    ],
)
def test_strings_are_expanded(written: str, wanted: str) -> None:
    assert value(f'set "company" "ACME"; reject "{written}";') == wanted


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ('reject "${unicode:200000}";', "no character"),
        ('reject "${Unicode:DF01}";', "no character"),
        ('reject "${unicode:FFFFFFFFFFFFFFFFFFFF40}";', "no character"),
        ('reject "${32}";', "match variable over"),
        ('reject "${99999999999999999999}";', "match variable over"),
        ('reject "${none.x}";', "variables of none"),
        ('set "a b" "";', "no name"),
        ('set "0" "";', "no name"),
        ('set "a.b" "";', "namespace"),
        ('set "${a}" "";', "constant"),
        ('set :upper :lower "a" "";', "only one of them"),
        ('set :upperfirst :lowerfirst "a" "";', "only one of them"),
        ('set :bogus "a" "";', "takes no :bogus"),
        ('if header :comparator "${x}" "a" "b" {}', "constant"),
    ],
)
def test_what_cannot_be_is_refused_at_once(script: str, text: str) -> None:
    with pytest.raises(ScriptError, match=text):
        result(NEED + script)


@pytest.mark.parametrize(
    ("modifiers", "given", "wanted"),
    [
        ("", "juMBlEd lETteRS", "juMBlEd lETteRS"),
        (":length", "juMBlEd lETteRS", "15"),
        (":length", "Grüße", "5"),
        (":lower", "juMBlEd lETteRS", "jumbled letters"),
        (":upperfirst", "juMBlEd lETteRS", "JuMBlEd lETteRS"),
        (":upperfirst :lower", "juMBlEd lETteRS", "Jumbled letters"),
        (":lower :upperfirst", "juMBlEd lETteRS", "Jumbled letters"),
        (":lowerfirst :upper", "abc", "aBC"),
        (":quotewildcard", "Rock*", r"Rock\*"),
        (":quotewildcard", r"a?\\b", r"a\?\\b"),
        (":quotewildcard :length", "a*b", "4"),
        (":upper", "straße", "STRAßE"),
        (":upperfirst", "über", "über"),
        (":upperfirst", "", ""),
    ],
)
def test_modifiers(modifiers: str, given: str, wanted: str) -> None:
    assert value(f'set "a" "{given}"; set {modifiers} "b" "${{a}}"; reject "${{B}}";') == wanted


LIST = b"List-ID: x <y@z>\r\nSubject: [acme-users] [fwd] 1.0 is out\r\nTo: coyote@ACME.Example.COM\r\n\r\n"


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ('if header :matches "List-ID" "*<*@*" { reject "${2}|${3}|${4}"; }', "y|z>|"),
        ('if header :matches "Subject" "[*] *" { reject "${1}|${2}"; }', "acme-users|[fwd] 1.0 is out"),
        (
            'if address :matches ["To", "Cc"] ["coyote@**.com", "wile@**.com"] { reject "${0}|${1}|${2}"; }',
            "coyote@ACME.Example.COM||ACME.Example",
        ),
        ('if anyof (true, address :domain :matches "To" "*.com") { reject "<${1}>"; }', "<>"),
        ('if header :matches "subject" "*" { if header :contains "subject" "fwd" { reject "${002}${01}"; } }',
         "[acme-users] [fwd] 1.0 is out"),
        ('if header :matches "subject" "[*" { } if header :matches "subject" "q*" { } reject "${1}";',
         "acme-users] [fwd] 1.0 is out"),
        ('set "s" "on"; set "t" "${s} pending"; if string :matches " ${t} " "* pending *" { reject "${1}"; }',
         " on"),
        ('if string :is ["a", ""] ["b", ""] { reject "yes"; }', "yes"),
        ('if string " a" "a" { reject "stripped"; } else { reject "not"; }', "not"),
    ],
)  # fmt: skip
def test_match_variables(script: str, wanted: str) -> None:
    assert value(script, LIST) == wanted


def test_the_value_is_that_of_the_moment_and_names_are_not_told_apart_by_case() -> None:
    script = 'set "A" "1"; set "b" "${a}"; set "a" "2"; reject "${b}${A}";'
    assert value(script) == "12"


def test_variables_are_limited() -> None:
    assert value(f'set "a" "{"ü" * VARIABLE}"; set :length "b" "${{a}}"; reject "${{b}}";') == str(
        VARIABLE // 2
    )
    assert value(f'set "a" "x{"ü" * VARIABLE}"; reject "${{a}}";') == "x" + "ü" * ((VARIABLE - 1) // 2)
    many = "".join(f'set "v{n}" "";' for n in range(VARIABLES))
    assert told(NEED + many) == ["implicit keep"]
    assert told(NEED + many + 'set "v0" "again";') == ["implicit keep"]
    assert told(NEED + many + 'set "w" "";')[0].endswith(f"more than {VARIABLES} variables")


def test_doubling_a_string_ends_at_the_limits() -> None:
    script = 'set "a" "' + "x" * 100 + '";' + 'set "a" "${a}${a}${a}${a}${a}${a}${a}${a}";' * 200
    assert told(NEED + script)[0].endswith("octets of memory")


def test_what_a_variable_holds_is_checked_when_it_is_used() -> None:
    assert told(NEED + 'fileinto "${x}";')[0].endswith("empty or too long")
    assert told(NEED + 'redirect "${x}";')[0].endswith("no address to send to")
    assert told(NEED + 'if envelope "${x}" "" {}')[0].endswith('"" is no part of the envelope')


def test_without_the_capability_strings_are_as_they_are() -> None:
    assert told('require "fileinto"; fileinto "${x} ${hex:40}";') == ["fileinto ${x} ${hex:40}"]
