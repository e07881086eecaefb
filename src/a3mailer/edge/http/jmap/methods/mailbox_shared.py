"""Mailbox with ``shareWith`` and ``mayShare``, for who uses urn:ietf:params:jmap:mail:share (RFC 9670 section
4, draft-ietf-jmap-mail-sharing); to all others a mailbox is what RFC 8621 says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from a3mailer.edge.http.jmap.capabilities import SHARE
from a3mailer.edge.http.jmap.mailbox_changing import above
from a3mailer.edge.http.jmap.mailbox_rights import MAY_SHARE
from a3mailer.edge.http.jmap.mailbox_sharing import SHARE_WITH, Sharer, same
from a3mailer.edge.http.jmap.mailbox_tree import Tree
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.methods import mailbox
from a3mailer.edge.http.jmap.methods.mailbox import MAILBOXES, Mailboxes, MailboxSetArguments
from a3mailer.edge.http.jmap.records import By, Created, Property, Record, Update, Updated
from a3mailer.edge.http.jmap.replies import set_error
from a3mailer.edge.http.jmap.standard.get import Get
from a3mailer.mail.errors import MailError
from a3mailer.mail.ids import MailboxId
from a3mailer.store.rows import Mailbox
from a3mailer.wire.jmap.errors import SetError
from a3mailer.wire.jmap.values import Id

PROPERTIES: Final = {
    **mailbox.PROPERTIES,
    SHARE_WITH: Property(SHARE_WITH, dict[Id, dict[str, bool]] | None, By.CLIENT, None),
}


class SharedMailboxes(Mailboxes):
    """The type."""

    @property
    def properties(self) -> Mapping[str, Property]:
        return PROPERTIES

    async def _boxes(self, call: Call) -> Tree:
        return Tree.of(await call.view.mailboxes(call.account.id))

    async def read(self, call: Call, ids: Any, properties: frozenset[str]) -> Mapping[str, Record]:
        records = await Mailboxes.read(self, call, ids, properties)
        tree, sharer = await self._boxes(call), Sharer(call)
        for id, record in records.items():
            box = tree.get(id)
            if box is not None:
                await _complete(sharer, box, record)
        return records

    async def create(self, call: Call, records: Mapping[str, Record]) -> Created:
        """A new one begins with the rights of its parent, whatever is wanted: what becomes of it is told."""
        done: dict[str, Record | SetError] = {}
        for key, given in records.items():
            record = dict(given)
            wanted = record.pop(SHARE_WITH)
            try:
                if wanted is not None:
                    await _may_begin(call, record["parentId"])
                    await Sharer(call).asked(wanted, None)
                made = (await Mailboxes.create(self, call, {key: record}))[key]
                done[key] = made if isinstance(made, SetError) else await self._made(call, made, wanted)
            except SetError as error:
                done[key] = error
            except MailError as error:
                done[key] = set_error(error)
        return done

    async def _made(self, call: Call, made: Record, wanted: Any) -> Record:
        box = (await self._boxes(call)).get(made["id"])
        if box is None:
            return made
        if wanted is not None:
            await Sharer(call).share(box, wanted)
        await _complete(Sharer(call), box, made)
        return made

    async def update(self, call: Call, updates: Mapping[str, Update]) -> Updated:
        done: dict[str, Record | SetError | None] = {}
        plain: dict[str, Update] = {}
        for id, each in updates.items():
            try:
                plain[id] = await self._asked(call, id, each)
            except SetError as error:
                done[id] = error
        done |= await Mailboxes.update(self, call, plain)
        for id in plain:
            told = done[id]
            if not isinstance(told, SetError):
                try:
                    done[id] = await self._shared(call, id, updates[id], told)
                except SetError as error:
                    done[id] = error
                except MailError as error:
                    done[id] = set_error(error)
        return done

    async def _asked(self, call: Call, id: str, update: Update) -> Update:
        """What else is to become of it, once it is known that it may be shared so. Errors: SetError."""
        if _wants(update):
            box = (await self._boxes(call)).get(id)
            if box is None:
                raise SetError("notFound")
            if not await Sharer(call).may(box):
                raise SetError("forbidden", "this needs the right a on the mailbox")
            await Sharer(call).asked(update.changed[SHARE_WITH], update.record[SHARE_WITH])
        changed = {name: each for name, each in update.changed.items() if name != SHARE_WITH}
        return replace(update, changed=changed)

    async def _shared(self, call: Call, id: str, update: Update, told: Record | None) -> Record | None:
        if not _wants(update):
            return told
        box = (await self._boxes(call)).get(id)
        if box is None:
            raise SetError("notFound")
        wanted = update.changed[SHARE_WITH]
        after = await Sharer(call).share(box, wanted)
        return told if after == wanted else {**(told or {}), SHARE_WITH: after}


async def _may_begin(call: Call, parent: str | None) -> None:
    """Errors: SetError where what will be below a mailbox is not the asker's to share."""
    account, number = call.account, MailboxId(above(parent))
    if not await call.services.sharing.rights.may(call.principal, "mailbox.share", account.id, number):
        raise SetError("forbidden", "this needs the right a on the mailbox above")


def _wants(update: Update) -> bool:
    return SHARE_WITH in update.changed and not same(update.changed[SHARE_WITH], update.record[SHARE_WITH])


async def _complete(sharer: Sharer, box: Mailbox, record: Record) -> None:
    record["myRights"] = {**record["myRights"], MAY_SHARE: await sharer.may(box)}
    record[SHARE_WITH] = await sharer.shares(box)


class MailboxGet(Get):
    """Mailbox/get."""

    async def run(self, call: Call, arguments: Any) -> dict[str, object]:
        return await Get(of(call), self.form).run(call, arguments)


class MailboxSet(mailbox.MailboxSet):
    """Mailbox/set."""

    def of(self, call: Call) -> Mailboxes:
        return of(call)


def of(call: Call) -> Mailboxes:
    """The type, as the request knows it."""
    return SHARED if SHARE in call.exchange.using else MAILBOXES


SHARED: Final = SharedMailboxes()
METHODS: Final[tuple[Method, ...]] = (MailboxGet(MAILBOXES), MailboxSet(MAILBOXES, MailboxSetArguments))
