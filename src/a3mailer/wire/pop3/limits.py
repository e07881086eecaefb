"""Every limit of the POP3 wire, by name. Octets and counts."""

from __future__ import annotations

from typing import Final

COMMAND_LINE: Final = 8 * 1024
"""One command with its CRLF (RFC 2449 section 4 asks for 255; AUTH may bring a long token)."""
RESPONSE_LINE: Final = 12 * 1024
"""One line of a SASL exchange (RFC 4954 section 4 names the same for SMTP)."""
NUMBER_DIGITS: Final = 10
"""Digits of a message number or a count of lines."""
LANGUAGE_TAG: Final = 64
"""Characters of a language tag (RFC 5646 section 4.4.1 asks for 35)."""
