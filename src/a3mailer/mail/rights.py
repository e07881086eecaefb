"""Rights on mailboxes and whom they are given to (RFC 4314 section 2.1): the words all rooms share.

An identifier as the store keeps it: ``account:17``, ``group:sales@example.test`` (an address of the kind
group) or ``anyone`` (every account of the owner's tenant); with ``-`` before it the rights are taken away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from a3mailer.mail.ids import AccountId, MailboxId

ALL_RIGHTS: Final = "lrswipkxtea"
"""lookup, read, seen, write, insert, post, create (k), delete mailbox (x), delete messages (t), expunge,
administer; in this order wherever they are written."""
ANYONE: Final = "anyone"
NEGATIVE: Final = "-"
ACCOUNT_PREFIX: Final = "account:"
GROUP_PREFIX: Final = "group:"
ROOT: Final = MailboxId(0)
"""Stands for the account itself: what is granted on it is inherited by new mailboxes that have no parent."""
MAX_GRANTS: Final = 1000
"""Identifiers in the list of one mailbox."""
MAX_IDENTIFIER: Final = 400
"""Octets of an identifier."""


def canonical(rights: Iterable[str]) -> str:
    """The rights once each, in their order; what is no right is left out."""
    given = frozenset(rights)
    return "".join(right for right in ALL_RIGHTS if right in given)


def of_account(account: AccountId) -> str:
    """The identifier of an account."""
    return f"{ACCOUNT_PREFIX}{account}"


def of_group(address: str) -> str:
    """The identifier of a group's members."""
    return GROUP_PREFIX + address


def changed(had: str, mode: str, rights: str) -> str:
    """What SETACL makes of ``had``: ``=`` replaces, ``+`` adds, ``-`` takes away (RFC 4314 section 3.1)."""
    if mode == "+":
        return canonical(had + rights)
    if mode == "-":
        return canonical(right for right in had if right not in rights)
    return canonical(rights)
