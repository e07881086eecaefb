"""What others lend somebody, an account each (RFC 8620 section 1.6.2): its view, and what is kept of it.

    for loan in await loans.of(principal): ...      those who let it list a mailbox at least, by account

A loan stands for a scope (``lent.Lent.scope``): where something else is lent, it is another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from a3mailer.access.account_mail import KEPT_EMAILS, KEPT_OCTETS, AllMail
from a3mailer.access.blobs import Blobs
from a3mailer.access.lent import Lent
from a3mailer.access.rights import Rights, object_of
from a3mailer.identity.principal import Object, Principal
from a3mailer.mail.ids import AccountId, TenantId
from a3mailer.mail.rights import ROOT, canonical
from a3mailer.runtime.clock import Clock
from a3mailer.store.ports import Store

KEPT: Final = 256
"""Loans that are kept in a worker."""
_Key = tuple[AccountId, str, str, frozenset[str], AccountId]
"""Whose, by which address, in which role, with which scopes of a token; of which account."""


@dataclass(frozen=True, slots=True)
class Loan:
    """One account of another."""

    account: AccountId
    tenant: TenantId
    address: str
    prefix: str
    """The levels before the names of its mailboxes, as the reader subscribes to them."""
    scope: str
    view: Lent
    mail: AllMail
    blobs: Blobs
    letters: Mapping[int, str]
    """The rights on each mailbox that may be listed, by its number, and on the account itself (``ROOT``)."""
    target: Object
    """What may be done somewhere in it: whether that is so of a mailbox is asked with ``letters``."""
    subscribed: bool
    """To one of its mailboxes at least (RFC 9670 section 1.4)."""

    def has(self, mailbox: int, letters: str) -> bool:
        """Whether all these rights are there."""
        return set(letters) <= set(self.letters.get(mailbox, ""))


class Loans:
    """All of a worker; who was asked for longest ago is forgotten first."""

    __slots__ = ("_clock", "_kept", "_rights", "_store")

    def __init__(self, store: Store, rights: Rights, clock: Clock) -> None:
        self._store = store
        self._rights = rights
        self._clock = clock
        self._kept: dict[_Key, Loan] = {}

    async def of(self, subject: Principal) -> tuple[Loan, ...]:
        """As of now. Errors: MailError."""
        found: list[Loan] = []
        for account in sorted(await self._rights.lenders(subject)):
            key = (subject.account, subject.address, subject.role, subject.scopes, account)
            loan = await self._loan(subject, account, self._kept.pop(key, None))
            if loan is not None:
                self._kept[key] = loan
                found.append(loan)
        if found:
            self._make_room(len(found))
        return tuple(found)

    async def anew(self, subject: Principal) -> tuple[Loan, ...]:
        """The same after mailboxes came or went, which have rights that nobody has asked for yet."""
        self._rights.forget()
        return await self.of(subject)

    async def _loan(self, subject: Principal, account: AccountId, kept: Loan | None) -> Loan | None:
        owner = await self._rights.owner(account)
        if owner is None:
            return None
        view = Lent(self._store, self._rights, subject, account) if kept is None else kept.view
        letters = {int(box.id): await view.letters(box.id) for box in await self._store.mailboxes(account)}
        letters = {box: given for box, given in letters.items() if given}
        if not letters:
            return None
        letters[int(ROOT)] = await view.letters(ROOT)
        scope, subscribed = await view.standing()
        if kept is not None and kept.letters == letters and kept.address == owner.address:
            return kept if kept.scope == scope else replace(kept, scope=scope, subscribed=subscribed)
        if kept is not None:
            view = Lent(self._store, self._rights, subject, account)
        return Loan(
            account,
            owner.tenant,
            owner.address,
            owner.prefix(subject),
            scope,
            view,
            AllMail(self._store, view),
            Blobs(self._store, self._clock, view, subject.account),
            letters,
            object_of(subject, account, canonical("".join(letters.values()))),
            subscribed,
        )

    def _make_room(self, new: int) -> None:
        """Forget the oldest while it is too much, but for the newest ones."""
        emails = sum(each.mail.emails for each in self._kept.values())
        octets = sum(each.mail.octets for each in self._kept.values())
        for key in list(self._kept)[:-new]:
            if len(self._kept) <= KEPT and emails <= KEPT_EMAILS and octets <= KEPT_OCTETS:
                break
            oldest = self._kept.pop(key)
            emails -= oldest.mail.emails
            octets -= oldest.mail.octets
