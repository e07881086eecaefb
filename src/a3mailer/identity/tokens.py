"""Bearer tokens: 256 random bits shown once, kept as a digest, limited to scopes, dead with their epoch."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from a3mailer.identity.principal import Principal
from a3mailer.identity.roles import RULES
from a3mailer.mail.errors import AuthenticationFailed, BadName
from a3mailer.mail.ids import AccountId
from a3mailer.store.operations import PutToken
from a3mailer.store.ports import DirectoryReader
from a3mailer.telemetry.events import Secret

PREFIX: Final = "a3_"
"""What tokens begin with, so that scanners for leaked secrets know them."""
MAX_SCOPES: Final = 32
MAX_LENGTH: Final = 256
_FAMILIES: Final = frozenset(name.partition(".")[0] for name in RULES)


def digest(token: Secret) -> bytes:
    """What is kept of a token. It has full entropy, so one fast hash is enough."""
    return hashlib.blake2b(token.reveal().encode(), digest_size=32, person=b"a3mailer-token").digest()


def check_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """At least one action or family of actions of ``roles.RULES``. Errors: BadName."""
    if not scopes:
        raise BadName("a token needs at least one scope")
    if len(scopes) > MAX_SCOPES:
        raise BadName(f"more than {MAX_SCOPES} scopes")
    for scope in scopes:
        if scope not in RULES and scope not in _FAMILIES:
            raise BadName(f"no such scope: {scope}")
    return tuple(sorted(set(scopes)))


def issue(
    account: AccountId, name: str, scopes: tuple[str, ...], *, now: int, expires: int = 0
) -> tuple[Secret, PutToken]:
    """A new token, to be shown once, and the operation that keeps it. Errors: BadName."""
    token = Secret(PREFIX + secrets.token_urlsafe(32))
    text = " ".join(check_scopes(scopes))
    return token, PutToken(account, digest(token), name, text, expires, now)


async def verify(reader: DirectoryReader, token: Secret, now: float) -> Principal:
    """Who holds this token. Errors: AuthenticationFailed (unknown, expired, revoked, disabled account)."""
    if not token.reveal().isascii() or len(token.reveal()) > MAX_LENGTH:
        raise AuthenticationFailed
    row = await reader.token(digest(token))
    if row is None or not row.scopes or (row.expires and row.expires <= now):
        raise AuthenticationFailed
    account = await reader.account(row.account)
    if account is None or not account.enabled or account.epoch != row.epoch:
        raise AuthenticationFailed
    scopes = frozenset(row.scopes.split())
    return Principal(
        account.id,
        account.tenant,
        account.address,
        account.role,
        account.address,
        scopes,
        account.epoch,
        row.digest,
    )


async def stands(reader: DirectoryReader, digest: bytes, now: float) -> bool:
    """Is a token that was good still there, and not over?"""
    row = await reader.token(digest)
    return row is not None and not 0 < row.expires <= now
