"""Every limit of the IMAP wire, by name. Octets and counts."""

from __future__ import annotations

from typing import Final

PRE_LOGIN_COMMAND: Final = 8 * 1024
"""One whole command before login, literals included: strangers get no memory."""
COMMAND_LINE: Final = 64 * 1024
"""Octets of one command outside its literals, after login (RFC 9051 section 4 asks for 8,192 at least)."""
COMMAND_LITERALS: Final = 1024 * 1024
"""Octets of all literals of one command that is not APPEND."""
LITERAL_COUNT: Final = 256
"""Literals in one command that is not APPEND."""
LITERAL_MINUS: Final = 4096
"""Largest non-synchronising literal before login (RFC 7888 section 5)."""
LITERAL_DIGITS: Final = 19
"""Digits of a literal's length (number64)."""
CONTINUATION_LINE: Final = PRE_LOGIN_COMMAND
"""One line of AUTHENTICATE or IDLE: strangers write most of them."""
APPEND_MESSAGES: Final = 1000
"""Messages in one MULTIAPPEND."""
SKIPPED_OCTETS: Final = 128 * 1024 * 1024
"""What a refused non-synchronising APPEND may still send before the connection ends."""
TAG_LENGTH: Final = 256
NUMBER32: Final = 2**32 - 1
NUMBER64: Final = 2**63 - 1
ATOM: Final = 1024
"""Octets of one atom; longer values are strings."""
FETCH_ITEMS: Final = 128
"""Distinct data items in one FETCH."""
HEADER_NAMES: Final = 256
"""Field names in one HEADER.FIELDS."""
FLAGS: Final = 128
"""Flags in one list."""
METADATA_ENTRIES: Final = 128
"""Entries in one GETMETADATA, SETMETADATA or LIST."""
LIST_PATTERNS: Final = 64
PATTERN: Final = 1024
"""Octets of one LIST pattern."""
MAILBOX_NAME: Final = 4096
"""Octets of a mailbox name on the wire; what a name may be is decided in ``access``."""
SORT_CRITERIA: Final = 32
"""Criteria of one SORT, repeated ones included."""
SOURCES: Final = 256
"""Filters of mailboxes, and names of one filter (RFC 7377)."""
NOTIFY_EVENTS: Final = 32
"""Events in one group of NOTIFY, repeated ones included."""
ID_FIELDS: Final = 30
"""RFC 2971 section 3.3."""
ID_FIELD: Final = 30
ID_VALUE: Final = 1024
ENABLE_WORDS: Final = 64
QRESYNC_PAIRS: Final = 32 * 1024
"""Ranges of known sequence numbers and uids in one SELECT (QRESYNC ...)."""
