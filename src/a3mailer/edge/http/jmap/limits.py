"""What one client may ask for (RFC 8620 section 2): announced in the session object, kept by every method."""

from __future__ import annotations

from typing import Final

MAX_SIZE_REQUEST: Final = 10_000_000
"""Octets of a request to the API."""
MAX_CONCURRENT_REQUESTS: Final = 8
"""Requests of one account to the API at once, in one worker."""
MAX_CONCURRENT_UPLOAD: Final = 4
MAX_CALLS: Final = 64
"""Method calls of one request."""
MAX_OBJECTS_IN_GET: Final = 1000
MAX_OBJECTS_IN_SET: Final = 1000
MAX_CHANGES: Final = 1000
"""Ids of one answer to /changes where the client names no number."""
MAX_IN_QUERY: Final = 10_000
"""Ids of one answer to /query."""
MAX_CONDITIONS: Final = 1000
"""Conditions and operators of one filter."""
MAX_COMPARATORS: Final = 16
COLLATIONS: Final = ("i;ascii-numeric", "i;ascii-casemap", "i;unicode-casemap")
"""Of RFC 4790 section 9 and RFC 5051; the last is the one where none is named."""
MAX_MAILBOXES_PER_EMAIL: Final = 32
MAX_SIZE_MAILBOX_NAME: Final = 255
"""Octets of the name of one mailbox, without those above it."""
MAX_SIZE_ATTACHMENTS: Final = 50_000_000
"""Octets of all that one email is made of."""
EMAIL_SORTS: Final = (
    "receivedAt", "size", "from", "to", "subject", "sentAt", "hasKeyword", "allInThreadHaveKeyword",
    "someInThreadHaveKeyword",
)  # fmt: skip
