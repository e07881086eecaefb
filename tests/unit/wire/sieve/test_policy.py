"""vnd.a3.policy: what an operator's script says at the stages of SMTP."""

from __future__ import annotations

import pytest

from a3mailer.wire.sieve.compile import compile_script
from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.extensions import OPERATORS
from a3mailer.wire.sieve.extensions.policy import Accept, Quarantine, Refuse, Tag
from a3mailer.wire.sieve.interpret import Result, run
from a3mailer.wire.sieve.view import MailView

NEED = 'require ["vnd.a3.policy", "envelope", "reject", "variables"]; '
RCPT = {
    "vnd.a3.stage": b"rcpt",
    "remote-ip": b"192.0.2.7",
    "vnd.a3.helo": b"mail.spam.example",
    "vnd.a3.tls": b"",
}


def ran(script: str, **environment: bytes) -> Result:
    place = RCPT | {name.replace("_", "."): value for name, value in environment.items()}
    view = MailView(b"", {"from": (b"",), "to": (b"bob@example.test",)}, place, size=70_000)
    return run(compile_script((NEED + script).encode(), OPERATORS), view)


def said(test: str, **environment: bytes) -> bool:
    return ran(f"if {test} {{ accept; }}", **environment).actions[0] == Accept()


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        ('stage "rcpt"', True),
        ('stage ["MAIL", "RCPT"]', True),
        ('stage "data"', False),
        ('client "192.0.2.0/24"', True),
        ('client ["2001:db8::/32", "192.0.2.7"]', True),
        ('client "198.51.100.0/24"', False),
        ('helo :matches "*.spam.example"', True),
        ('helo "mail.spam.example"', True),
        ("auth", False),
        ("tls", False),
        ('tls :contains "TLS"', False),
        ('envelope "from" ""', True),
        ('envelope :domain "to" "example.test"', True),
        ("size :over 64K", True),
        ('header :contains "subject" ""', False),
        ('exists "from"', False),
    ],
)
def test_what_is_known_at_a_stage(test: str, wanted: bool) -> None:
    assert said(test) is wanted


def test_login_and_tls_are_matched() -> None:
    assert said("auth", vnd_a3_login=b"alice@example.test")
    assert said('auth :matches "*@example.test"', vnd_a3_login=b"alice@example.test")
    assert not said('auth "bob@example.test"', vnd_a3_login=b"alice@example.test")
    assert said("tls", vnd_a3_tls=b"TLSv1.3 TLS_AES_256_GCM_SHA384")
    assert said('tls :matches "TLSv1.3 *"', vnd_a3_tls=b"TLSv1.3 TLS_AES_256_GCM_SHA384")


def test_an_address_mapped_into_ipv6_is_the_address() -> None:
    view = MailView(environment={"remote-ip": b"::ffff:192.0.2.9"})
    script = compile_script((NEED + 'if client "192.0.2.0/24" { accept; }').encode(), OPERATORS)
    assert run(script, view).actions[0] == Accept()
    assert run(script, MailView(environment={"remote-ip": b"local socket"})).actions[0] != Accept()


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ('refuse "no";', Refuse("no")),
        ('refuse "5.7.25 no PTR";', Refuse("no PTR", "5.7.25")),
        ('refuse "550 5.7.1 no  thanks\r\n";', Refuse("no thanks", "5.7.1")),
        ('refuse "550 miles";', Refuse("550 miles")),
        ('defer "later";', Refuse("later", "4.7.1")),
        ('defer "451 4.3.2 not now";', Refuse("not now", "4.3.2")),
    ],
)
def test_refusals_end_the_script(script: str, wanted: Refuse) -> None:
    assert ran(script + 'tag "unreached";').actions == (wanted,)


def test_tags_are_gathered_before_a_refusal_and_quarantine_keeps() -> None:
    assert ran('tag "a\tb"; tag "a b"; quarantine "odd"; refuse "x";').actions == (
        Tag("a b"),
        Quarantine("odd"),
        Refuse("x"),
    )
    done = ran('tag "a"; quarantine "b";').actions
    assert done[:2] == (Tag("a"), Quarantine("b")) and done[2].word == "keep"


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ('if stage "frob" {}', "is no stage"),
        ('if client "192.0.2.7/24" {}', "is no network"),
        ('if client "mx.example" {}', "is no network"),
        ('refuse "";', "a text is wanted"),
        ('refuse "4.7.1 x";', "must begin with 5"),
        ('refuse "450 5.7.1 x";', "must begin with 5"),
        ('defer "5.7.1 x";', "must begin with 4"),
        ('refuse "a\x07b";', "a text is wanted"),
        ('redirect "a@b.example";', "there is no redirect"),
        ("discard;", "there is no discard"),
        ('require "fileinto";', "behind another command"),
    ],
)
def test_mistakes_are_found_when_the_script_is_compiled(script: str, text: str) -> None:
    with pytest.raises(ScriptError, match=text):
        ran("stop; " + script)


def test_mistakes_in_variables_are_found_when_it_runs() -> None:
    assert "is no network" in str(ran('set "n" "x"; if client "${n}" { accept; }').error)
    assert "a text is wanted" in str(ran('set "n" ""; refuse "${n}";').error)
