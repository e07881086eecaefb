"""Mailbox (RFC 8621 section 2): changes, query, queryChanges; what get and set are without sharing.

A mailbox's name is the last level of the one IMAP knows; its parent is the nearest mailbox above it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from a3mailer.access.account_changes import State, Told, mailboxes_changed
from a3mailer.access.subscriptions import subscribe
from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.capabilities import MAIL
from a3mailer.edge.http.jmap.mailbox_changing import (
    OWNERS,
    above,
    by_the_owner,
    changed_of,
    changing,
    name_error,
    own_name,
    special_use,
    subscribing,
    told_of,
)
from a3mailer.edge.http.jmap.mailbox_exchange import circles, claims, exchanged, holders
from a3mailer.edge.http.jmap.mailbox_query import Condition, all_above, in_order, matches
from a3mailer.edge.http.jmap.mailbox_rights import RIGHTS
from a3mailer.edge.http.jmap.mailbox_tree import Tree, full_name, parent_id, role_of
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.records import (
    By,
    Changes,
    Comparator,
    Created,
    Destroyed,
    Listed,
    Property,
    Record,
    Results,
    Update,
    Updated,
    fits,
    table,
)
from a3mailer.edge.http.jmap.replies import set_error
from a3mailer.edge.http.jmap.standard.changes import Changes as ChangesMethod
from a3mailer.edge.http.jmap.standard.query import Query, QueryArguments, QueryChanges, QueryChangesArguments
from a3mailer.edge.http.jmap.standard.set import Set, SetArguments
from a3mailer.edge.http.jmap.states import as_changes, state_of, told_since
from a3mailer.mail.errors import MailError
from a3mailer.mail.ids import INBOX
from a3mailer.mail.mailbox import SEPARATOR
from a3mailer.mail.objectids import MAILBOX_LETTER, object_id
from a3mailer.store.operations import CreateMailbox, DeleteMailbox, MailboxCreated, Operation, SetMailbox
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import Mailbox
from a3mailer.wire.jmap.errors import MethodError, SetError
from a3mailer.wire.jmap.values import Ref, UnsignedInt

COUNTS: Final = ("totalEmails", "unreadEmails", "totalThreads", "unreadThreads")
ROUNDS: Final = 8
"""How often updates are tried while others of the same call succeed."""
MAX_SORT_ORDER: Final = (1 << 31) - 1


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
        matching = {number for number, box in tree.boxes.items() if fits(filter, partial(matches, tree, box))}
        if self.filter_as_tree:
            matching = {number for number in matching if all_above(tree, number) <= matching}
        order = in_order(tree, matching, sort, as_tree=self.sort_as_tree)
        return Listed([object_id(MAILBOX_LETTER, number) for number in order], state)

    # --- changing ----------------------------------------------------------------------------------

    async def create(self, call: Call, records: Mapping[str, Record]) -> Created:
        made: dict[str, Record | SetError] = {}
        for key, record in records.items():
            try:
                made[key] = await self._create(call, record)
            except MailError as error:
                made[key] = name_error(await self._tree(call), error)
            except SetError as error:
                made[key] = error
        return made

    async def _create(self, call: Call, record: Record) -> Record:
        tree = await self._tree(call)
        own = own_name(record["name"])
        name = full_name(tree, own, record["parentId"])
        use = special_use(tree, record["role"], None)
        store, account, loan = call.services.store, call.account.id, call.account.loan
        operations: tuple[Operation, ...] = (CreateMailbox(account, name, use, bool(record["isSubscribed"])),)
        if loan is not None:
            call.account.needs("k", above(record["parentId"]))
            by_the_owner([each for each in OWNERS if record[each]])
            operations = (CreateMailbox(account, name),)
            if record["isSubscribed"]:
                operations += (subscribe(loan.view.subject.account, loan.prefix + name),)
        done, *_ = await store.commit(Transaction(operations, tenant=call.account.tenant))
        assert isinstance(done, MailboxCreated)
        await call.renew()
        if record["sortOrder"]:
            change = SetMailbox(account, done.mailbox, sort_order=record["sortOrder"])
            await store.commit(Transaction((change,), tenant=call.account.tenant))
        made = {"id": object_id(MAILBOX_LETTER, done.mailbox), **dict.fromkeys(COUNTS, 0)}
        box = await store.mailbox(account, done.mailbox)
        if own != record["name"]:
            made["name"] = own
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
                    done[id] = name_error(await self._tree(call), error)
                except SetError as error:
                    done[id] = error
            refused = [id for id in waiting if isinstance(done[id], SetError)]
            if not refused or len(refused) == len(waiting):
                break
            waiting = refused
        return done | await self._exchange(call, {id: updates[id] for id in refused})

    async def _exchange(
        self, call: Call, updates: Mapping[str, Update]
    ) -> dict[str, Record | SetError | None]:
        """Those that want each other's names or roles: all of a circle in one transaction, or none."""
        done: dict[str, Record | SetError | None] = {}
        if len(updates) < 2:
            return done
        tree = await self._tree(call)
        changes: dict[str, Record] = {}
        for id, each in updates.items():
            with contextlib.suppress(SetError):
                changes[id] = changed_of(each)
        for circle in circles(claims(tree, changes), holders(tree)):
            wanted = {id: changes[id] for id in circle}
            try:
                renamed = exchanged(call.account.id, tree, wanted, partial(changing, call.account))
                await self._commit(call, renamed + subscribing(call.account, tree, renamed, wanted))
            except (MailError, SetError):
                continue  # each keeps the error of its own
            done.update({id: told_of(updates[id], changes[id]) for id in circle})
            tree = await self._tree(call)
        return done

    async def _commit(self, call: Call, operations: Sequence[Operation]) -> None:
        """Errors: MailError."""
        if operations:
            await call.services.store.commit(Transaction(tuple(operations), tenant=call.account.tenant))
            await call.renew()

    async def _update(self, call: Call, id: str, update: Update) -> Record | None:
        """What became of it beyond the patch. What is as it was is left alone."""
        tree = await self._tree(call)
        box = tree.get(id)
        if box is None:
            raise SetError("notFound")
        changed = changed_of(update)
        operations = changing(call.account, tree, box, changed)
        await self._commit(call, operations + subscribing(call.account, tree, operations, {id: changed}))
        return told_of(update, changed)

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
        await self._commit(call, [DeleteMailbox(call.account.id, box.id)])
        return None


def _record(tree: Tree, box: Mailbox, account: Account) -> Record:
    return {
        "id": object_id(MAILBOX_LETTER, box.id),
        "name": tree.name(box),
        "parentId": parent_id(tree, box),
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
    """Mailbox/set. What one subscribes to is one's own: that is so where all else can only be read."""

    writes: ClassVar = False

    async def run(self, call: Call, arguments: Any) -> dict[str, object]:
        if call.account.read_only and not _only_subscribes(arguments):
            raise MethodError("accountReadOnly")
        records = replace(self.of(call), remove_emails=arguments.on_destroy_remove_emails)
        return await Set(records).run(call, arguments)

    def of(self, call: Call) -> Mailboxes:
        """The type, as the request knows it."""
        return MAILBOXES


def _only_subscribes(arguments: SetArguments) -> bool:
    patches = (arguments.update or {}).values()
    return not (arguments.create or arguments.destroy) and all(
        each.keys() == {"isSubscribed"} for each in patches
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
    ChangesMethod(MAILBOXES),
    MailboxQuery(MAILBOXES, MailboxQueryArguments),
    MailboxQueryChanges(MAILBOXES, MailboxQueryChangesArguments),
)
"""Those of get and set are in ``mailbox_shared.py``."""
