"""Message identifiers (RFC 5322 section 3.6.4) and the keys that mails of one thread share.

Identifiers are given without their angle brackets. Linear; nothing here raises.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Final

from a3mailer.mail.message import headers, limits
from a3mailer.mail.message.ascii import DQUOTE

_BLANK: Final = b" \t\r\n"
KEY: Final = 8  # octets of a thread key
_NOBODY: Final = bytes(KEY)
_OWN: Final = b"header"  # sets keys made from a header apart from those of identifiers


# msg-id = [CFWS] "<" id-left "@" id-right ">" [CFWS]
def identifiers(value: bytes | None) -> tuple[bytes, ...]:
    """Return the identifiers of an unfolded References or In-Reply-To value, in the order written.

    Over the limit the first and the latest are kept: the root of the thread and the nearest relatives.
    """
    if not value:
        return ()
    found = [item.partition(b">")[0].strip(_BLANK) for item in value.split(b"<")[1:]]
    if b"" in found:
        found = [item for item in found if item]
    if len(found) > limits.REFERENCES:
        found = [found[0], *found[1 - limits.REFERENCES :]]
    return tuple(found)


def identifier(value: bytes | None) -> bytes:
    """Return the identifier of an unfolded Message-ID value: the first word without brackets, else b""."""
    if not value:
        return b""
    for item in value.split(b"<")[1:]:
        found = item.partition(b">")[0].strip(_BLANK)
        if found:
            return found
    words = value.split(None, 1)
    return words[0].strip(b"<>") if words else b""


def thread_keys(
    header: bytes, message_id: bytes, references: tuple[bytes, ...], in_reply_to: tuple[bytes, ...]
) -> tuple[bytes, ...]:
    """Return the keys of a mail, its own first: stable, 8 octets each, without doubles.

    A mail without Message-ID has a key of its own made from its header. Over the limit the first reference
    and the latest are kept.
    """
    own = _key(message_id) if message_id else blake2b(header, digest_size=KEY, person=_OWN).digest()
    if not references and not in_reply_to:
        return (own,)
    listed = list(dict.fromkeys((own, *map(_key, dict.fromkeys(references + in_reply_to)))))
    if len(listed) <= limits.THREAD_KEYS:
        return tuple(listed)
    return (*listed[:2], *listed[2 - limits.THREAD_KEYS :])


# RFC 5256 section 3, REFERENCES: References, else the first identifier of In-Reply-To
def lineage(message_id: bytes, references: tuple[bytes, ...], in_reply_to: tuple[bytes, ...]) -> bytes:
    """Return who a mail is and whom it follows: 8 octets each, its own first, the parent last.

    Eight zeros stand for a mail without Message-ID."""
    own = _key(message_id) if message_id else _NOBODY
    return own + b"".join(map(_key, references or in_reply_to[:1]))


def lineage_of(header: bytes) -> bytes:
    """Return the same of the octets of a header."""
    message_id, references, in_reply_to = (
        headers.first(header, 0, min(len(header), limits.HEADER_OCTETS), name)
        for name in (b"message-id", b"references", b"in-reply-to")
    )
    return lineage(identifier(message_id), identifiers(references), identifiers(in_reply_to))


@lru_cache(limits.REMEMBERED)
def _key(identifier: bytes) -> bytes:
    if DQUOTE in identifier:  # RFC 5256: <"a"@b> and <a@b> are the same
        identifier = identifier.replace(b'"', b"")
    return blake2b(identifier, digest_size=KEY).digest()
