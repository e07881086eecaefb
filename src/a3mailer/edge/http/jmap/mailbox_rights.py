"""The rights on a mailbox in the words of JMAP (RFC 8621 section 2), and those of IMAP (RFC 4314)."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

RIGHTS: Final = {
    "mayReadItems": "lr",
    "mayAddItems": "i",
    "mayRemoveItems": "te",
    "maySetSeen": "s",
    "maySetKeywords": "w",
    "mayCreateChild": "k",
    "mayRename": "x",
    "mayDelete": "x",
    "maySubmit": "p",
}
"""``myRights``, and what each is in another's mailbox."""


def shown_of_others(using: Set[str], letters: str) -> dict[str, bool]:
    """What these letters are to somebody who is not the owner."""
    return {right: set(needed) <= set(letters) for right, needed in RIGHTS.items()}
