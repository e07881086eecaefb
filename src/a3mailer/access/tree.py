"""Mailbox names and the tree they make (RFC 9051 section 5.1): rules, parents, children."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from a3mailer.mail.errors import BadName
from a3mailer.mail.mailbox import INBOX_NAME, SEPARATOR, canonical_name, parents
from a3mailer.store.rows import Mailbox

SPECIAL_USES: Final = ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash")
"""RFC 6154 section 2."""
_UNSEEN_CATEGORIES: Final = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
"""Unicode categories of what nobody can see or type: two names must not look the same."""


def checked_name(name: str) -> str:
    """The stored form of a name that a client gave for a new mailbox. Errors: BadName, with the reason.

    A name is a key of the database and never a path; what looks like one is refused all the same."""
    name = unicodedata.normalize("NFC", name)
    for level in name.split(SEPARATOR):
        if level in {".", ".."} or level != level.strip():
            raise BadName("a level is not a dot and neither begins nor ends with a space")
    if any(unicodedata.category(character) in _UNSEEN_CATEGORIES for character in name):
        raise BadName("a mailbox name has no invisible characters")
    return canonical_name(name)


@dataclass(frozen=True, slots=True)
class Node:
    """A name in the tree; ``mailbox`` is None where there are only children, or only a subscription."""

    name: str
    mailbox: Mailbox | None
    has_children: bool
    subscribed: bool


def tree(
    mailboxes: Iterable[Mailbox], subscribed: frozenset[str] = frozenset(), *, missing: bool = False
) -> tuple[Node, ...]:
    """All names, missing parents included, INBOX first, then in order.

    ``subscribed`` are names beyond what the rows say; ``missing``: those of no mailbox are names, too."""
    by_name: dict[str, Mailbox | None] = {one.name: one for one in mailboxes}
    above = {parent for name in by_name for parent in parents(name)}
    for name in (*above, *(subscribed if missing else ())):
        by_name.setdefault(name, None)
    return tuple(
        Node(name, row, name in above, name in subscribed or (row is not None and row.subscribed))
        for name, row in sorted(
            by_name.items(), key=lambda item: (item[0].partition(SEPARATOR)[0] != INBOX_NAME, item[0])
        )
    )
