"""Addresses and domains as administrators type them, made into what the store keeps.

Local-part here = Dot-string of RFC 5321 section 4.1.2, with the letters of RFC 6531 section 3.3
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import idna

from a3mailer.config.fields import BadValue
from a3mailer.config.syntax import domain_name
from a3mailer.identity.directory import fold
from a3mailer.mail.errors import BadName

MAX_LOCAL_PART: Final = 64
"""Octets (RFC 5321 section 4.5.3.1.1)."""
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_DOT_STRING: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*\Z")
MAX_TYPED: Final = 1024
"""Characters of what was typed, before any work is done on it."""


def clean_domain(text: str) -> str:
    """A domain in lower-case A-labels. Errors: BadName."""
    name = text.strip().rstrip(".").lower()
    try:
        if len(name) > MAX_TYPED:
            raise BadName("a domain name of more than 253 characters")
        if not name.isascii():
            name = idna.encode(name, uts46=True).decode()
        domain_name(name)
    except (idna.IDNAError, BadValue) as error:
        raise BadName(f"not a domain name: {text!r}") from error
    return name


def clean_address(text: str) -> str:
    """``local@domain`` as the store keeps it. Errors: BadName."""
    local_part, at, domain = text.strip()[: MAX_TYPED + 1].rpartition("@")
    if not at or not local_part:
        raise BadName(f"not an address (name@domain): {text[:MAX_TYPED]!r}")
    local_part = fold(local_part)
    if len(local_part.encode("utf-8", "replace")) > MAX_LOCAL_PART:
        raise BadName(f"the part before @ is longer than {MAX_LOCAL_PART} octets: {text[:MAX_TYPED]!r}")
    strange = any(unicodedata.category(c)[0] in "CZ" for c in local_part)
    if strange or not _DOT_STRING.match(local_part):
        raise BadName(f"characters that a new address cannot have: {text!r}")
    return f"{local_part}@{clean_domain(domain)}"
