"""``shareWith`` of mailboxes: who may use one (RFC 9670 section 4, draft-ietf-jmap-mail-sharing).

It shows the grants of IMAP's ACL (RFC 4314) by Principal, to who may change them (right ``a``); what an
identifier is refused (``-bob``) is left out, and stays as it is. Changes go the way of SETACL: the one judge,
and a notification for whoever is concerned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from a3mailer.access.people import Person, id_of
from a3mailer.access.rights import Rights
from a3mailer.edge.http.jmap.mailbox_rights import ALL, letters_of, shown
from a3mailer.edge.http.jmap.method import Call
from a3mailer.mail.rights import MAX_GRANTS, NEGATIVE, changed, of_account
from a3mailer.store.operations import ChangeGrant
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import Mailbox
from a3mailer.wire.jmap.errors import SetError, invalid_properties

SHARE_WITH: Final = "shareWith"
Shares = dict[str, dict[str, bool]]
"""Rights by the id of a Principal."""


@dataclass(frozen=True, slots=True)
class Sharer:
    """The mailboxes of one account, as somebody shares them who may."""

    call: Call

    @property
    def _rights(self) -> Rights:
        return self.call.services.sharing.rights

    async def may(self, box: Mailbox) -> bool:
        """Whether the asker may say who uses it."""
        return await self._rights.may(self.call.principal, "mailbox.share", box.account, box.id)

    async def _grants(self, box: Mailbox) -> Mapping[str, str]:
        owner = await self._rights.owner(box.account)
        return {} if owner is None else owner.grants.get(box.id, {})

    async def shares(self, box: Mailbox) -> Shares | None:
        """As it is shown; None: it is shared with nobody, or that is not the asker's to know."""
        if not await self.may(box):
            return None
        grants = await self._grants(box)
        found: Shares = {}
        for identifier, letters in grants.items():
            if not identifier.startswith(NEGATIVE) and identifier != of_account(box.account):
                left = changed(letters, "-", grants.get(NEGATIVE + identifier, ""))
                found[id_of(identifier)] = shown(left)
        return found or None

    async def asked(self, wanted: Shares | None, before: Shares | None) -> dict[str, Person]:
        """Those whose rights become others, by id. Errors: SetError."""
        wanted, before = wanted or {}, before or {}
        if len(wanted) > MAX_GRANTS:
            raise invalid_properties(SHARE_WITH, because=f"more than {MAX_GRANTS} Principals")
        if any(not rights.keys() <= ALL.keys() for rights in wanted.values()):
            raise invalid_properties(SHARE_WITH, because="there is no such right")
        if id_of(of_account(self.call.account.id)) in wanted:
            raise invalid_properties(SHARE_WITH, because="the owner has all rights")
        seen = await self.call.services.people.seen_by(self.call.principal)
        found: dict[str, Person] = {}
        for id in dict.fromkeys((*wanted, *before)):
            if id in before and id in wanted and before[id] == _whole(wanted[id]):
                continue
            person = seen.get(id)
            if person is None:
                raise invalid_properties(SHARE_WITH, because=f"there is no Principal {id[:100]}")
            found[id] = person
        return found

    async def share(self, box: Mailbox, wanted: Shares | None) -> Shares | None:
        """Make it so; what it is then. Errors: SetError, MailError."""
        if not await self.may(box):
            raise SetError("forbidden", "this needs the right a on the mailbox")
        wanted = wanted or {}
        grants = await self._grants(box)
        changes: list[ChangeGrant] = []
        before = await self.shares(box) or {}
        for id, person in (await self.asked(wanted, before)).items():
            had = grants.get(person.identifier, "")
            letters = letters_of(had, wanted[id], before.get(id)) if id in wanted else ""
            change = await self._rights.granting(box, person.identifier, "=", letters)
            if change is not None and letters != had:
                changes.append(change)
        if changes:
            operations = await self.call.services.sharing.announced(self.call.principal, *changes)
            tenant = self.call.account.tenant
            await self.call.services.store.commit(Transaction(operations, tenant=tenant))
            self._rights.forget()
            await self.call.renew()
        return await self.shares(box)


def _whole(rights: Mapping[str, bool]) -> dict[str, bool]:
    """What is not named is not wanted."""
    return {right: rights.get(right, False) for right in ALL}


def same(one: Shares | None, other: Shares | None) -> bool:
    """Whether both mean the same."""
    first, second = one or {}, other or {}
    return first.keys() == second.keys() and all(_whole(first[id]) == _whole(second[id]) for id in first)
