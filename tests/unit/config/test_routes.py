"""Rules for mail out: every form, every slip named, and secrets that only the server can read."""

import os
import random
from pathlib import Path

import pytest

from a3mailer.config.fields import BadValue
from a3mailer.config.load import ConfigError, load
from a3mailer.config.routes import NULL_SENDER, Rule, is_of, parse_rule, read_secret


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (
            "to=Example.org via=relay.example.net:587",
            Rule(to="example.org", host="relay.example.net", port=587),
        ),
        (
            "via=[2001:db8::1]:465 login=me secret=secrets/relay",
            Rule(host="2001:db8::1", port=465, tls="verify", login="me", secret="secrets/relay"),
        ),
        ("hold to=.below.test account=Bob@a.test", Rule(to=".below.test", account="bob@a.test", hold=True)),
        (
            "from=news.test source=192.0.2.5 source=2001:DB8::0005 ehlo=Out2.test",
            Rule(sender="news.test", sources=("192.0.2.5", "2001:db8::5"), ehlo="out2.test"),
        ),
        ("from=<> via=192.0.2.1:25 tls=may", Rule(sender=NULL_SENDER, host="192.0.2.1", port=25, tls="may")),
    ],
)
def test_forms(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule
    assert parse_rule(f"  {text.replace(' ', '   ')} ") == rule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "says nothing"),
        ("to=a.test", "says nothing"),
        ("to=a.test to=b.test hold", "twice"),
        ("to=a_b.test hold", "not a domain name"),
        ("via=relay.test", "not HOST:PORT"),
        ("via=a.test:25 tls=always", "none of: may, must, verify"),
        ("source=192.0.2.5 tls=must", "goes with via="),
        ("via=a.test:25 login=me", "go together"),
        ("via=a.test:25 secret=x", "go together"),
        ("via=a.test:25 login=me secret=../x", "in the data directory"),
        ("via=a.test:25 login=me secret=/etc/x", "in the data directory"),
        ("via=a.test:25 login=me secret=x tls=may", "never goes out in clear"),
        ("hold via=a.test:25", "holds mail and says"),
        ("source=192.0.2.5 source=192.0.2.6", "a family"),
        ("source=localhost", "not an IPv4 or IPv6"),
        ("ehlo=-", "not a domain name"),
        ("hold=yes", "none of"),
        ("to= hold", "none of"),
        ("drop", "none of"),
    ],
)
def test_slips_are_named(text: str, words: str) -> None:
    with pytest.raises(BadValue, match=words):
        parse_rule(text)


def test_any_words_are_a_rule_or_named(rng: random.Random) -> None:
    keys = ("to", "from", "account", "via", "tls", "login", "secret", "source", "ehlo", "hold", "x", "")
    values = (
        "a.test",
        ".a.test",
        "<>",
        "a.test:25",
        "[::1]:25",
        "must",
        "verify",
        "me",
        "f",
        "::1",
        "192.0.2.1",
    )
    taken = 0
    for _ in range(5000):
        text = " ".join(f"{rng.choice(keys)}={rng.choice(values)}" for _ in range(rng.randint(1, 4)))
        try:
            taken += isinstance(parse_rule(text), Rule)
        except BadValue as error:
            assert str(error)
    assert taken


def test_whom_a_rule_is_about() -> None:
    assert is_of("", "a.test") and is_of("a.test", "a.test") and is_of(".a.test", "b.a.test")
    assert not (is_of(".a.test", "a.test") or is_of("a.test", "ba.test") or is_of(".a.test", "xa.test"))
    rule = parse_rule("to=b.test from=a.test account=me@a.test hold")
    assert rule.applies("b.test", "a.test", "me@a.test")
    for other in (("c.test", "a.test", "me@a.test"), ("b.test", "<>", "me@a.test"), ("b.test", "a.test", "")):
        assert not rule.applies(*other)


def test_a_secret_is_the_first_line_of_a_file_nobody_else_reads(tmp_path: Path) -> None:
    secret = tmp_path / "relay"
    secret.write_text("s3cret \nof the relay\n")
    secret.chmod(0o600)
    assert read_secret(tmp_path, "relay") == "s3cret"
    for mode, text, words in (
        (0o640, "x", "chmod 600"),
        (0o600, "\nx", "no password"),
        (0o600, "\udcff", "read"),
    ):
        secret.write_bytes(text.encode("utf-8", "surrogateescape"))
        secret.chmod(mode)
        with pytest.raises(BadValue, match=words):
            read_secret(tmp_path, "relay")
    with pytest.raises(BadValue, match="cannot be read"):
        read_secret(tmp_path, "absent")


def test_a_start_looks_for_the_secrets_of_rules(tmp_path: Path) -> None:
    rules = {"queue.rules": "to=b.test via=relay.test:587 login=me secret=relay"}
    with pytest.raises(ConfigError, match="secret in relay cannot be read"):
        load(tmp_path, rules)
    with open(os.open(tmp_path / "relay", os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write("s3cret\n")
    assert load(tmp_path, rules).settings.queue.rules == (rules["queue.rules"],)
