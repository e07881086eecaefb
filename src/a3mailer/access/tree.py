"""Mailbox names and the tree they make (RFC 9051 section 5.1): rules, parents, children."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from a3mailer.mail.errors import BadName
from a3mailer.store.rows import Mailbox

DELIMITER: Final = "/"
INBOX: Final = "INBOX"
MAX_NAME: Final = 1000
"""Octets of a whole name in UTF-8."""
MAX_LEVEL: Final = 255
"""Octets of one level."""
MAX_DEPTH: Final = 32
SPECIAL_USES: Final = ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash")
"""RFC 6154 section 2."""
_FORBIDDEN: Final = frozenset("%*\ufffd\u2028\u2029")
_FORBIDDEN_CATEGORIES: Final = frozenset(("Cc", "Cs", "Cn"))


def checked_name(name: str) -> str:
    """The one form of a name a client gave (NFC, INBOX in capitals). Errors: BadName, with the reason.

    A name is a key of the database and never a path; what looks like one is refused all the same."""
    name = unicodedata.normalize("NFC", name)
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME:
        raise BadName("name too long")
    levels = name.split(DELIMITER)
    if len(levels) > MAX_DEPTH:
        raise BadName("too many levels")
    for level in levels:
        if not level or level in {".", ".."} or level != level.strip(" "):
            raise BadName("empty level, or one that is a dot or begins or ends with a space")
        if len(level.encode("utf-8", "surrogatepass")) > MAX_LEVEL:
            raise BadName("level too long")
        if any(c in _FORBIDDEN or unicodedata.category(c) in _FORBIDDEN_CATEGORIES for c in level):
            raise BadName("characters that no name may hold")
    return folded(name)


def folded(name: str) -> str:
    """INBOX compares without case, also as the first level of its children."""
    first, delimiter, rest = name.partition(DELIMITER)
    return f"{INBOX}{delimiter}{rest}" if first.upper() == INBOX else name


@dataclass(frozen=True, slots=True)
class Node:
    """A name in the tree; ``mailbox`` is None where only children exist."""

    name: str
    mailbox: Mailbox | None
    has_children: bool


def tree(mailboxes: Iterable[Mailbox]) -> tuple[Node, ...]:
    """All names, missing parents included, INBOX first, then in order."""
    by_name: dict[str, Mailbox | None] = {one.name: one for one in mailboxes}
    parents: set[str] = set()
    for name in tuple(by_name):
        parent = name.rpartition(DELIMITER)[0]
        while parent and parent not in parents:
            parents.add(parent)
            by_name.setdefault(parent, None)
            parent = parent.rpartition(DELIMITER)[0]
    return tuple(
        Node(name, by_name[name], name in parents)
        for name in sorted(by_name, key=lambda name: (name.partition(DELIMITER)[0] != INBOX, name))
    )
