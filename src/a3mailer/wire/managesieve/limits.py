"""Every limit of the ManageSieve wire, by name. Octets and counts."""

from __future__ import annotations

from typing import Final

STRANGER: Final = 8 * 1024
"""One whole command before the login, literals included: strangers get no memory."""
RESPONSE: Final = 12 * 1024
"""One line of a SASL exchange (RFC 4954 section 4 names the same for SMTP)."""
LINE: Final = 8 * 1024
"""Octets of a command outside its literals."""
LITERALS: Final = 2
"""Literals of one command: no command has more strings."""
QUOTED: Final = 1024
"""Octets of a quoted string (RFC 5804 section 4)."""
NUMBER: Final = 2**32 - 1
NUMBER_DIGITS: Final = 10
SKIPPED: Final = 16 * 1024 * 1024
"""A script that is too large is read over up to this size, so that the session can go on."""
