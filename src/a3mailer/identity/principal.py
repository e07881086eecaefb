"""Who is acting: the one value every door holds after a login, and the object an act is done to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.mail.ids import DEFAULT_TENANT, SYSTEM_ACCOUNT, AccountId, TenantId

NO_TENANT: Final = TenantId(0)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated subject. ``epoch`` is the credential epoch it was made in."""

    account: AccountId
    tenant: TenantId
    address: str
    """The account's main address, lower case."""
    role: str
    login: str
    """The name the client gave, as accepted."""
    scopes: frozenset[str] = frozenset()
    """Empty for a full login; else the actions (or families of actions) a token is limited to."""
    epoch: int = 0
    token: bytes = b""
    """The digest of the token it logged in with; empty for a password."""

    @property
    def domain(self) -> str:
        """The domain of the main address."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Object:
    """What an act is done to: an account, a domain, a tenant, or (all at zero) the server itself."""

    tenant: TenantId = NO_TENANT
    account: AccountId = SYSTEM_ACCOUNT
    domain: str = ""
    role: str = ""
    """The role of the account acted on, or the role that is to be given; empty where none is concerned."""
    rights: str = ""
    """Of a mailbox: what its owner has granted the subject (RFC 4314)."""


SERVER: Final = Object()
"""The object of acts on the server as a whole."""

ANONYMOUS: Final = Principal(SYSTEM_ACCOUNT, NO_TENANT, "", "anonymous", "")
"""A session before its login."""

OPERATOR: Final = Principal(SYSTEM_ACCOUNT, DEFAULT_TENANT, "", "superadmin", "operator")
"""Whoever may open the control socket or the data directory itself (its owner on this machine)."""
