"""The address of a ``mailto`` URI (RFC 6068) to which reports are sent: one plain mailbox, or none."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from a3mailer.msgauth.domainkeys import is_name

MAX_URI: Final = 1024
_MAILBOX: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}")


# mailtoURI = "mailto:" [ to ] [ hfields ]
def mailbox(uri: bytes) -> str:
    """``local@domain``, the domain in lower case; empty for anything else. Total."""
    scheme, colon, rest = uri.partition(b":")
    if not colon or scheme.lower() != b"mailto" or len(uri) > MAX_URI:
        return ""
    local_part, at, domain = unquote_to_bytes(rest.partition(b"?")[0]).rpartition(b"@")
    dots = local_part.startswith(b".") or local_part.endswith(b".") or b".." in local_part
    if not at or dots or not _MAILBOX.fullmatch(local_part) or not is_name(domain):
        return ""
    return f"{local_part.decode('ascii')}@{domain.decode('ascii').lower()}"
