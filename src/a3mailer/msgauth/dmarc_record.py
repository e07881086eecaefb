"""DMARC policy records (RFC 9989 section 4.7, RFC 7489 section 6.3; RFC 9091 for ``np`` and ``psd``).

Tags that are unknown, repeated, or without a value they can have are passed over and the default holds.
Records of RFC 7489 are read as well: their ``pct`` below 100 is what ``t=y`` says now, so that never more
mails than asked for meet the policy; ``rf`` and ``ri`` are passed over. Total: any octets give a record
or None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MAX_RECORD: Final = 16_384
"""Octets of a record that is read; a longer one is none."""
MAX_TAGS: Final = 64
"""Tags of a record that are read."""
MAX_REPORT_ADDRESSES: Final = 10
"""Addresses of one ``rua`` or ``ruf`` that are kept."""
REMEMBERED: Final = 4_096
"""Records kept parsed, by their octets."""
REMEMBERED_OCTETS: Final = 512
"""Of a record that is kept."""

NONE: Final = "none"
QUARANTINE: Final = "quarantine"
REJECT: Final = "reject"
POLICIES: Final = (NONE, QUARANTINE, REJECT)

MAX_DIGITS: Final = 12
"""Of a size; larger ones are no limit."""
_UNITS: Final = {"k": 10, "m": 20, "g": 30, "t": 40}
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]{0,30}:[!-~]{1,1000}\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """One record. ``policy`` is empty where ``p`` is no policy and no report address stands in for it."""

    policy: str
    subdomain_policy: str = ""
    absent_policy: str = ""
    """``np``: for subdomains that do not exist; empty where not said."""
    strict_dkim: bool = False
    strict_spf: bool = False
    psd: str = "u"
    """y: of a public suffix; n: of an organizational domain; u: to be found out."""
    testing: bool = False
    aggregate: tuple[str, ...] = ()
    """``rua``: URIs for aggregate reports."""
    failure: tuple[str, ...] = ()
    """``ruf``: URIs for failure reports."""
    failure_options: str = "0"
    limits: tuple[tuple[str, int], ...] = ()
    """(URI of ``aggregate``, octets that a report to it may have), where there is a limit (RFC 7489)."""


# dmarc-record  = dmarc-version *(*WSP ";" *WSP dmarc-tag) [*WSP ";"] *WSP
# dmarc-version = "v" *WSP "=" *WSP %s"DMARC1"
# dmarc-tag     = 1*ALPHA *WSP "=" *WSP 1*(%x20-3A / %x3C-7E)
def parse(text: bytes) -> DmarcRecord | None:
    """The record, None where the text is not one (another version, or anything else)."""
    if len(text) > MAX_RECORD:
        return None
    return _remembered(text) if len(text) <= REMEMBERED_OCTETS else _parse(text)


def _parse(text: bytes) -> DmarcRecord | None:
    version, *rest = text.decode("ascii", "replace").split(";", MAX_TAGS + 1)[: MAX_TAGS + 1]
    name, equals, value = version.partition("=")
    if not equals or name.strip(" \t").lower() != "v" or value.strip(" \t") != "DMARC1":
        return None
    tags: dict[str, str] = {}
    for each in rest:
        name, equals, value = each.partition("=")
        name = name.strip(" \t").lower()
        if equals and name.isascii() and name.isalpha():
            tags.setdefault(name, value.strip(" \t"))
    return _record(tags)


_remembered: Final = lru_cache(REMEMBERED)(_parse)


def _record(tags: dict[str, str]) -> DmarcRecord:
    """The record of its tags; one without a valid ``p`` (or with an invalid ``sp`` or ``np``) asks for
    nothing, but for reports where it has addresses for them (RFC 7489 section 6.6.3)."""
    policy, subdomain, absent = (tags.get(name, "").lower() for name in ("p", "sp", "np"))
    destinations = _destinations(tags.get("rua", ""))
    aggregate = tuple(uri for uri, _ in destinations)
    if policy not in POLICIES or subdomain not in ("", *POLICIES) or absent not in ("", *POLICIES):
        policy, subdomain, absent = NONE if aggregate else "", "", ""
    return DmarcRecord(
        policy,
        subdomain,
        absent,
        strict_dkim=tags.get("adkim", "").lower() == "s",
        strict_spf=tags.get("aspf", "").lower() == "s",
        psd=_one_of(tags.get("psd", ""), "y", "n") or "u",
        testing=_testing(tags),
        aggregate=aggregate,
        failure=tuple(uri for uri, _ in _destinations(tags.get("ruf", ""))),
        failure_options=_failure_options(tags.get("fo", "")),
        limits=tuple((uri, most) for uri, most in destinations if most),
    )


def _one_of(value: str, *words: str) -> str:
    return value.lower() if value.lower() in words else ""


def _testing(tags: dict[str, str]) -> bool:
    """``t=y``, or a ``pct`` below 100 of a record that does not know ``t``."""
    if "t" in tags:
        return tags["t"].lower() == "y"
    percent = tags.get("pct", "")
    return percent.isascii() and percent.isdigit() and len(percent) <= 3 and int(percent) < 100


# dmarc-uri = URI [ "!" 1*DIGIT [ "k" / "m" / "g" / "t" ] ]
def _destinations(value: str) -> tuple[tuple[str, int], ...]:
    """(URI, octets that RFC 7489 let follow ``!``, 0 without them) of a list."""
    found = (uri.strip(" \t").partition("!") for uri in value.split(",", 100)[:100])
    return tuple([(uri, _octets(most)) for uri, _, most in found if _URI.match(uri)][:MAX_REPORT_ADDRESSES])


def _octets(text: str) -> int:
    unit = _UNITS.get(text[-1:].lower(), 0)
    digits = text[:-1] if unit else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > MAX_DIGITS:
        return 0
    return int(digits) << unit


def _failure_options(value: str) -> str:
    options = [o.strip(" \t").lower() for o in value.split(":")]
    return ":".join(o for o in ("0", "1", "d", "s") if o in options) or "0"
