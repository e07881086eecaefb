"""The states of a session (RFC 9051 section 3) and what moves between them."""

from __future__ import annotations

from enum import IntFlag


class State(IntFlag):
    """One of four; a command names those it is valid in."""

    NOT_AUTHENTICATED = 1
    AUTHENTICATED = 2
    SELECTED = 4
    LOGOUT = 8


NOT_AUTHENTICATED = State.NOT_AUTHENTICATED
SELECTED = State.SELECTED
AUTHENTICATED = State.AUTHENTICATED | State.SELECTED
"""command-auth: valid once logged in."""
ANY = State.NOT_AUTHENTICATED | State.AUTHENTICATED | State.SELECTED
