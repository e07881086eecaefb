"""The rights on a mailbox in the words of JMAP (RFC 8621 section 2), and the letters of IMAP (RFC 4314).

Some letters have no word of their own (``l`` is half of mayReadItems, ``x`` is mayRename and mayDelete), so
what is shown says less than the letters, and what is asked for becomes letters so that nobody gains anything
that was not asked for: a letter that stands for two words is given with both and taken with one of them,
and letters that show nothing stay as they were while their word does.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Final

from a3mailer.edge.http.jmap.capabilities import SHARE
from a3mailer.mail.rights import canonical

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
MAY_SHARE: Final = "mayShare"
ALL: Final = RIGHTS | {MAY_SHARE: "a"}
"""With the one of the sharing of mailboxes (draft-ietf-jmap-mail-sharing)."""
_BOTH: Final = ("mayRename", "mayDelete")


def shown(letters: str, rights: Mapping[str, str] = ALL) -> dict[str, bool]:
    """What these letters are to somebody who is not the owner."""
    return {right: set(needed) <= set(letters) for right, needed in rights.items()}


def shown_of_others(using: Set[str], letters: str) -> dict[str, bool]:
    """The same to who uses these capabilities."""
    return shown(letters, ALL if SHARE in using else RIGHTS)


def letters_of(had: str, wanted: Mapping[str, bool], was: Mapping[str, bool] | None = None) -> str:
    """What letters become where these rights are wanted; what is not named is not.

    ``was``: what was shown of them, where that is not all."""
    letters = set(had)
    was = shown(had) if was is None else was
    for right, needed in ALL.items():
        if right in _BOTH:
            continue
        if wanted.get(right, False):
            letters |= set(needed)
        elif was[right]:
            letters -= set(needed)
    if all(wanted.get(right, False) for right in _BOTH):
        letters.add("x")
    elif was[_BOTH[0]]:
        letters.discard("x")
    return canonical(letters)
