"""PACC (draft-ietf-mailmaint-pacc): one JSON document a domain, whose digest stands in the DNS.

It knows no ports: a service is where the standard puts it, under TLS from the first octet, or left out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

import msgspec

from a3mailer.ops.autoconfig.services import IMPLICIT, SMTP, Offer

HOST: Final = "ua-auto-config."
RECORD: Final = "_ua-auto-config."
PATH: Final = "/.well-known/user-agent-configuration.json"
HTTPS: Final = 443
DIGEST: Final = 32
"""Octets of SHA-256."""


class _Server(msgspec.Struct):
    host: str


class _Authentication(msgspec.Struct):
    password: bool


class _Provider(msgspec.Struct, rename="camel"):
    name: str
    short_name: str


class _About(msgspec.Struct):
    provider: _Provider


class _Document(msgspec.Struct):
    protocols: dict[str, _Server]
    authentication: _Authentication
    info: _About


def encode(offer: Offer) -> bytes:
    """The document, always the same octets for the same offer; empty where none can be made."""
    there = {
        each.service.protocol: _Server(offer.hostname)
        for each in offer.offered
        if each.service.security == IMPLICIT and each.port == each.service.port
    }
    if offer.web != HTTPS or SMTP not in there or len(there) < 2:
        return b""
    about = _About(_Provider(offer.domain, offer.domain))
    return msgspec.json.encode(_Document(there, _Authentication(password=True), about), order="sorted")


def record(document: bytes) -> str:
    """The TXT record that vouches for a document."""
    return f"v=UAAC1; a=sha256; d={base64.b64encode(hashlib.sha256(document).digest()).decode()}"


# record = "v=UAAC1" *( ";" tag "=" value )
def digest_of(text: str) -> bytes:
    """What a record vouches for; empty where it cannot be read."""
    tags: dict[str, str] = {}
    for pair in text.split(";"):
        name, _, value = pair.partition("=")
        tags.setdefault(name.strip().lower(), value.strip())
    if (tags.get("v"), tags.get("a")) != ("UAAC1", "sha256"):
        return b""
    try:
        found = base64.b64decode(tags.get("d", ""), validate=True)
    except (binascii.Error, ValueError):
        return b""
    return found if len(found) == DIGEST else b""
