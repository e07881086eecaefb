"""What every JMAP method is, and the call it answers.

A method is a frozen value in the table of its family, ``methods/NAME.py``::

    METHODS = (Get(QUOTAS), Changes(QUOTAS), Echo())

with a name (``Foo/get``), the capability whose specification defines it, the rule of ``identity.roles`` it
is under, the form of its arguments (a ``msgspec.Struct`` that forbids what it does not know) and ``run``.
Before ``run`` the dispatcher has resolved references to results (section 3.7), converted the arguments,
asked the one authorisation function and found the account of ``accountId``. What ``run`` returns becomes the
response of the method's own name; MethodError becomes an ``error`` response; a MailError is translated by
``replies.py``. A method that fails has changed nothing.

The standard methods of section 5 are written once, in ``standard/``; a type says what it is by
``records.py`` (its properties, and how its records are read, listed and changed).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec

from a3mailer.access.account_mail import AllMail
from a3mailer.access.account_view import AccountView
from a3mailer.access.blobs import Blobs
from a3mailer.edge.http.jmap.accounts import Account, Accounts
from a3mailer.edge.http.jmap.services import Services
from a3mailer.identity.principal import Principal
from a3mailer.mail.envelope import Client
from a3mailer.wire.jmap.errors import MethodError
from a3mailer.wire.jmap.request import Arguments


@dataclass(slots=True)
class Exchange:
    """One request to the API: who asks, and what its calls share."""

    services: Services
    principal: Principal
    client: Client
    """Where the request comes from, as submissions know it."""
    accounts: Accounts
    using: frozenset[str]
    created_ids: dict[str, str] = field(default_factory=dict)
    """Creation id -> id of what was created; one map for all types (section 5.3)."""

    def real(self, reference: str) -> str | None:
        """The id that ``#creation-id`` stands for, any other text itself; None: for nothing."""
        return self.created_ids.get(reference[1:]) if reference.startswith("#") else reference


@dataclass(slots=True)
class Call:
    """One call of a method."""

    exchange: Exchange
    given: Account | None = None
    """The account of ``accountId``; None for methods without one."""
    giver: Account | None = None
    """The account of ``fromAccountId``."""
    implied: list[tuple[str, Arguments]] = field(default_factory=list)

    @property
    def account(self) -> Account:
        """The account of ``accountId``; only methods whose form has one ask for it."""
        if self.given is None:
            raise MethodError("accountNotFound")
        return self.given

    @property
    def source(self) -> Account:
        """The account of ``fromAccountId``; only methods whose form has one ask for it."""
        if self.giver is None:
            raise MethodError("fromAccountNotFound")
        return self.giver

    @property
    def services(self) -> Services:
        return self.exchange.services

    @property
    def principal(self) -> Principal:
        return self.exchange.principal

    @property
    def view(self) -> AccountView:
        """What is read of the account's mail."""
        return view_of(self.services, self.account)

    @property
    def mail(self) -> AllMail:
        """What is kept of it."""
        loan = self.account.loan
        return self.services.mail if loan is None else loan.mail

    @property
    def blobs(self) -> Blobs:
        """Its blobs."""
        return blobs_of(self.services, self.account)

    async def renew(self) -> None:
        """Where the account is another's: as it is lent now. Errors: MailError."""
        if self.account.loan is None:
            return
        for loan in await self.services.loans.anew(self.principal):
            if loan.account == self.account.id:
                account = self.given = replace(self.account, loan=loan, target=loan.target)
                mine, *others = ({**self.exchange.accounts, account.key: account}).values()
                mine = replace(mine, others=tuple(others))
                self.exchange.accounts = {each.key: each for each in (mine, *others)}

    def then(self, method: str, arguments: Arguments) -> None:
        """Make this call after the response of the one in hand, under its call id (section 5.4)."""
        self.implied.append((method, arguments))


def view_of(services: Services, account: Account) -> AccountView:
    """What is read of an account's mail."""
    return services.store if account.loan is None else account.loan.view


def blobs_of(services: Services, account: Account) -> Blobs:
    """The blobs of an account."""
    return services.blobs if account.loan is None else account.loan.blobs


class Method(Protocol):
    """One line of the table."""

    @property
    def name(self) -> str:
        """``Foo/get``."""
        ...

    @property
    def capability(self) -> str:
        """The URN in ``using`` without which the method is unknown, and which the account must have."""
        ...

    @property
    def action(self) -> str:
        """The rule of ``identity.roles`` it is under."""
        ...

    @property
    def writes(self) -> bool:
        """Whether it may change the account: one that is read-only answers ``accountReadOnly``."""
        ...

    @property
    def form(self) -> type[msgspec.Struct] | None:
        """Its arguments; ``account_id`` and ``from_account_id`` among them become the call's accounts.

        None: any, as a plain object."""
        ...

    async def run(self, call: Call, arguments: Any) -> dict[str, object]:
        """The arguments of its response. Errors: MethodError, MailError."""
        ...
