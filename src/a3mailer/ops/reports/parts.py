"""The attachments of a mail in which reports are looked for: decoded, unpacked, bounded (attack row 24)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from a3mailer.mail.message import MessageIndex, Octets, encodings
from a3mailer.msgauth.packed import Unreadable, unpack

MAX_ATTACHMENTS: Final = 10
"""Of one mail that are looked at."""


def attachments(octets: Octets, index: MessageIndex, media: Collection[bytes]) -> Iterator[bytes]:
    """The unpacked content of each part of these media types; what cannot be unpacked is left out."""
    looked_at = 0
    for part in index.parts:
        if part.media not in media:
            continue
        looked_at += 1
        if looked_at > MAX_ATTACHMENTS:
            return
        try:
            yield unpack(encodings.decode(bytes(octets[part.body : part.end]), part.encoding))
        except Unreadable:
            continue
