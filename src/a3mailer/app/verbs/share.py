"""Who may use the mailboxes of a shared account or a list: rights of RFC 4314, given from outside.

People share their own mailboxes themselves; an administrator gives nobody access to a person's mail.
"""

from __future__ import annotations

from typing import Final

from a3mailer.access.rights import SHARED_KINDS, Rights
from a3mailer.access.sharing import Sharing
from a3mailer.app.verbs.office import Office, Request, subject_of
from a3mailer.identity.directory import Directory
from a3mailer.identity.names import clean_address
from a3mailer.identity.principal import Principal
from a3mailer.identity.roles import require
from a3mailer.mail.errors import BadName, NoSuchAccount
from a3mailer.mail.ids import MailboxId
from a3mailer.mail.rights import ALL_RIGHTS, ROOT
from a3mailer.store.operations import ChangeGrant
from a3mailer.store.rows import Account

WORDS: Final = {"read": "lrs", "write": "lrswite", "all": ALL_RIGHTS}
"""Rights by name."""


class Owner(Request, frozen=True, kw_only=True):
    address: str


class Set(Request, frozen=True, kw_only=True):
    address: str
    who: str
    """An address, a group, or anyone; with - before it the rights are taken away."""
    rights: str
    """Letters of RFC 4314, or one of WORDS; empty: none any more."""
    mailbox: str = ""
    """Empty: all there are and will be."""


async def _found(office: Office, action: str, address: str) -> Account:
    """Errors: NoSuchAccount, BadName."""
    name = clean_address(address)
    entry = await office.store.address(name)
    account = await office.store.account(entry.account) if entry and entry.account else None
    if account is None or account.address != name:
        raise NoSuchAccount(f"no account {name}")
    require(office.subject, action, subject_of(account), NoSuchAccount)
    if account.kind not in SHARED_KINDS:
        raise BadName(f"{name} is a person, who shares by a mail program")
    return account


async def set_(office: Office, request: Set) -> dict[str, object]:
    """Give or take rights. Errors: NoSuchAccount, NoSuchMailbox, BadName, TooMany."""
    account = await _found(office, "share.change", request.address)
    letters = WORDS.get(request.rights, request.rights)
    if not set(letters) <= set(ALL_RIGHTS):
        raise BadName(f"rights are {', '.join(WORDS)}, or letters of {ALL_RIGHTS}")
    rights = Rights(office.store, Directory(office.store, office.settings))
    owner = Principal(account.id, account.tenant, account.address, account.role, account.address)
    identifier = await rights.identifier(owner, request.who)
    if request.mailbox:
        places: list[MailboxId] = [(await office.store.mailbox_named(account.id, request.mailbox)).id]
    else:
        places = [ROOT, *(row.id for row in await office.store.mailboxes(account.id))]
    changes = [ChangeGrant(account.id, place, identifier, "=", letters) for place in places]
    detail = {"who": request.who, "rights": letters, "mailbox": request.mailbox}
    operations = await Sharing(office.store, rights, office.clock).announced(office.subject, *changes)
    await office.change("share.change", account.address, *operations, **detail)
    return {"address": account.address, "who": await rights.shown(identifier), "rights": letters}


async def list_(office: Office, request: Owner) -> list[dict[str, object]]:
    """Who may do what. Errors: NoSuchAccount, BadName."""
    account = await _found(office, "share.list", request.address)
    rights = Rights(office.store, Directory(office.store, office.settings))
    names = {row.id: row.name for row in await office.store.mailboxes(account.id)}
    found: list[dict[str, object]] = []
    for row in await office.store.grants(account.id):
        mailbox = names.get(row.mailbox, "")
        found.append({"mailbox": mailbox, "who": await rights.shown(row.identifier), "rights": row.rights})
    return found
