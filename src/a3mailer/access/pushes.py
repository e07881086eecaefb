"""Push subscriptions (RFC 8620 section 7.2) as documents of an account: who is told of changes, and where.

A subscription belongs to the credentials it was made with and dies with them. It holds a URL and keys that
are nobody else's, so its kind is sealed at rest (``store.rows.SEALED_KINDS``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from a3mailer.identity.principal import Principal
from a3mailer.mail.ids import AccountId
from a3mailer.store.operations import PutDocument, RemoveDocument
from a3mailer.store.ports import DocumentReader
from a3mailer.store.rows import PUSH, Document

MOST: Final = 20
"""Subscriptions of one account."""
MOST_REMEMBERED: Final = 10_000
"""Accounts whose new subscriptions are counted."""
LONGEST: Final = 30 * 86_400
"""Seconds one lasts without being extended."""


class Subscription(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of one."""

    device: str
    url: str
    code: str
    expires: int
    role: str
    login: str
    address: str
    tenant: int
    epoch: int
    p256dh: str = ""
    """Empty: what is pushed is not encrypted."""
    auth: str = ""
    types: tuple[str, ...] | None = None
    scopes: tuple[str, ...] = ()
    token: str = ""
    """The digest of the token it was made with, in hexadecimal; empty for a password."""
    verified: bool = False
    asked: bool = False
    """The verification was pushed."""
    told: dict[str, dict[str, str]] = {}
    """States that were pushed last."""
    failures: int = 0
    """In a row."""

    def of(self, principal: Principal) -> bool:
        """Was it made with the credentials that ``principal`` has?"""
        return (self.epoch, self.token) == (principal.epoch, principal.token.hex())

    def principal(self, account: AccountId) -> Principal:
        """Whose it is, as it was made."""
        return Principal(
            account,
            tenant=self.tenant,  # type: ignore[arg-type]
            address=self.address,
            role=self.role,
            login=self.login,
            scopes=frozenset(self.scopes),
            epoch=self.epoch,
            token=bytes.fromhex(self.token),
        )


_decode: Final = msgspec.json.Decoder(Subscription).decode


async def subscriptions(
    reader: DocumentReader, account: AccountId
) -> dict[str, tuple[Subscription, Document]]:
    """All of an account that are not over, by id."""
    rows = await reader.documents(account, PUSH, limit=10 * MOST)
    return {row.name: (_decode(row.value), row) for row in rows}


class Making:
    """What a worker remembers of subscriptions that were made here; ``permitted`` knows the URLs that may be
    asked at all (Errors: HttpFailure)."""

    __slots__ = ("_times", "permitted")

    def __init__(self, permitted: Callable[[str], object]) -> None:
        self.permitted = permitted
        self._times: dict[AccountId, list[int]] = {}

    def recent(self, account: AccountId, now: int, seconds: int) -> int:
        """How many an account has made of late."""
        times = [each for each in self._times.get(account, ()) if each > now - seconds]
        self._times[account] = times
        if len(self._times) > MOST_REMEMBERED:
            del self._times[next(iter(self._times))]
        return len(times)

    def made(self, account: AccountId, now: int) -> None:
        """One more."""
        self._times.setdefault(account, []).append(now)


def put(account: AccountId, id: str, made: Subscription, due: int) -> PutDocument:
    """Keep it; ``due``: when it is to be looked at without any change."""
    return PutDocument(account, PUSH, id, msgspec.json.encode(made).decode(), max(due, 1), made.expires)


def drop(account: AccountId, id: str) -> RemoveDocument:
    """Forget it."""
    return RemoveDocument(account, PUSH, id)
