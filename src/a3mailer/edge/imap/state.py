"""The states of a session (RFC 9051 section 3), as bits, so that a command can name those it is valid in."""

from __future__ import annotations

from typing import Final

NOT_AUTHENTICATED: Final = 1
AUTHENTICATED: Final = 2
SELECTED: Final = 4
LOGOUT: Final = 8

LOGGED_IN: Final = AUTHENTICATED | SELECTED
"""command-auth: valid once logged in."""
ANY: Final = NOT_AUTHENTICATED | LOGGED_IN

NAMES: Final = {
    NOT_AUTHENTICATED: "not authenticated",
    AUTHENTICATED: "authenticated",
    SELECTED: "selected",
    LOGOUT: "logout",
}
