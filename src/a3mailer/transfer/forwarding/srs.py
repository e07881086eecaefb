"""SRS: the reverse-path of a mail we forward leads through us (the Sender Rewriting Scheme; ADR 0019).

A forwarded mail with its old reverse-path fails SPF (RFC 7208 section 10.3 speaks of it): we are no server
of that domain. So it goes out as ``SRS0=HASH=DAY=domain=local-part@ours``; a mail that another forwarder has
rewritten already as ``SRS1=HASH=first-forwarder=rest@ours``, so that addresses do not grow with each hop and
its bounce goes to the first forwarder at once. Bounces come back to that address and are led on.

HASH is an HMAC-SHA256 under a key of this server, so nobody else makes addresses that lead through it, and
DAY, the day modulo 1024, ends each after some weeks (attack row 6). Both are compared without case, as some
servers change it. Described by Meng Weng Wong's paper of 2003; the form is that of its reference. Pure.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from a3mailer.mail.address import Address

HASH_LENGTH: Final = 8
"""Characters of HASH, five bits each."""
SECRET_SIZE: Final = 32
"""Octets of the key ``init`` makes."""
DAYS_VALID: Final = 21
"""A bounce may come so late: four times as long as most servers keep a mail."""
MAX_LOCAL_PART: Final = 240
"""Octets of a rewritten local part; RFC 5321 section 4.5.3.1.1 says 64 and asks for no limit."""
MAX_PATH: Final = 254
"""Octets of a path without its brackets (RFC 5321 section 4.5.3.1.3)."""

_DAY_SECONDS: Final = 86400
_CYCLE: Final = 1024
_DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TAGS: Final = ("SRS0", "SRS1")
_TAG: Final = 4
_SEPARATORS: Final = "=+-"


class BadSrs(ValueError):
    """An address in our SRS form that we have not made, or not lately."""


@dataclass(frozen=True, slots=True)
class Srs:
    """The addresses that lead through ``domain``."""

    domain: str
    """One of ours, whose SPF record names this server."""
    secrets: tuple[bytes, ...]
    """The first makes hashes; any is good for checking one, so that a key can be replaced."""

    def holds(self, address: Address) -> bool:
        """Is this an address in our SRS form, right or wrong? A short answer for all others."""
        return _tag(address.local_part) in _TAGS and address.local_part[_TAG : _TAG + 1] == "=" and (
            address.domain == self.domain
        )  # fmt: skip

    # srs0 = "SRS0=" hash "=" day "=" domain "=" local-part
    # srs1 = "SRS1=" hash "=" first-forwarder "=" rest     ; rest: what follows "SRS0" in its address
    def forward(self, sender: Address, now: float) -> Address | None:
        """The address to forward with in place of a foreign ``sender``; None when it would be too long."""
        inner = _forwarded(sender)
        if inner is None:
            day = stamp(now)
            body = f"{day}={sender.domain}={sender.local_part}"
            local_part = f"SRS0={mark(self.secrets[0], '0', self.domain, body)}={body}"
        else:
            first, rest = inner
            body = f"{first}={rest}"
            local_part = f"SRS1={mark(self.secrets[0], '1', self.domain, body)}={body}"
        octets = len(local_part.encode("utf-8", "replace"))
        if octets > MAX_LOCAL_PART or octets + 1 + len(self.domain) > MAX_PATH:
            return None
        return Address(local_part, self.domain)

    def reverse(self, address: Address, now: float) -> Address:
        """Where a bounce to ``address`` goes on to. Errors: BadSrs."""
        if not self.holds(address):
            raise BadSrs("no address of this form")
        given, _, body = address.local_part[_TAG + 1 :].partition("=")
        kind = address.local_part[_TAG - 1]
        if not marked(given, self.secrets, kind, self.domain, body):
            raise BadSrs("not one of ours")
        if kind == "1":
            first, _, rest = body.partition("=")
            return Address(f"SRS0{rest}", first.lower())
        stamp, _, origin = body.partition("=")
        domain, _, local_part = origin.partition("=")
        if not is_fresh(stamp.upper(), now):
            raise BadSrs("too old")
        return Address(local_part, domain.lower().replace("[ipv6:", "[IPv6:"))


def mark(secret: bytes, kind: str, domain: str, body: str) -> str:
    """HASH of an address at ``domain``; kinds keep the forms apart that share a key."""
    octets = f"{kind}\0{domain}\0{body}".encode("utf-8", "replace").lower()  # of ASCII only
    digest = hmac.digest(secret, octets, hashlib.sha256)
    return base64.b32encode(digest[:5]).decode()[:HASH_LENGTH]


def marked(given: str, secrets: tuple[bytes, ...], kind: str, domain: str, body: str) -> bool:
    """Was HASH made with one of these keys?"""
    octets = given.upper().encode("utf-8", "replace")
    return any(hmac.compare_digest(octets, mark(s, kind, domain, body).encode()) for s in secrets)


def _tag(local_part: str) -> str:
    return local_part[:_TAG].upper()


def _forwarded(sender: Address) -> tuple[str, str] | None:
    """(first forwarder, rest) of an address that a forwarder has made; None of any other."""
    tag, rest = _tag(sender.local_part), sender.local_part[_TAG:]
    if tag not in _TAGS or len(rest) < 2 or rest[0] not in _SEPARATORS:
        return None
    if tag == "SRS0":
        return (sender.domain, rest) if rest.count("=") >= 3 or rest[0] != "=" else None
    _, first_sign, body = rest[1:].partition("=")
    first, sign, inner = body.partition("=")
    if not first_sign or not sign or not first or not inner or inner[0] not in _SEPARATORS:
        return None
    return first.lower(), inner


def stamp(now: float) -> str:
    """DAY of a moment, two digits."""
    day = int(now // _DAY_SECONDS) % _CYCLE
    return _DIGITS[day >> 5] + _DIGITS[day & 31]


def is_fresh(stamp: str, now: float) -> bool:
    """Made within DAYS_VALID; a day ahead is forgiven, for a clock that was put right."""
    if len(stamp) != 2 or not set(stamp) <= set(_DIGITS):
        return False
    day = _DIGITS.index(stamp[0]) << 5 | _DIGITS.index(stamp[1])
    age = (int(now // _DAY_SECONDS) - day) % _CYCLE
    return age <= DAYS_VALID or age == _CYCLE - 1
