"""Message identifiers (RFC 5322 section 3.6.4) and the keys that mails of one thread share.

Identifiers are given without their angle brackets. Linear; nothing here raises.
"""

from hashlib import blake2b
from typing import Final

from a3mailer.mail.message import limits
from a3mailer.mail.message.ascii import DQUOTE

_BLANK: Final = b" \t\r\n"
_KEY: Final = 8  # octets of a thread key
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
    own = _key(message_id) if message_id else blake2b(header, digest_size=_KEY, person=_OWN).digest()
    if not references and not in_reply_to:
        return (own,)
    listed = list(dict.fromkeys((own, *map(_key, dict.fromkeys(references + in_reply_to)))))
    if len(listed) <= limits.THREAD_KEYS:
        return tuple(listed)
    return (*listed[:2], *listed[2 - limits.THREAD_KEYS :])


def _key(identifier: bytes) -> bytes:
    if DQUOTE in identifier:  # RFC 5256: <"a"@b> and <a@b> are the same
        identifier = identifier.replace(b'"', b"")
    return blake2b(identifier, digest_size=_KEY).digest()
