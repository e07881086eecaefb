"""Mailbox (RFC 8621 section 2): get, changes, query, queryChanges, set.

A mailbox's name is the last level of the one IMAP knows; its parent is the nearest mailbox above it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from a3mailer.access.account_changes import State, Told, mailboxes_changed
from a3mailer.access.loans import Loan
from a3mailer.access.subscriptions import subscribe, unsubscribe
from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.capabilities import MAIL
from a3mailer.edge.http.jmap.limits import MAX_SIZE_MAILBOX_NAME
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.records import (
    By,
    Changes,
    Comparator,
    Created,
    Destroyed,
    Listed,
    Operator,
    Property,
    Record,
    Results,
    Update,
    Updated,
    table,
)
from a3mailer.edge.http.jmap.replies import set_error
from a3mailer.edge.http.jmap.standard.changes import Changes as ChangesMethod
from a3mailer.edge.http.jmap.standard.get import Get
from a3mailer.edge.http.jmap.standard.query import Query, QueryArguments, QueryChanges, QueryChangesArguments
from a3mailer.edge.http.jmap.standard.set import Set, SetArguments
from a3mailer.edge.http.jmap.states import as_changes, state_of, told_since
from a3mailer.mail.errors import AlreadyExists, BadName, MailError, NotAllowed
from a3mailer.mail.ids import INBOX
from a3mailer.mail.mailbox import INBOX_NAME, SEPARATOR, parents
from a3mailer.mail.objectids import MAILBOX_LETTER, number_of, object_id
from a3mailer.mail.rights import ROOT
from a3mailer.store.operations import (
    CreateMailbox,
    DeleteMailbox,
    MailboxCreated,
    Operation,
    RenameMailbox,
    SetMailbox,
)
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import Mailbox
from a3mailer.wire.jmap.errors import SetError, invalid_properties
from a3mailer.wire.jmap.values import Id, Ref, UnsignedInt

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
COUNTS: Final = ("totalEmails", "unreadEmails", "totalThreads", "unreadThreads")
ROUNDS: Final = 8
"""How often updates are tried while others of the same call succeed."""
MAX_SORT_ORDER: Final = (1 << 31) - 1
RIGHTS: Final = {
    "mayReadItems": "lr",
    "mayAddItems": "i",
    "mayRemoveItems": "te",
    "maySetSeen": "s",
    "maySetKeywords": "w",
    "mayCreateChild": "k",
    "mayRename": "x",
    "mayDelete": "x",
    "maySubmit": "p",
}
"""``myRights``, and what each is in another's mailbox (section 2)."""


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

    def has_child(self, box: Mailbox) -> bool:
        """Is another one below it?"""
        return any(name.startswith(box.name + SEPARATOR) for name in self.by_name)


def role_of(box: Mailbox) -> str | None:
    """Its role."""
    return "inbox" if box.id == INBOX else _SPECIAL_USES.get(box.special_use)


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A FilterCondition (section 2.3)."""

    parent_id: Id | msgspec.UnsetType | None = msgspec.UNSET
    name: str | msgspec.UnsetType = msgspec.UNSET
    role: str | msgspec.UnsetType | None = msgspec.UNSET
    has_any_role: bool | msgspec.UnsetType = msgspec.UNSET
    is_subscribed: bool | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """The type."""

    remove_emails: bool = False
    """``onDestroyRemoveEmails`` of the call in hand."""
    sort_as_tree: bool = False
    filter_as_tree: bool = False
    name: str = "Mailbox"
    capability: str = MAIL
    action: str = "mailbox.list"
    change_action: str = "mailbox.change"
    singleton: bool = False
    condition: type[msgspec.Struct] = Condition
    sorts: frozenset[str] = frozenset(("sortOrder", "name", "parentId"))

    @property
    def properties(self) -> Mapping[str, Property]:
        return PROPERTIES

    async def state(self, call: Call) -> str:
        return await state_of(call.services, call.account)

    async def _tree(self, call: Call) -> Tree:
        return Tree.of(await call.view.mailboxes(call.account.id))

    # --- reading -----------------------------------------------------------------------------------

    async def ids(self, call: Call, most: int) -> Sequence[str]:
        return [object_id(MAILBOX_LETTER, number) for number in sorted((await self._tree(call)).boxes)]

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        tree = await self._tree(call)
        found = {id: box for id in ids if (box := tree.get(id)) is not None}
        records = {id: _record(tree, box, call.account) for id, box in found.items()}
        if found and not properties.isdisjoint(COUNTS):
            mail = await call.mail.of(call.account.id)
            for id, box in found.items():
                counts = mail.counted(box.id)
                values = (counts.emails, counts.unread, counts.threads, counts.unread_threads)
                records[id].update(zip(COUNTS, values, strict=True))
        return records

    async def changes(self, call: Call, since: str, most: int) -> Changes:
        only_counts = False

        async def read(state: State) -> Told:
            nonlocal only_counts
            told, only_counts = await mailboxes_changed(call.view, call.account.id, state, most)
            return told

        told = await told_since(call.account, since, read)
        only_counts = only_counts and bool(told.of("updated"))
        return as_changes(
            call.account, told, MAILBOX_LETTER, {"updatedProperties": COUNTS if only_counts else None}
        )

    async def query(self, call: Call, filter: Any, sort: Sequence[Comparator]) -> Results:
        state = await self.state(call)
        tree = await self._tree(call)
        matching = {number for number, box in tree.boxes.items() if _matches(filter, tree, box)}
        if self.filter_as_tree:
            matching = {number for number in matching if _above(tree, number) <= matching}
        order = _sorted(tree, matching, sort, as_tree=self.sort_as_tree)
        return Listed([object_id(MAILBOX_LETTER, number) for number in order], state)

    # --- changing ----------------------------------------------------------------------------------

    async def create(self, call: Call, records: Mapping[str, Record]) -> Created:
        made: dict[str, Record | SetError] = {}
        for key, record in records.items():
            try:
                made[key] = await self._create(call, record)
            except MailError as error:
                made[key] = _name_error(error)
            except SetError as error:
                made[key] = error
        return made

    async def _create(self, call: Call, record: Record) -> Record:
        tree = await self._tree(call)
        own_name = _own_name(record["name"])
        name = _full_name(tree, own_name, record["parentId"])
        use = _special_use(tree, record["role"], None)
        store, account, loan = call.services.store, call.account.id, call.account.loan
        create = CreateMailbox(account, name, use, bool(record["isSubscribed"]))
        operations: tuple[Operation, ...] = (create,)
        if loan is not None:
            call.account.needs("k", _number(record["parentId"]))
            _owners(record, {"role": None, "sortOrder": 0})
            operations = (
                CreateMailbox(account, name),
                *_subscribing(loan, None, name, record["isSubscribed"]),
            )
        done, *_ = await store.commit(Transaction(operations, tenant=call.account.tenant))
        assert isinstance(done, MailboxCreated)
        await call.renew()
        if record["sortOrder"]:
            change = SetMailbox(account, done.mailbox, sort_order=record["sortOrder"])
            await store.commit(Transaction((change,), tenant=call.account.tenant))
        made = {"id": object_id(MAILBOX_LETTER, done.mailbox), **dict.fromkeys(COUNTS, 0)}
        box = await store.mailbox(account, done.mailbox)
        if own_name != record["name"]:
            made["name"] = own_name
        return made | {"myRights": _rights(box, call.account)}

    async def update(self, call: Call, updates: Mapping[str, Update]) -> Updated:
        """What one gives up another may take in the same call, whichever is first (RFC 8620 section 5.3)."""
        done: dict[str, Record | SetError | None] = {}
        waiting = list(updates)
        for _ in range(ROUNDS):
            for id in waiting:
                try:
                    done[id] = await self._update(call, id, updates[id])
                except MailError as error:
                    done[id] = _name_error(error)
                except SetError as error:
                    done[id] = error
            refused = [id for id in waiting if isinstance(done[id], SetError)]
            if not refused or len(refused) == len(waiting):
                break
            waiting = refused
        return done

    async def _update(self, call: Call, id: str, update: Update) -> Record | None:
        """What became of it beyond the patch. What is as it was is left alone."""
        tree = await self._tree(call)
        box = tree.get(id)
        if box is None:
            raise SetError("notFound")
        changed = {name: each for name, each in update.changed.items() if each != update.record[name]}
        named = changed.get("name")
        if named is not None:
            changed["name"] = _own_name(named)
        account, loan = call.account.id, call.account.loan
        operations = _renaming(call.account, tree, box, changed)
        if loan is not None:
            _owners(changed, update.record)
            wanted = changed.pop("isSubscribed", box.subscribed)
            operations += _subscribing(loan, box, _full_name_of(tree, box, changed), wanted)
        use = _special_use(tree, changed["role"], box) if "role" in changed else None
        attributes = SetMailbox(
            account, box.id, changed.get("isSubscribed"), use, sort_order=changed.get("sortOrder")
        )
        if (attributes.subscribed, attributes.special_use, attributes.sort_order) != (None, None, None):
            operations.append(attributes)
        if operations:
            await call.services.store.commit(Transaction(tuple(operations), tenant=call.account.tenant))
            await call.renew()
        return {"name": changed["name"]} if named != changed.get("name") else None

    async def destroy(self, call: Call, ids: Sequence[str]) -> Destroyed:
        tree = await self._tree(call)
        done: dict[str, SetError | None] = {}
        known = {id: box for id in ids if (box := tree.get(id)) is not None}
        done.update({id: SetError("notFound") for id in ids if id not in known})
        for id, box in sorted(known.items(), key=lambda each: -each[1].name.count(SEPARATOR)):
            try:
                done[id] = await self._destroy(call, box)
            except SetError as error:
                done[id] = error
            except MailError as error:
                done[id] = set_error(error)
        return done

    async def _destroy(self, call: Call, box: Mailbox) -> SetError | None:
        tree = await self._tree(call)
        call.account.needs("lrx", box.id)  # whether mail is in it is seen by who may read
        if tree.has_child(box):
            return SetError("mailboxHasChild")
        if not self.remove_emails:
            mail = await call.mail.of(call.account.id)
            if mail.counted(box.id).emails:
                return SetError("mailboxHasEmail")
        else:
            call.account.needs("te", box.id)
        delete = DeleteMailbox(call.account.id, box.id)
        await call.services.store.commit(Transaction((delete,), tenant=call.account.tenant))
        await call.renew()
        return None


def _record(tree: Tree, box: Mailbox, account: Account) -> Record:
    return {
        "id": object_id(MAILBOX_LETTER, box.id),
        "name": tree.name(box),
        "parentId": _parent_id(tree, box),
        "role": role_of(box),
        "sortOrder": box.sort_order,
        "myRights": _rights(box, account),
        "isSubscribed": box.subscribed,
    }


def _rights(box: Mailbox, account: Account) -> dict[str, bool]:
    kept = ("mayRename", "mayDelete") if box.id == INBOX else ()
    loan = account.loan
    return {
        right: right not in kept and (loan is None or loan.has(box.id, letters))
        for right, letters in RIGHTS.items()
    }


def _number(parent_id: str | None) -> int:
    """The mailbox whose rights say whether another may be made below it."""
    number = number_of(MAILBOX_LETTER, parent_id) if parent_id is not None else None
    return int(ROOT) if number is None else number


def _owners(changed: Mapping[str, object], before: Mapping[str, object]) -> None:
    """What an account's owner alone decides. Errors: SetError."""
    if any(changed.get(name, before[name]) != before[name] for name in ("role", "sortOrder")):
        raise SetError("forbidden", "role and sortOrder are the owner's")


def _subscribing(loan: Loan, before: Mailbox | None, name: str, wanted: object) -> list[Operation]:
    """To another's mailbox one subscribes by name (``access.subscriptions``)."""
    reader = loan.view.subject.account
    was = before.name if before is not None and before.subscribed else None
    now = name if wanted else None
    if was == now:
        return []
    left = [] if was is None else [unsubscribe(reader, loan.prefix + was)]
    return left if now is None else [*left, subscribe(reader, loan.prefix + now)]


def _full_name_of(tree: Tree, box: Mailbox, changed: Mapping[str, Any]) -> str:
    """What a mailbox will be called. Errors: SetError."""
    if "name" not in changed and "parentId" not in changed:
        return box.name
    return _full_name(
        tree, changed.get("name", tree.name(box)), changed.get("parentId", _parent_id(tree, box))
    )


def _parent_id(tree: Tree, box: Mailbox) -> str | None:
    parent = tree.parent(box)
    return None if parent is None else object_id(MAILBOX_LETTER, parent.id)


def _renaming(account: Account, tree: Tree, box: Mailbox, changed: Mapping[str, Any]) -> list[Operation]:
    """Errors: SetError."""
    name = _full_name_of(tree, box, changed)
    if name == box.name:
        return []
    if box.id == INBOX:
        raise SetError("forbidden", "INBOX stays what it is")
    if name.startswith(box.name + SEPARATOR):
        raise invalid_properties("parentId", because="a mailbox is not below itself")
    account.needs("x", box.id)
    account.needs("k", _number(changed.get("parentId", _parent_id(tree, box))))
    return [RenameMailbox(account.id, box.id, name)]


def _own_name(name: str) -> str:
    """A name as Net-Unicode has it (RFC 5198 section 2). Errors: SetError."""
    made = unicodedata.normalize("NFC", name)
    if len(made.encode()) > MAX_SIZE_MAILBOX_NAME:
        raise invalid_properties("name", because=f"more than {MAX_SIZE_MAILBOX_NAME} octets")
    return made


def _full_name(tree: Tree, name: str, parent_id: str | None) -> str:
    """As IMAP has it. Errors: SetError."""
    if SEPARATOR in name:
        raise invalid_properties("name", because=f"a name has no {SEPARATOR}")
    if parent_id is None:
        return INBOX_NAME if name.upper() == INBOX_NAME else name
    parent = tree.get(parent_id)
    if parent is None:
        raise invalid_properties("parentId", because="there is no such mailbox")
    return f"{parent.name}{SEPARATOR}{name}"


def _special_use(tree: Tree, role: str | None, box: Mailbox | None) -> str:
    """Errors: SetError where the role cannot be given, or another mailbox has it."""
    if role is None or (box is not None and role == role_of(box)):
        if box is not None and box.id == INBOX and role is None:
            raise invalid_properties("role", because="INBOX keeps its role")
        return "" if role is None or box is None else box.special_use
    if role not in ROLES or (box is not None and box.id == INBOX):
        raise invalid_properties("role", because="no mailbox can be given this role")
    if any(role_of(each) == role for each in tree.boxes.values()):
        raise invalid_properties("role", because="another mailbox has this role")
    return ROLES[role]


def _name_error(error: MailError) -> SetError:
    if isinstance(error, AlreadyExists | BadName):
        return invalid_properties("name", because=str(error))
    return SetError("forbidden", str(error)) if isinstance(error, NotAllowed) else set_error(error)


# --- query -------------------------------------------------------------------------------------------


def _matches(filter: Any, tree: Tree, box: Mailbox) -> bool:
    if filter is None:
        return True
    if isinstance(filter, Operator):
        found = [_matches(each, tree, box) for each in filter.conditions]
        return {"AND": all(found), "OR": any(found), "NOT": not any(found)}[filter.operator]
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


def _above(tree: Tree, number: int) -> set[int]:
    """All mailboxes above one."""
    found: set[int] = set()
    box = tree.parent(tree.boxes[number])
    while box is not None:
        found.add(int(box.id))
        box = tree.parent(box)
    return found


def _sorted(tree: Tree, numbers: set[int], sort: Sequence[Comparator], *, as_tree: bool) -> list[int]:
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


# --- methods -----------------------------------------------------------------------------------------


class MailboxQueryArguments(QueryArguments, frozen=True, kw_only=True, rename="camel"):
    """Section 2.3."""

    sort_as_tree: bool = False
    filter_as_tree: bool = False


class MailboxQueryChangesArguments(QueryChangesArguments, frozen=True, kw_only=True, rename="camel"):
    """Section 2.4."""

    sort_as_tree: bool = False
    filter_as_tree: bool = False


class MailboxSetArguments(SetArguments, frozen=True, kw_only=True, rename="camel"):
    """Section 2.5."""

    on_destroy_remove_emails: bool = False


class MailboxQuery(Query):
    """Mailbox/query."""

    async def run(self, call: Call, arguments: Any) -> dict[str, object]:
        return await Query(_as_tree(arguments)).run(call, arguments)


class MailboxQueryChanges(QueryChanges):
    """Mailbox/queryChanges."""

    async def run(self, call: Call, arguments: Any) -> dict[str, object]:
        records = _as_tree(arguments)
        if arguments.sort_as_tree or arguments.filter_as_tree:
            records = InTree(sort_as_tree=arguments.sort_as_tree, filter_as_tree=arguments.filter_as_tree)
        return await QueryChanges(records).run(call, arguments)


def _as_tree(arguments: Any) -> Mailboxes:
    return replace(MAILBOXES, sort_as_tree=arguments.sort_as_tree, filter_as_tree=arguments.filter_as_tree)


class InTree(Mailboxes):
    """As /queryChanges sees it where a mailbox's place depends on those above it: each may be another."""

    async def changes(self, call: Call, since: str, most: int) -> Changes:
        found = await Mailboxes.changes(self, call, since, most)
        if found.further["updatedProperties"] is not None or not (
            found.created or found.updated or found.destroyed
        ):
            return found
        others = [id for id in await self.ids(call, most) if id not in found.created]
        return replace(found, updated=others)


class MailboxSet(Set):
    """Mailbox/set."""

    async def run(self, call: Call, arguments: Any) -> dict[str, object]:
        return await Set(replace(MAILBOXES, remove_emails=arguments.on_destroy_remove_emails)).run(
            call, arguments
        )


PROPERTIES: Final = table(
    Property("name", Annotated[str, Meta(min_length=1, max_length=1024)], By.CLIENT),
    Property("parentId", Ref | None, By.CLIENT, None, refers=True),
    Property("role", str | None, By.CLIENT, None),
    Property("sortOrder", Annotated[int, Meta(ge=0, le=MAX_SORT_ORDER)], By.CLIENT, 0),
    *[Property(name, UnsignedInt) for name in COUNTS],
    Property("myRights", dict),
    Property("isSubscribed", bool, By.CLIENT, True),
)
MAILBOXES: Final = Mailboxes()
METHODS: Final[tuple[Method, ...]] = (
    Get(MAILBOXES),
    ChangesMethod(MAILBOXES),
    MailboxQuery(MAILBOXES, MailboxQueryArguments),
    MailboxQueryChanges(MAILBOXES, MailboxQueryChangesArguments),
    MailboxSet(MAILBOXES, MailboxSetArguments),
)
