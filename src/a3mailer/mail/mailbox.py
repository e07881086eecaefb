"""Mailbox names and attributes (RFC 9051 sections 5.1 and 7.3.1, RFC 6154): the rules all backends share."""

from __future__ import annotations

from typing import Final

from a3mailer.mail.errors import BadName

INBOX_NAME: Final = "INBOX"
SEPARATOR: Final = "/"
MAX_NAME: Final = 1000
"""Octets of a full name in UTF-8."""
MAX_DEPTH: Final = 32
MAX_MAILBOXES: Final = 10_000
"""Mailboxes of one account."""

INITIAL: Final = (
    (INBOX_NAME, ""),
    ("Sent", "\\Sent"),
    ("Drafts", "\\Drafts"),
    ("Junk", "\\Junk"),
    ("Trash", "\\Trash"),
    ("Archive", "\\Archive"),
)
"""(name, special use) of what every account has at its first login; all are subscribed."""


def canonical_name(name: str) -> str:
    """The stored form of a full name: INBOX in capitals whatever its case. Errors: BadName.

    Names are keys and never paths; control characters and wildcards of LIST are refused all the same,
    because clients cannot name such a mailbox again."""
    if not name or len(name.encode("utf-8", "surrogatepass")) > MAX_NAME:
        raise BadName("a mailbox name has 1 to 1000 octets")
    levels = name.split(SEPARATOR)
    if len(levels) > MAX_DEPTH:
        raise BadName(f"a mailbox name has at most {MAX_DEPTH} levels")
    if not all(levels):
        raise BadName("a mailbox name has no empty level")
    if any(c < " " or c in "*%\x7f" or "\x80" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in name):
        raise BadName("a mailbox name has no control characters, * or %")
    return with_inbox(name)


def with_inbox(name: str) -> str:
    """A name whose first level, where that is INBOX in any case of US-ASCII, is so in capitals (RFC 9051
    section 5.1): ``ınbox`` without a dot is another name."""
    head, slash, rest = name.partition(SEPARATOR)
    return INBOX_NAME + slash + rest if head.isascii() and head.upper() == INBOX_NAME else name


def parents(name: str) -> tuple[str, ...]:
    """The names above a canonical name, outermost first."""
    levels = name.split(SEPARATOR)
    return tuple(SEPARATOR.join(levels[:n]) for n in range(1, len(levels)))
