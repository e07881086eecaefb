"""Message flags (RFC 9051 section 2.3.2): system flags as bits, keywords as words."""

from __future__ import annotations

from typing import Final

SEEN: Final = 1
ANSWERED: Final = 2
FLAGGED: Final = 4
DELETED: Final = 8
DRAFT: Final = 16
ALL_FLAGS: Final = 31
RECENT: Final = 32
"""\\Recent of RFC 3501: never stored with a message, a session says it of those it was told of first."""

SYSTEM_FLAGS: Final[dict[str, int]] = {
    "\\Seen": SEEN,
    "\\Answered": ANSWERED,
    "\\Flagged": FLAGGED,
    "\\Deleted": DELETED,
    "\\Draft": DRAFT,
}
MAX_KEYWORDS: Final = 64
"""Keywords one message may carry."""
MAX_KEYWORD_LENGTH: Final = 255
"""What JMAP allows (RFC 8621 section 4.1.1)."""
MAX_MAILBOX_KEYWORDS: Final = 1024
"""Distinct keywords one mailbox may hold."""


def keywords_text(keywords: tuple[str, ...]) -> str:
    """The stored form: sorted, one space between; equal sets give equal text."""
    return " ".join(sorted(set(keywords)))
