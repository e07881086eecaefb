"""The accounts that somebody may use by JMAP (RFC 8620 section 1.6.2), and what each of them can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from a3mailer.access.loans import Loan
from a3mailer.identity.principal import Object, Principal
from a3mailer.identity.roles import action, allow
from a3mailer.mail.ids import AccountId, TenantId
from a3mailer.mail.objectids import ACCOUNT_LETTER, object_id
from a3mailer.wire.jmap.errors import SetError


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

    loan: Loan | None = None
    """Of what is another's: the part of it that the asker may see."""
    asker: Principal | None = None
    """Of one's own: who asks ..."""
    others: tuple[Account, ...] = ()
    """... and all there is beside it."""

    @property
    def shown(self) -> bool:
        """Whether the session tells of it, and of what changes in it: an account of another is there for who
        names it, and shown to who has subscribed to something in it (RFC 9670 section 1.4)."""
        return self.loan is None or self.loan.subscribed

    @property
    def prefix(self) -> str:
        """What states of its mail begin with: they are of what is visible."""
        return "" if self.loan is None else f"{self.loan.scope}-"

    def admits(self, principal: Principal, action: str) -> bool:
        """Whether something of the kind may be done in it; in another's account, in one of its mailboxes at
        least: which one is for the method to ask (``needs``)."""
        instead = (action,) if self.loan is None else INSTEAD.get(action, (action,))
        return any(allow(principal, each, self.target) for each in instead)

    def needs(self, letters: str, *mailboxes: int) -> None:
        """Errors: SetError (``forbidden``) where one of these rights is lacking on one of them."""
        if self.loan is not None and not all(self.loan.has(each, letters) for each in mailboxes):
            raise SetError("forbidden", f"this needs the rights {letters} on each of the mailboxes")

    @property
    def key(self) -> str:
        """Its id in JMAP."""
        return object_id(ACCOUNT_LETTER, self.id)


Accounts = Mapping[str, Account]
"""By their ids in JMAP."""


INSTEAD: Final = {
    action("message.append"): (
        action("message.append"), action("message.seen"), action("message.flag"), action("message.delete")
    ),
    action("mailbox.change"): (action("mailbox.list"),),
}  # fmt: skip
"""Methods that do several things are open to who may do one of them in a mailbox of another's account; each
record is asked for by itself."""
CHANGING: Final = frozenset("swiktxea")
"""Who has none of these rights anywhere can only read (RFC 8620 section 2, ``isReadOnly``)."""


def lent(loan: Loan, capabilities: Mapping[str, Mapping[str, object]]) -> Account:
    """One of another."""
    return Account(
        loan.account,
        loan.tenant,
        loan.address,
        loan.target,
        personal=False,
        read_only=CHANGING.isdisjoint(loan.target.rights),
        capabilities=capabilities,
        loan=loan,
    )


def own(principal: Principal, capabilities: Mapping[str, Mapping[str, object]]) -> Account:
    """The asker's own account."""
    return Account(
        principal.account,
        principal.tenant,
        principal.address,
        Object(principal.tenant, principal.account, principal.domain, principal.role),
        capabilities=capabilities,
        asker=principal,
    )
