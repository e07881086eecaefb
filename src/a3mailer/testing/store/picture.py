"""A picture of a store: everything that can be read through its doors, as plain values that compare.

Blob ids are random, so contents stand in their place; queue ids may be named by the caller, so that the
pictures of two backends that number differently are equal.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Final

from a3mailer.mail.errors import NoSuchMessage
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import AccountId, BlobId, EmailId, ModSeq, QueueId, ThreadId, Uid
from a3mailer.store.ports import Store
from a3mailer.store.rows import Account, Columns, Fragments, Mailbox, Message

REPORTS: Final = ("dmarc", "tls")
"""Kinds of reports that the rules tally."""
KINDS: Final = ("template", "hook", "mail", "outcome", "event", "key", "sieve", "sieve-roll", "metadata")
"""Of documents."""
READERS: Final = (AccountId(1), AccountId(2))
"""Of others' mailboxes, in the rules."""
FOR_EVER: Final = 1 << 60
Picture = dict[str, Any]
Name = Callable[[QueueId], int]


def own_number(queue: QueueId) -> int:
    """Queue entries as the backend numbers them."""
    return int(queue)


async def picture(store: Store, name: Name = own_number) -> Picture:
    """Everything that can be read now. Errors: those of the readers."""
    accounts = await store.accounts()
    found: Picture = {
        "domains": await store.domains(),
        "aliases": await store.aliases(),
        "settings": await store.settings(),
        "audit": await store.audit(),
        "queue": await _queue(store, name),
        "finished": [replace(r, queue=QueueId(name(r.queue))) for r in (await store.finished()).rows],
        "reports": await store.reports(),
        "tallies": [
            await store.tallies(kind, *place)
            for kind in REPORTS
            for place in await store.tallied(kind, FOR_EVER)
        ],
    }
    for account in accounts:
        found[f"account {account.id}"] = await _account(store, account)
    return found


async def _queue(store: Store, name: Name) -> list[dict[str, Any]]:
    rows = []
    for entry in await store.queue():
        assert await store.queue_entry(entry.id) == entry
        row = asdict(entry)
        row["id"] = name(entry.id)
        row["blob"] = await _digest(store, entry.account, entry.blob)
        rows.append(row)
    return sorted(rows, key=lambda row: int(row["id"]))


async def _account(store: Store, account: Account) -> Picture:
    assert await store.account(account.id) == account
    assert await store.address(account.address) is not None
    mailboxes = await store.mailboxes(account.id)
    vault = await store.vault(account.id)
    emails = {m.email for m in vault}
    found: Picture = {
        "account": account,
        "addresses": await store.addresses_of(account.id),
        "credentials": sorted((c.kind, c.name, c) for c in await store.credentials(account.id)),
        "documents": [await store.documents(account.id, kind) for kind in KINDS],
        "grants": await store.grants(account.id),
        "vault": sorted([await _message(store, m) for m in vault], key=lambda m: (m["mailbox"], m["uid"])),
    }
    for box in mailboxes:
        found[f"mailbox {box.id}"] = await _mailbox(store, box)
        emails.update(m.email for m in await _messages(store, box))
    fragments = await store.fragments(account.id, sorted(emails))
    found["emails"] = [await _fragments(store, account.id, each) for each in fragments]
    found["whole"] = await _whole(store, account, sorted(emails))
    numbers = array("Q", sorted(emails))
    found["envelopes"] = await store.envelopes(account.id, numbers)
    found["bodystructures"] = await store.bodystructures(account.id, numbers)
    return found


async def _whole(store: Store, account: Account, emails: list[EmailId]) -> tuple[Any, ...]:
    columns = await store.account_columns(account.id)
    places = await store.places(account.id, emails)
    threads = sorted({ThreadId(thread) for thread in columns.threads})
    rows = sorted((m.mailbox, m.uid, m.email, m.thread, m.flags, m.internal_date, m.size) for m in places)
    lists = (columns.mailboxes, columns.uids, columns.emails, columns.threads, columns.flags, columns.dates,
             columns.sizes)  # fmt: skip
    assert rows == list(zip(*lists, strict=True))
    assert await store.thread_places(account.id, threads) == places
    changes = [await store.account_changes(account.id, ModSeq(n)) for n in (0, account.modseq // 2)]
    return columns.keywords, columns.modseq, changes


async def _messages(store: Store, box: Mailbox) -> tuple[Message, ...]:
    _, columns = await store.columns(box.account, box.id)
    return await store.messages(box.account, box.id, [Uid(uid) for uid in columns.uids])


async def _mailbox(store: Store, box: Mailbox) -> Picture:
    assert await store.mailbox(box.account, box.id) == box
    assert await store.mailbox_named(box.account, box.name) == box
    same, columns = await store.columns(box.account, box.id)
    assert same == box
    changes = await store.changes(box.account, box.id, ModSeq(0))
    middle = await store.changes(box.account, box.id, ModSeq(box.modseq // 2))
    return {
        "readers": [await _as_seen(store, box, reader) for reader in READERS],
        "row": box,
        "columns": plain_columns(columns),
        "twins": await store.twins(box.account, box.id),
        "messages": [await _message(store, m) for m in await _messages(store, box)],
        "changed": plain_columns(changes.changed),
        "vanished": list(changes.vanished),
        "since the middle": (plain_columns(middle.changed), list(middle.vanished)),
        "complete": (changes.complete, middle.complete),
    }


async def _as_seen(store: Store, box: Mailbox, reader: AccountId) -> tuple[Any, ...]:
    row = await store.mailbox_seen_by(reader, box.account, box.id)
    same, columns = await store.columns_seen_by(reader, box.account, box.id)
    assert row == same
    unseen = [at for at, flags in enumerate(columns.flags) if not flags & SEEN]
    assert await store.first_unseen_by(reader, box.account, box.id) == (box.modseq, (*unseen, -1)[0])
    assert row in await store.mailboxes_seen_by(reader, box.account)
    assert row == replace(box, unseen=sum(not flags & SEEN for flags in columns.flags))
    middle = await store.changes_seen_by(reader, box.account, box.id, ModSeq(box.modseq // 2))
    return row, plain_columns(columns), plain_columns(middle.changed), list(middle.vanished), middle.complete


def plain_columns(columns: Columns) -> tuple[Any, ...]:
    """Columns that compare whatever array types they are made of."""
    return (
        list(columns.uids),
        list(columns.flags),
        dict(columns.keywords),
        list(columns.modseqs),
        list(columns.emails),
        list(columns.sizes),
    )


async def _message(store: Store, message: Message) -> dict[str, Any]:
    row = asdict(message)
    row["blob"] = await _digest(store, message.account, message.blob)
    return row


async def _fragments(store: Store, account: AccountId, fragments: Fragments) -> dict[str, Any]:
    row = asdict(fragments)
    row["blob"] = await _digest(store, account, fragments.blob)
    return row


async def _digest(store: Store, account: AccountId, blob: BlobId) -> str:
    try:
        octets = await store.octets(account, blob)
    except NoSuchMessage:
        return "gone"
    return f"{len(octets)} {hashlib.sha256(octets).hexdigest()}"
