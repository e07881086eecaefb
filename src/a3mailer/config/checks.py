"""What types and bounds cannot say about a setting: one check a name, and those over several settings."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterator
from typing import Final

from a3mailer.config.fields import BadValue
from a3mailer.config.headers import parse_header_rule
from a3mailer.config.routes import parse_rule
from a3mailer.config.scripts import parse_around, parse_included, parse_scripted
from a3mailer.config.syntax import address, domain_name, host_port
from a3mailer.config.tree import Settings


def _network(value: str) -> None:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError as error:
        raise BadValue(f"{value!r} is not a network such as 192.0.2.0/24") from error


def _server_address(value: str) -> None:
    address(host_port(value)[0])


def _milter(value: str) -> None:
    if value.startswith("unix:"):
        if not value[5:].startswith("/"):
            raise BadValue(f"{value!r} is not unix:/PATH")
    else:
        _server_address(value)


def _url(value: str) -> None:
    scheme, separator, rest = value.partition("://")
    if scheme not in ("http", "https") or not separator or not rest or not value.isascii():
        raise BadValue(f"{value!r} is not http://... or https://...")
    if "@" in rest.partition("/")[0] or not value.isprintable() or " " in value:
        raise BadValue(f"{value!r}: no spaces, and no credentials (what is posted is signed)")


def _one_of(*words: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        if value not in words:
            raise BadValue(f"{value!r} is none of: {', '.join(words)}")

    return check


def _separator(value: str) -> None:
    if value and (
        len(value) != 1 or not value.isprintable() or value.isalnum() or value in '@".,;:<>()[]\\ '
    ):
        raise BadValue("one special character such as + or -, or nothing")


def _address_of_mail(value: str) -> None:
    local_part, at, domain = value.rpartition("@")
    if not at or not local_part or any(c.isspace() for c in value):
        raise BadValue(f"{value!r} is not LOCAL@DOMAIN")
    domain_name(domain)


def _https(value: str) -> None:
    if not value.startswith("https://") or not value.isascii() or not value.isprintable():
        raise BadValue(f"{value!r} is not an https URL")


TLS_LEVELS: Final = ("may", "must", "sts", "dane", "never")
"""Words of ``queue.tls_policy``."""


def _tls_rule(value: str) -> None:
    name, equals, level = value.partition("=")
    if not equals or level not in TLS_LEVELS:
        raise BadValue(f"{value!r} is not DOMAIN=LEVEL with a level of: {', '.join(TLS_LEVELS)}")
    if name != "*":
        domain_name(name.removeprefix("."))


def _trusted(value: str) -> None:
    _, at, domain = value.rpartition("@")
    if not at:
        _network(value)
    elif value != value.lower():
        raise BadValue(f"{value!r}: addresses are given in lower case")
    else:
        domain_name(domain)


def _optional(check: Callable[[str], object]) -> Callable[[str], None]:
    def checked(value: str) -> None:
        if value:
            check(value)

    return checked


CHECKS: Final[dict[str, Callable[[str], object]]] = {
    "server.hostname": domain_name,
    "server.domain": _optional(domain_name),
    "server.listen": address,
    "acme.directory": _optional(_https),
    "acme.contact": _address_of_mail,
    "acme.challenges": _one_of("tls-alpn-01", "http-01", "dns-01"),
    "acme.names": domain_name,
    "acme.domain_names": domain_name,
    "acme.dns_server": _optional(host_port),
    "server.profile": _one_of("standard", "plain"),
    "server.proxy_from": _network,
    "limits.profile": _one_of("standard", "off"),
    "log.level": _one_of("debug", "info", "warning", "error"),
    "web.mta_sts": _one_of("none", "testing", "enforce"),
    "queue.tls_policy": _tls_rule,
    "queue.inside": _network,
    "queue.language": _one_of("en", "zh"),
    "queue.priority_trusted": _trusted,
    "msgauth.arc_trusted": domain_name,
    "msgauth.replay": _one_of("tag", "junk", "refuse"),
    "msgauth.dmarc": _one_of("tag", "junk", "enforce"),
    "queue.rules": parse_rule,
    "queue.relay": _optional(host_port),
    "dns.servers": _server_address,
    "dns.dnssec": _one_of("auto", "libunbound", "resolver", "off"),
    "dns.unsigned": domain_name,
    "milter.servers": _milter,
    "milter.doors": _one_of("smtp", "submission", "lmtp"),
    "milter.failure": _one_of("tempfail", "accept"),
    "policy_hook.url": _optional(_url),
    "policy_hook.stages": _one_of("connect", "ehlo", "auth", "mail", "rcpt", "data", "message"),
    "policy_hook.doors": _one_of("smtp", "submission", "lmtp"),
    "policy_hook.failure": _one_of("tempfail", "accept"),
    "reports.addresses": _address_of_mail,
    "policy.header_rules": parse_header_rule,
    "policy.verify_failure": _one_of("tempfail", "accept"),
    "policy.verify_sender": _one_of("null", "postmaster"),
    "policy.scripts": parse_scripted,
    "policy.script_doors": _one_of("smtp", "submission", "lmtp"),
    "sieve.before": parse_around,
    "sieve.after": parse_around,
    "sieve.include": parse_included,
    "policy.dnsbl": domain_name,
    "policy.domain_lists": domain_name,
    "smtp.subaddress_separator": _separator,
}
"""By name; a list is checked item by item."""


def check(name: str, value: object) -> None:
    """Errors: BadValue."""
    if isinstance(value, int | float) and not 0 <= value < math.inf:
        raise BadValue(f"{value} is not a number from 0 on")
    checked = CHECKS.get(name)
    if checked is not None:
        for item in value if isinstance(value, tuple) else (value,):
            checked(str(item))


def is_loopback(address: str) -> bool:
    """127.0.0.0/8 or ::1."""
    return ipaddress.ip_address(address).is_loopback


def contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """(name, what is wrong) of settings that do not go together."""
    if not settings.server.listen:
        yield "server.listen", "no address to bind"
        return
    open_to_others = [a for a in settings.server.listen if not is_loopback(a)]
    if settings.limits.profile == "off" and open_to_others:
        yield (
            "limits.profile",
            f"off is for loopback listeners only, and server.listen has {open_to_others[0]}",
        )
    if settings.web.inside and open_to_others:
        yield "web.inside", f"on is for loopback listeners only, and server.listen has {open_to_others[0]}"
    if not settings.queue.retry:
        yield "queue.retry", "at least one pause is needed"
    elif min(settings.queue.retry) < 1:
        yield "queue.retry", "pauses are at least 1 second"
