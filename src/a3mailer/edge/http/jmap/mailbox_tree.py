"""The mailboxes of an account as JMAP sees them (RFC 8621 section 2): a tree of names, and roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from a3mailer.edge.http.jmap.records import Record
from a3mailer.mail.ids import INBOX
from a3mailer.mail.mailbox import SEPARATOR, parents, with_inbox
from a3mailer.mail.objectids import MAILBOX_LETTER, number_of, object_id
from a3mailer.store.operations import Operation, RenameMailbox, SetMailbox
from a3mailer.store.rows import Mailbox
from a3mailer.wire.jmap.errors import invalid_properties

ROLES: Final = {
    "all": "\\All",
    "archive": "\\Archive",
    "drafts": "\\Drafts",
    "flagged": "\\Flagged",
    "important": "\\Important",
    "junk": "\\Junk",
    "sent": "\\Sent",
    "trash": "\\Trash",
}
"""Roles and the special uses of IMAP (RFC 6154); ``inbox`` is INBOX and no other."""
_SPECIAL_USES: Final = {use: role for role, use in ROLES.items()}


@dataclass(frozen=True, slots=True)
class Tree:
    """The mailboxes of an account."""

    boxes: Mapping[int, Mailbox]
    by_name: Mapping[str, Mailbox]

    @classmethod
    def of(cls, boxes: Sequence[Mailbox]) -> Tree:
        return cls({int(box.id): box for box in boxes}, {box.name: box for box in boxes})

    def parent(self, box: Mailbox) -> Mailbox | None:
        """The nearest one above that exists."""
        found = (self.by_name.get(name) for name in reversed(parents(box.name)))
        return next((each for each in found if each is not None), None)

    def name(self, box: Mailbox) -> str:
        """Its name below its parent."""
        parent = self.parent(box)
        return box.name if parent is None else box.name[len(parent.name) + 1 :]

    def get(self, id: object) -> Mailbox | None:
        """By its id in JMAP."""
        number = number_of(MAILBOX_LETTER, id) if isinstance(id, str) else None
        return None if number is None else self.boxes.get(number)

    def after(self, operation: Operation) -> Tree:
        """As it will be when a mailbox was renamed, or has another role."""
        boxes = list(self.boxes.values())
        if isinstance(operation, RenameMailbox):
            old = self.boxes[operation.mailbox].name
            for at, box in enumerate(boxes):
                if box.name == old or box.name.startswith(old + SEPARATOR):
                    boxes[at] = replace(box, name=operation.name + box.name[len(old) :])
        elif isinstance(operation, SetMailbox) and operation.special_use is not None:
            box = self.boxes[operation.mailbox]
            boxes[boxes.index(box)] = replace(box, special_use=operation.special_use)
        return Tree.of(boxes)

    def has_child(self, box: Mailbox) -> bool:
        """Is another one below it?"""
        return any(name.startswith(box.name + SEPARATOR) for name in self.by_name)


def role_of(box: Mailbox) -> str | None:
    """Its role."""
    return "inbox" if box.id == INBOX else _SPECIAL_USES.get(box.special_use)


def full_name(tree: Tree, name: str, above: str | None) -> str:
    """As IMAP has it. Errors: SetError."""
    if SEPARATOR in name:
        raise invalid_properties("name", because=f"a name has no {SEPARATOR}")
    if above is None:
        return with_inbox(name)
    parent = tree.get(above)
    if parent is None:
        raise invalid_properties("parentId", because="there is no such mailbox")
    return f"{parent.name}{SEPARATOR}{name}"


def full_name_of(tree: Tree, box: Mailbox, changed: Record) -> str:
    """What it will be called. Errors: SetError."""
    if "name" not in changed and "parentId" not in changed:
        return box.name
    parent = changed.get("parentId", parent_id(tree, box))
    return full_name(tree, changed.get("name", tree.name(box)), parent)


def parent_id(tree: Tree, box: Mailbox) -> str | None:
    """The id of the one above it."""
    parent = tree.parent(box)
    return None if parent is None else object_id(MAILBOX_LETTER, parent.id)
