"""Mailboxes that want each other's names or roles in one call (RFC 8620 section 5.3): each gives up what
another wants. They change together, by names in between, or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from a3mailer.edge.http.jmap.mailbox_tree import Tree, full_name_of, parent_id, role_of
from a3mailer.edge.http.jmap.records import Record
from a3mailer.mail.ids import INBOX, AccountId, MailboxId
from a3mailer.mail.objectids import MAILBOX_LETTER, number_of, object_id
from a3mailer.store.operations import Operation, RenameMailbox, SetMailbox
from a3mailer.store.rows import Mailbox
from a3mailer.wire.jmap.errors import SetError

OperationsOf = Callable[[Tree, Mailbox, Record], list[Operation]]
"""What makes a mailbox what it is to be. Errors: SetError."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one record wants that no two may have."""

    wants: frozenset[str]
    gives_up: frozenset[str]


def circles(claims: Mapping[str, Claim], holders: Mapping[str, str]) -> Iterable[tuple[str, ...]]:
    """Those that can be done together and only so, in groups; ``holders``: by what is held, whose it is."""
    settled: set[str] = set()
    for id in claims:
        if id in settled:
            continue
        group: dict[str, None] = {}
        waiting = [id]
        possible = True
        while waiting and possible:
            one = waiting.pop()
            if one in group:
                continue
            group[one] = None
            for wanted in claims[one].wants:
                holder = holders.get(wanted)
                if holder is None or holder == one:
                    continue
                possible = holder in claims and wanted in claims[holder].gives_up and holder not in settled
                if not possible:
                    break
                waiting.append(holder)
        if possible and len(group) > 1:
            settled.update(group)
            yield tuple(each for each in claims if each in group)


def holders(tree: Tree) -> dict[str, str]:
    """Whose each name and role is."""
    found: dict[str, str] = {}
    for box in tree.boxes.values():
        id = object_id(MAILBOX_LETTER, box.id)
        found[f"name {box.name}"] = id
        if (role := role_of(box)) is not None:
            found[f"role {role}"] = id
    return found


def claims(tree: Tree, changes: Mapping[str, Record]) -> dict[str, Claim]:
    """What each of these wants and gives up; those that cannot be are left out."""
    found: dict[str, Claim] = {}
    for id, changed in changes.items():
        box = tree.get(id)
        if box is None or box.id == INBOX:
            continue
        try:
            name = full_name_of(tree, box, changed)
        except SetError:
            continue
        wants = {f"name {name}"} if name != box.name else set()
        gives_up = {f"name {box.name}"} if name != box.name else set()
        if "role" in changed:
            wants |= {f"role {changed['role']}"} - {"role None"}
            gives_up.add(f"role {role_of(box)}")
        found[id] = Claim(frozenset(wants), frozenset(gives_up))
    return found


def exchanged(
    account: AccountId, tree: Tree, changes: Mapping[str, Record], operations_of: OperationsOf
) -> list[Operation]:
    """First all give up what they had, for a name that nobody has; then each takes what it wants.

    Errors: SetError."""
    operations: list[Operation] = []
    wanted: dict[str, Record] = {}
    for id, changed in changes.items():
        box = tree.get(id)
        assert box is not None
        wanted[id] = dict(changed)
        if "name" in changed or "parentId" in changed:
            wanted[id] = {"name": tree.name(box), "parentId": parent_id(tree, box), **changed}
    for id, changed in wanted.items():
        number = MailboxId(number_of(MAILBOX_LETTER, id) or 0)
        if "name" in changed:
            operations.append(RenameMailbox(account, number, secrets.token_hex(16)))
        if "role" in changed:
            operations.append(SetMailbox(account, number, special_use=""))
    for each in operations:
        tree = tree.after(each)
    for id, changed in wanted.items():
        box = tree.get(id)
        assert box is not None
        for each in operations_of(tree, box, changed):
            operations.append(each)
            tree = tree.after(each)
    return operations
