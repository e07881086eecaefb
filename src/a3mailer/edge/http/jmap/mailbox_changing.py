"""What changing a mailbox comes to (RFC 8621 section 2.5), in one's own account and in another's.

In another's the rights on each mailbox decide, roles and places are the owner's, and subscriptions are the
reader's: one subscribes by name (``access.subscriptions``), so they follow what is renamed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Mapping, Sequence
from typing import Final

from a3mailer.access.subscriptions import subscribe, unsubscribe
from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.limits import MAX_SIZE_MAILBOX_NAME
from a3mailer.edge.http.jmap.mailbox_tree import ROLES, Tree, full_name_of, parent_id, role_of
from a3mailer.edge.http.jmap.records import Record, Update
from a3mailer.edge.http.jmap.replies import set_error
from a3mailer.mail.errors import AlreadyExists, BadName, MailError, NotAllowed
from a3mailer.mail.ids import INBOX
from a3mailer.mail.mailbox import SEPARATOR
from a3mailer.mail.objectids import MAILBOX_LETTER, number_of, object_id
from a3mailer.mail.rights import ROOT
from a3mailer.store.operations import Operation, RenameMailbox, SetMailbox
from a3mailer.store.rows import Mailbox
from a3mailer.wire.jmap.errors import SetError, Taken, invalid_properties

OWNERS: Final = ("role", "sortOrder")
"""What an account's owner alone decides."""


def changed_of(update: Update) -> Record:
    """The properties that become others. Errors: SetError."""
    changed = {name: each for name, each in update.changed.items() if each != update.record[name]}
    if "name" in changed:
        changed["name"] = own_name(changed["name"])
    return changed


def told_of(update: Update, changed: Record) -> Record | None:
    """What became of it beyond the patch."""
    name = changed.get("name")
    return {"name": name} if name is not None and name != update.changed.get("name") else None


def changing(account: Account, tree: Tree, box: Mailbox, changed: Record) -> list[Operation]:
    """What is to be done, but for subscriptions to what is another's; what is as it was is left alone.

    Errors: SetError."""
    operations = _renaming(account, tree, box, changed)
    subscribed = changed.get("isSubscribed")
    if account.loan is not None:
        by_the_owner(changed)
        subscribed = None
    use = special_use(tree, changed["role"], box) if "role" in changed else None
    attributes = SetMailbox(account.id, box.id, subscribed, use, sort_order=changed.get("sortOrder"))
    if (attributes.subscribed, attributes.special_use, attributes.sort_order) != (None, None, None):
        operations.append(attributes)
    return operations


def _renaming(account: Account, tree: Tree, box: Mailbox, changed: Record) -> list[Operation]:
    name = full_name_of(tree, box, changed)
    if name == box.name:
        return []
    if box.id == INBOX:
        raise SetError("forbidden", "INBOX stays what it is")
    if name.startswith(box.name + SEPARATOR):
        raise invalid_properties("parentId", because="a mailbox is not below itself")
    account.needs("x", box.id)
    account.needs("k", above(changed.get("parentId", parent_id(tree, box))))
    return [RenameMailbox(account.id, box.id, name)]


def above(parent: str | None) -> int:
    """The mailbox whose rights say whether another may be below it."""
    number = number_of(MAILBOX_LETTER, parent) if parent is not None else None
    return int(ROOT) if number is None else number


def by_the_owner(changed: Container[str]) -> None:
    """Errors: SetError where what only an account's owner decides becomes another."""
    if any(name in changed for name in OWNERS):
        raise SetError("forbidden", "role and sortOrder are the owner's")


def subscribing(
    account: Account, tree: Tree, operations: Sequence[Operation], changes: Mapping[str, Record]
) -> list[Operation]:
    """What the reader of another's account is subscribed to after these operations, and is no more."""
    if account.loan is None:
        return []
    after = tree
    for each in operations:
        after = after.after(each)
    was = {box.name for box in tree.boxes.values() if box.subscribed}
    now = {
        box.name
        for box in after.boxes.values()
        if changes.get(object_id(MAILBOX_LETTER, box.id), {}).get("isSubscribed", box.subscribed)
    }
    reader, prefix = account.loan.view.subject.account, account.loan.prefix
    return [
        *[unsubscribe(reader, prefix + name) for name in sorted(was - now)],
        *[subscribe(reader, prefix + name) for name in sorted(now - was)],
    ]


def own_name(name: str) -> str:
    """A name as Net-Unicode has it (RFC 5198 section 2). Errors: SetError."""
    made = unicodedata.normalize("NFC", name)
    if len(made.encode()) > MAX_SIZE_MAILBOX_NAME:
        raise invalid_properties("name", because=f"more than {MAX_SIZE_MAILBOX_NAME} octets")
    return made


def special_use(tree: Tree, role: str | None, box: Mailbox | None) -> str:
    """Errors: SetError where the role cannot be given, or another mailbox has it."""
    if role is None or (box is not None and role == role_of(box)):
        if box is not None and box.id == INBOX and role is None:
            raise invalid_properties("role", because="INBOX keeps its role")
        return "" if role is None or box is None else box.special_use
    if role not in ROLES or (box is not None and box.id == INBOX):
        raise invalid_properties("role", because="no mailbox can be given this role")
    if any(role_of(each) == role for each in tree.boxes.values()):
        raise Taken("invalidProperties", "another mailbox has this role", properties=["role"])
    return ROLES[role]


def name_error(tree: Tree, error: MailError) -> SetError:
    """What is told of it. Clients ask for the id of one that has the name (RFC 8620 section 5.4)."""
    there = tree.by_name.get(str(error)) if isinstance(error, AlreadyExists) else None
    if there is not None:
        id = object_id(MAILBOX_LETTER, there.id)
        return Taken("alreadyExists", "another mailbox has this name", existingId=id)
    if isinstance(error, AlreadyExists | BadName):
        return invalid_properties("name", because=str(error))
    return SetError("forbidden", str(error)) if isinstance(error, NotAllowed) else set_error(error)
