"""Keywords are compared without case (RFC 9051 section 2.3.2): each has one spelling in a mailbox."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

REGISTERED: Final = (
    "$MDNSent",
    "$Forwarded",
    "$Junk",
    "$NotJunk",
    "$Phishing",
    "$SubmitPending",
    "$Submitted",
)
"""Spelled as IANA has them, wherever a client first uses them."""
_REGISTERED: Final = {word.lower(): word for word in REGISTERED}


def spelled(keywords: Iterable[str], in_use: Iterable[str]) -> tuple[str, ...]:
    """The keywords a client named, in the spelling the mailbox uses already."""
    wanted = tuple(keywords)
    if not wanted:
        return wanted
    known = _REGISTERED | {word.lower(): word for word in in_use}
    return tuple(known.get(word.lower(), word) for word in wanted)
