"""GETQUOTA (RFC 9208 section 4.1.1): the one quota root of the account, named ""."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Failed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.mail.errors import NoSuchAccount
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
        if self.root != ROOT:
            yield Failed(b"NONEXISTENT", b"no such quota root")
            return
        yield await quota_line(session)


# quota-response = "QUOTA" SP quota-root-name SP quota-list
async def quota_line(session: Session) -> bytes:
    """``* QUOTA "" (STORAGE used limit MESSAGE used limit)``; STORAGE where there is a limit."""
    account = await session.services.store.account(session.account)
    if account is None:
        raise NoSuchAccount
    resources = [b"MESSAGE %d %d" % (account.used_messages, MESSAGES)]
    if account.quota:
        used = -(-account.used_octets // STORAGE_UNIT)
        resources.insert(0, b"STORAGE %d %d" % (used, account.quota // STORAGE_UNIT))
    return b'* QUOTA "" (%b)\r\n' % b" ".join(resources)
