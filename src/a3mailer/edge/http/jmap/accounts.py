"""The accounts that somebody may use by JMAP (RFC 8620 section 1.6.2), and what each of them can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from a3mailer.identity.principal import Object, Principal
from a3mailer.mail.ids import AccountId, TenantId
from a3mailer.mail.objectids import ACCOUNT_LETTER, object_id


@dataclass(frozen=True, slots=True)
class Account:
    """One account as the asker sees it."""

    id: AccountId
    tenant: TenantId
    name: str
    """Its main address."""
    target: Object
    """What the one authorisation function is asked about."""
    personal: bool = True
    read_only: bool = False
    capabilities: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """By URN: what of it may be used here, with its properties for the session object."""

    @property
    def key(self) -> str:
        """Its id in JMAP."""
        return object_id(ACCOUNT_LETTER, self.id)


Accounts = Mapping[str, Account]
"""By their ids in JMAP."""


def own(principal: Principal, capabilities: Mapping[str, Mapping[str, object]]) -> Account:
    """The asker's own account."""
    return Account(
        principal.account,
        principal.tenant,
        principal.address,
        Object(principal.tenant, principal.account, principal.domain, principal.role),
        capabilities=capabilities,
    )
