"""Which mailboxes a filter names, and in what order (RFC 8621 section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from a3mailer.edge.http.jmap.mailbox_tree import Tree, role_of
from a3mailer.edge.http.jmap.records import Comparator
from a3mailer.mail.objectids import MAILBOX_LETTER, object_id
from a3mailer.store.rows import Mailbox
from a3mailer.wire.jmap.values import Id


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A FilterCondition (section 2.3)."""

    parent_id: Id | msgspec.UnsetType | None = msgspec.UNSET
    name: str | msgspec.UnsetType = msgspec.UNSET
    role: str | msgspec.UnsetType | None = msgspec.UNSET
    has_any_role: bool | msgspec.UnsetType = msgspec.UNSET
    is_subscribed: bool | msgspec.UnsetType = msgspec.UNSET


def matches(tree: Tree, box: Mailbox, filter: Any) -> bool:
    """Is the mailbox one of those that a condition means?"""
    unset = msgspec.UNSET
    parent = tree.parent(box)
    role = role_of(box)
    return all(
        (
            filter.parent_id is unset
            or filter.parent_id == (parent and object_id(MAILBOX_LETTER, parent.id)),
            filter.name is unset or filter.name.lower() in tree.name(box).lower(),
            filter.role is unset or filter.role == role,
            filter.has_any_role is unset or filter.has_any_role is (role is not None),
            filter.is_subscribed is unset or filter.is_subscribed is box.subscribed,
        )
    )


def all_above(tree: Tree, number: int) -> set[int]:
    """All mailboxes above one."""
    found: set[int] = set()
    box = tree.parent(tree.boxes[number])
    while box is not None:
        found.add(int(box.id))
        box = tree.parent(box)
    return found


def in_order(tree: Tree, numbers: set[int], sort: Sequence[Comparator], *, as_tree: bool) -> list[int]:
    """These mailboxes, sorted; in a tree each is followed by those below it."""

    def key(number: int, comparator: Comparator) -> Any:
        box = tree.boxes[number]
        if comparator.property == "sortOrder":
            return box.sort_order
        if comparator.property == "parentId":
            parent = tree.parent(box)
            return 0 if parent is None else int(parent.id)
        return tree.name(box).casefold()

    order = sorted(tree.boxes)
    for comparator in reversed(sort):
        order.sort(key=lambda number: key(number, comparator), reverse=not comparator.is_ascending)
    if not as_tree:
        return [number for number in order if number in numbers]
    below: dict[int, list[int]] = {}
    for number in order:
        parent = tree.parent(tree.boxes[number])
        below.setdefault(0 if parent is None else int(parent.id), []).append(number)
    found: list[int] = []
    waiting = list(reversed(below.get(0, [])))
    while waiting:
        number = waiting.pop()
        found.append(number)
        waiting += reversed(below.get(number, []))
    return [number for number in found if number in numbers]
