"""MTA-STS (RFC 8461): the TXT record, the policy file, and which hosts a policy names. Pure and total.

A domain says by a TXT record at ``_mta-sts`` that it has a policy, and its version; the policy itself is a
small text at ``https://mta-sts.DOMAIN/.well-known/mta-sts.txt``. Fetching and keeping it is
``transfer/relay/sts.py``'s.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

import msgspec

MAX_POLICY: Final = 64 * 1024
"""Octets of a policy file (RFC 8461 section 3.3 proposes such a limit)."""
MAX_LINES: Final = 1000
MAX_PATTERNS: Final = 200
"""Hosts of one policy."""
MAX_RECORD: Final = 4096
"""Octets of the TXT record that are looked at."""
# sts-ext-name  = (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".")
# sts-ext-value = 1*(%x21-3A / %x3C / %x3E-7E)
_FIELD: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[!-:<>-~]+")
MAX_AGE: Final = 31_557_600
"""Seconds a policy is kept at most: a year (RFC 8461 section 3.2)."""
MODES: Final = ("enforce", "testing", "none")
OWN_MAX_AGE: Final = {"enforce": 604_800, "testing": 86_400, "none": 86_400}
"""Seconds others may keep a policy of ours, by its mode: a week is advised, a trial should end soon."""
MEDIA: Final = "text/plain"
"""The type of a policy file."""
PATH: Final = "/.well-known/mta-sts.txt"


class StsPolicy(msgspec.Struct, frozen=True):
    """One policy (RFC 8461 section 3.2)."""

    mode: str
    mx: tuple[str, ...] = ()
    """Host names in lower case, or ``*.`` and the name under which exactly one label may stand."""
    max_age: int = 0
    """Seconds it may be kept."""

    def names(self, host: str) -> bool:
        """Is this MX host one of the policy's (RFC 8461 section 4.1)?"""
        host = host.lower().rstrip(".")
        parent = host.partition(".")[2]
        return any(each == host or (each[:2] == "*." and each[2:] == parent != "") for each in self.mx)


class BadPolicy(Exception):
    """This is no policy; the text says why."""


# sts-text-record = sts-version 1*(sts-field-delim sts-field) [sts-field-delim]
# sts-field       = sts-id / sts-extension
# sts-field-delim = *WSP ";" *WSP
# sts-version     = %s"v=STSv1"
# sts-id          = %s"id=" 1*32(ALPHA / DIGIT)
def parse_record(texts: Iterable[bytes]) -> str:
    """The id of the one MTA-STS record among the TXT records of ``_mta-sts``; empty: there is no policy.

    Records of other versions do not count; two of this one are none, and so is one with a field that is
    none (RFC 8461 section 3.1)."""
    ours = [t[:MAX_RECORD] for t in texts if t.startswith(b"v=STSv1") and _fields(t[:64])[0] == b"v=STSv1"]
    if len(ours) != 1:
        return ""
    fields = _fields(ours[0])[1:]
    if fields and not fields[-1]:
        fields.pop()
    if not all(_FIELD.fullmatch(field) for field in fields):
        return ""
    identity = next((field[3:] for field in fields if field.startswith(b"id=")), b"")
    good = identity.isalnum() and identity.isascii() and len(identity) <= 32
    return identity.decode("ascii") if good else ""


def _fields(text: bytes) -> list[bytes]:
    return [field.strip(b" \t") for field in text.split(b";")]


# sts-policy-record = sts-policy-field *WSP *(sts-policy-term sts-policy-field *WSP) [sts-policy-term]
# sts-policy-field  = sts-policy-version / sts-policy-mode / sts-policy-max-age / sts-policy-mx / extension
# sts-policy-term   = LF / CRLF ; every field is: name *WSP ":" *WSP value
def parse_policy(octets: bytes) -> StsPolicy:
    """A policy file. Of a field that stands twice the first counts; unknown ones are passed over.

    Errors: BadPolicy."""
    if len(octets) > MAX_POLICY:
        raise BadPolicy(f"more than {MAX_POLICY} octets")
    lines = octets.split(b"\n")
    if len(lines) > MAX_LINES:
        raise BadPolicy(f"more than {MAX_LINES} lines")
    first: dict[str, str] = {}
    patterns: list[str] = []
    for line in lines:
        name, colon, value = line.decode("utf-8", "replace").rstrip("\r").partition(":")
        name, value = name.rstrip(" \t"), value.strip(" \t")
        if not colon:
            if name:
                raise BadPolicy("a line without a colon")
        elif name == "mx":
            patterns.append(_pattern(value))
        else:
            first.setdefault(name, value)
    return _whole(first, patterns)


def _whole(fields: dict[str, str], patterns: list[str]) -> StsPolicy:
    if fields.get("version") != "STSv1":
        raise BadPolicy("the version is not STSv1")
    mode = fields.get("mode", "")
    if mode not in MODES:
        raise BadPolicy("the mode is none of enforce, testing, none")
    age = fields.get("max_age", "")
    if not (age.isascii() and age.isdigit() and len(age) <= 10):
        raise BadPolicy("max_age is no number of at most ten digits")
    if len(patterns) > MAX_PATTERNS:
        raise BadPolicy(f"more than {MAX_PATTERNS} hosts")
    if not patterns and mode != "none":
        raise BadPolicy("no mx")
    return StsPolicy(mode, tuple(patterns), min(int(age), MAX_AGE))


# sts-policy-mx-value = ["*."] Domain
def _pattern(value: str) -> str:
    name = value.lower().rstrip(".")
    bare = name.removeprefix("*.")
    labels = bare.split(".")
    good = all(0 < len(label) <= 63 and label.replace("-", "a").isalnum() for label in labels)
    if not good or not bare.isascii() or len(bare) > 253:
        raise BadPolicy("an mx that is no host name")
    return name


def own_policy(hostname: str, mode: str) -> StsPolicy:
    """Of the domains whose mail this server takes."""
    return StsPolicy(mode, (hostname.lower(),), OWN_MAX_AGE[mode])


def own_id(hostname: str, mode: str) -> str:
    """The id of the TXT record (section 3.1): another one whenever the policy is another one."""
    return hashlib.sha256(encode_policy(own_policy(hostname, mode))).hexdigest()[:16]


def encode_policy(policy: StsPolicy) -> bytes:
    """The file as it is served."""
    lines = ["version: STSv1", f"mode: {policy.mode}", *(f"mx: {name}" for name in policy.mx)]
    return "\r\n".join([*lines, f"max_age: {policy.max_age}", ""]).encode("ascii")
