"""Rules for mail out, as ``queue.rules`` has them: for whom, and how it leaves. One text a rule.

to=example.org via=relay.example.net:587 login=me secret=secrets/relay
from=news.example.com source=192.0.2.5 source=2001:db8::5 ehlo=out2.example.com
account=robot@example.com to=.internal.example hold
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Final

import msgspec

from a3mailer.config.fields import BadValue
from a3mailer.config.syntax import address, domain_name, host_port

NULL_SENDER: Final = "<>"
"""``from=<>``: notices and other mail with the null reverse-path."""
LEVELS: Final = ("may", "must", "verify")
"""Of ``tls=``: what can be had, encrypted at least, or with a certificate that authorities vouch for."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. An empty condition holds for everything; an empty act leaves things as they are."""

    to: str = ""
    """The recipient's domain; ``.domain`` for what lies below it."""
    sender: str = ""
    """The sender's domain, likewise, or NULL_SENDER."""
    account: str = ""
    """The login of the account that submitted it."""
    host: str = ""
    port: int = 0
    tls: str = ""
    login: str = ""
    secret: str = ""
    """File with the password, in the data directory."""
    sources: tuple[str, ...] = ()
    """Addresses to send from, at most one a family."""
    ehlo: str = ""
    hold: bool = False

    def applies(self, to: str, sender: str, account: str) -> bool:
        """Is it for mail from this domain (NULL_SENDER), of this account, to this domain?"""
        if self.account and self.account != account:
            return False
        return is_of(self.to, to) and is_of(self.sender, sender)


def is_of(pattern: str, domain: str) -> bool:
    """Is a domain (lower case) what a pattern says? An empty one is everything."""
    return not pattern or domain == pattern or (pattern[0] == "." and domain.endswith(pattern))


# rule = 1*(key "=" value / "hold")   ; separated by spaces, in any order, each key once but for source
def parse_rule(text: str) -> Rule:
    """Errors: BadValue, naming the word that is wrong."""
    found: dict[str, str] = {}
    sources: list[str] = []
    for word in text.split():
        key, equals, value = word.partition("=")
        if word == "hold":
            key, value = word, word
        elif not equals or key not in _CHECKS or not value:
            raise BadValue(f"{word!r} in {text!r} is none of: {', '.join(f'{k}=' for k in _CHECKS)}, hold")
        else:
            _CHECKS[key](value)
        if key == "source":
            sources.append(value)
        elif key in found:
            raise BadValue(f"{key} is there twice in {text!r}")
        else:
            found[key] = value
    rule = _rule(found, tuple(sources))
    _check(rule, text)
    return rule


def _rule(found: dict[str, str], sources: tuple[str, ...]) -> Rule:
    host, port = host_port(found["via"]) if "via" in found else ("", 0)
    login = found.get("login", "")
    return Rule(
        to=found.get("to", "").lower(),
        sender=found.get("from", "").lower(),
        account=found.get("account", "").lower(),
        host=host.lower(),
        port=port,
        tls=found.get("tls", "verify" if login else ""),
        login=login,
        secret=found.get("secret", ""),
        sources=tuple(str(ipaddress.ip_address(source)) for source in sources),
        ehlo=found.get("ehlo", "").lower(),
        hold="hold" in found,
    )


def _check(rule: Rule, text: str) -> None:
    """What its parts mean together. Errors: BadValue."""
    acts = (rule.host, rule.sources, rule.ehlo)
    if not (rule.hold or any(acts)):
        raise BadValue(f"{text!r} says nothing of how mail leaves: via=, source=, ehlo= or hold")
    if rule.hold and any(acts):
        raise BadValue(f"{text!r} holds mail and says how it leaves")
    if rule.tls and not rule.host:
        raise BadValue(f"tls= in {text!r} goes with via=; for MX hosts there is queue.tls_policy")
    if bool(rule.login) != bool(rule.secret) or (rule.login and not rule.host):
        raise BadValue(f"login=, secret= (a file) and via= go together, in {text!r}")
    if rule.login and rule.tls == "may":
        raise BadValue(f"a password never goes out in clear: tls=verify or tls=must, in {text!r}")
    if len({":" in source for source in rule.sources}) != len(rule.sources):
        raise BadValue(f"one source= a family, in {text!r}")


def _pattern(value: str) -> None:
    domain_name(value.removeprefix("."))


def _sender(value: str) -> None:
    if value != NULL_SENDER:
        _pattern(value)


def _level(value: str) -> None:
    if value not in LEVELS:
        raise BadValue(f"tls={value} is none of: {', '.join(LEVELS)}")


def _word(value: str) -> None:
    if not value.isprintable():
        raise BadValue(f"{value!r} has characters that cannot be printed")


def _inside(value: str) -> None:
    path = Path(value)
    if path.is_absolute() or ".." in path.parts:
        raise BadValue(f"{value!r} is not a file in the data directory")


_CHECKS: Final = {
    "to": _pattern,
    "from": _sender,
    "account": _word,
    "via": host_port,
    "tls": _level,
    "login": _word,
    "secret": _inside,
    "source": address,
    "ehlo": domain_name,
}


def read_secret(directory: Path, name: str) -> str:
    """The password in a file: its first line. Errors: BadValue, in words."""
    path = directory / name
    try:
        open_to_others = path.stat().st_mode & 0o077
        secret = path.read_text("utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadValue(f"the secret in {name} cannot be read: {error}") from error
    if open_to_others:
        raise BadValue(f"the secret in {name} can be read by others: chmod 600 it")
    if not secret or "\0" in secret:
        raise BadValue(f"there is no password in the first line of {name}")
    return secret
