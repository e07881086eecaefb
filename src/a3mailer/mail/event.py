"""Something that a client of IMAP did to messages, which a script may want to hear of (RFC 6785)."""

from __future__ import annotations

from typing import Final, NamedTuple

APPEND: Final = "APPEND"
COPY: Final = "COPY"
FLAG: Final = "FLAG"
"""Causes (RFC 6785 section 4.3)."""


class Event(NamedTuple):
    """One of them, of one message."""

    cause: str
    user: str
    """The name that who did it has logged in with."""
    email: str
    """The main address of who did it."""
    changed: str = ""
    """The flags that are others than before, with spaces between; only of FLAG."""
