"""subaddress (RFC 5233): the parts of a local part, ``user+detail``.

The separator is the item ``vnd.a3.subaddress-separator`` of the environment, "+" where it has none.
"""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve import addresses
from a3mailer.wire.sieve.machine import Tagged
from a3mailer.wire.sieve.vocabulary import ADDRESS_PART, Extension, Tag


def _user(parts: addresses.Parts, tag: Tagged) -> bytes | None:
    local = addresses.local_part(parts)
    return local and (local.partition(parts.separator)[0] if parts.separator else local)


def _detail(parts: addresses.Parts, tag: Tagged) -> bytes | None:
    """None without a separator: then nothing matches."""
    local = addresses.local_part(parts)
    if not local or not parts.separator or parts.separator not in local:
        return None
    return local.partition(parts.separator)[2]


EXTENSION: Final = Extension(
    "subaddress",
    tags=(
        (ADDRESS_PART, Tag("user", group=ADDRESS_PART, modify=_user)),
        (ADDRESS_PART, Tag("detail", group=ADDRESS_PART, modify=_detail)),
    ),
)
