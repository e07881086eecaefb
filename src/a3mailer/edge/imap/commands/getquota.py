"""GETQUOTA (RFC 9208 section 4.1.1): the account's one quota root, named "", and those of shared accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

from a3mailer.access.rights import Owner
from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.session import Session
from a3mailer.identity.principal import Principal
from a3mailer.mail.errors import NoSuchAccount, NoSuchThing
from a3mailer.mail.ids import AccountId
from a3mailer.mail.mailbox import SEPARATOR
from a3mailer.wire.imap.encode import string
from a3mailer.wire.imap.limits import NUMBER32
from a3mailer.wire.imap.parser import Parser

ROOT: Final = b""
MESSAGES: Final = NUMBER32
"""The limit of messages: there are no more uids (RFC 9051 section 2.3.1.1)."""
STORAGE_UNIT: Final = 1024
"""Octets of one unit of STORAGE (RFC 9208 section 5.1)."""


@dataclass(frozen=True, slots=True)
class GetQuota:
    name: ClassVar = b"GETQUOTA"
    action: ClassVar = "quota.read"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    root: bytes

    # getquota = "GETQUOTA" SP quota-root-name      quota-root-name = astring
    @classmethod
    def parse(cls, p: Parser) -> GetQuota:
        p.space()
        root = p.astring()
        p.end()
        return cls(root)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        owner = session.account if self.root == ROOT else await root_owner(session, self.root)
        yield await quota_line(session, owner, self.root)


async def root_owner(session: Session, root: bytes) -> AccountId:
    """The shared account whose quota root this is, where the user may list any of its mailboxes.

    Errors: NoSuchThing."""
    rights, subject = session.services.rights, session.principal
    for account in await rights.lenders(subject):
        owner = await rights.owner(account)
        if owner is not None and owner.shared and root_of(owner, subject) == root:
            rows = await session.services.store.mailboxes(account)
            if any([await rights.may(subject, "mailbox.list", account, row.id) for row in rows]):
                return account
    raise NoSuchThing("quota root")


def root_of(owner: Owner, subject: Principal) -> bytes:
    """The name of a shared account's quota root: that of its mailboxes, without the last level."""
    return owner.prefix(subject).removesuffix(SEPARATOR).encode()


# quota-response = "QUOTA" SP quota-root-name SP quota-list
async def quota_line(session: Session, owner: AccountId, root: bytes) -> bytes:
    """``* QUOTA "" (STORAGE used limit MESSAGE used limit)``; STORAGE where there is a limit."""
    account = await session.services.store.account(owner)
    if account is None:
        raise NoSuchAccount
    resources = [b"MESSAGE %d %d" % (account.used_messages, MESSAGES)]
    if account.quota:
        used = -(-account.used_octets // STORAGE_UNIT)
        resources.insert(0, b"STORAGE %d %d" % (used, account.quota // STORAGE_UNIT))
    return b"* QUOTA %b (%b)\r\n" % (string(root), b" ".join(resources))
