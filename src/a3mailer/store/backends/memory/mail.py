"""Mailboxes and messages: one function an operation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from msgspec import structs

from a3mailer.mail.errors import (
    AlreadyExists,
    BadName,
    NoSuchMailbox,
    NoSuchMessage,
    NotAllowed,
    OverQuota,
    TooMany,
)
from a3mailer.mail.flags import DELETED, MAX_MAILBOX_KEYWORDS, SEEN, keywords_text
from a3mailer.mail.ids import INBOX, AccountId, BlobId, EmailId, MailboxId, ModSeq, ThreadId, Uid
from a3mailer.mail.mailbox import MAX_MAILBOXES, canonical_name
from a3mailer.mail.rights import ROOT
from a3mailer.store import operations as op
from a3mailer.store.backends.memory import documents, grants, seen, twins
from a3mailer.store.backends.memory.state import Gone, State
from a3mailer.store.rows import Account, Fragments, Mailbox, Message

DAY: Final = 86400


def bump(state: State, account: AccountId, mailbox: MailboxId | None = None) -> ModSeq:
    """The account's next modseq; a mailbox that is named takes it as its HIGHESTMODSEQ."""
    row = state.account(account)
    modseq = ModSeq(row.modseq + 1)
    state.put(state.accounts, account, replace(row, modseq=modseq))
    if mailbox is not None:
        box = state.mailbox(account, mailbox)
        state.put(state.mailboxes, (account, mailbox), replace(box, modseq=modseq))
        state.changed(account, mailbox, modseq)
    else:
        state.changed(account, 0, modseq)
    return modseq


def next_modseq(state: State, account: AccountId, mailboxes: Iterable[MailboxId]) -> ModSeq:
    """The account's next modseq, for all of these mailboxes."""
    row = state.account(account)
    modseq = ModSeq(row.modseq + 1)
    state.put(state.accounts, account, replace(row, modseq=modseq))
    for mailbox in mailboxes:
        box = state.mailbox(account, mailbox)
        state.put(state.mailboxes, (account, mailbox), replace(box, modseq=modseq))
        state.changed(account, mailbox, modseq)
    return modseq


def _by_name(state: State, account: AccountId, name: str) -> Mailbox | None:
    for (owner, _), box in state.mailboxes.items():
        if owner == account and box.name == name:
            return box
    return None


def _recount(state: State, box: Mailbox, message: Message, sign: int) -> None:
    box = state.mailbox(box.account, box.id)
    state.put(
        state.mailboxes,
        (box.account, box.id),
        replace(
            box,
            messages=box.messages + sign,
            unseen=box.unseen + sign * (not message.flags & SEEN),
            deleted=box.deleted + sign * bool(message.flags & DELETED),
            octets=box.octets + sign * message.size,
        ),
    )
    account = state.account(box.account)
    state.put(
        state.accounts,
        account.id,
        replace(
            account,
            used_octets=account.used_octets + sign * message.size,
            used_messages=account.used_messages + sign,
        ),
    )


def create_mailbox(state: State, o: op.CreateMailbox) -> op.MailboxCreated:
    """RFC 9051 section 6.3.4."""
    state.account(o.account)
    name = canonical_name(o.name)
    if _by_name(state, o.account, name):
        raise AlreadyExists(name)
    if sum(1 for owner, _ in state.mailboxes if owner == o.account) >= MAX_MAILBOXES:
        raise TooMany(f"more than {MAX_MAILBOXES} mailboxes")
    parent = name.rpartition("/")[0]
    if parent and not _by_name(state, o.account, parent):
        create_mailbox(state, op.CreateMailbox(o.account, parent))
    modseq = bump(state, o.account)
    mailbox = MailboxId(state.next(o.account, "mailbox"))
    validity = max(state.counters.get((o.account, "validity"), 0) + 1, state.now)
    state.put(state.counters, (o.account, "validity"), validity)
    box = Mailbox(
        account=o.account, id=mailbox, name=name, uid_validity=validity, uid_next=Uid(1), modseq=modseq,
        messages=0, unseen=0, deleted=0, octets=0, special_use=o.special_use, subscribed=o.subscribed,
        expire_days=0, keywords=(), added=modseq, changed=modseq,
    )  # fmt: skip
    state.put(state.mailboxes, (o.account, mailbox), box)
    state.put(state.messages, (o.account, mailbox), {})
    state.put(state.gone, (o.account, mailbox), {})
    above = _by_name(state, o.account, parent) if parent else None
    grants.inherit(state, o.account, mailbox, above.id if above else ROOT)
    return op.MailboxCreated(mailbox, validity, modseq)


def rename_mailbox(state: State, o: op.RenameMailbox) -> op.Done:
    """RFC 9051 section 6.3.6."""
    box = state.mailbox(o.account, o.mailbox)
    name = canonical_name(o.name)
    if _by_name(state, o.account, name):
        raise AlreadyExists(name)
    if o.mailbox == INBOX:
        made = create_mailbox(state, op.CreateMailbox(o.account, name, subscribed=True))
        uids = tuple(Uid(uid) for uid in sorted(state.messages[o.account, INBOX]))
        copy(state, op.Copy(o.account, INBOX, uids, made.mailbox, move=True))
        return op.Done(state.account(o.account).modseq)
    if name.startswith(box.name + "/"):
        raise BadName("a mailbox cannot become its own child")
    parent = name.rpartition("/")[0]
    if parent and not _by_name(state, o.account, parent):
        create_mailbox(state, op.CreateMailbox(o.account, parent))
    modseq = bump(state, o.account)
    for key, row in list(state.mailboxes.items()):
        if key[0] == o.account and (row.id == box.id or row.name.startswith(box.name + "/")):
            fresh = canonical_name(name + row.name[len(box.name) :])
            if row.id != box.id and _by_name(state, o.account, fresh):
                raise AlreadyExists(fresh)
            state.put(state.mailboxes, key, replace(row, name=fresh, changed=modseq))
    return op.Done(modseq)


def delete_mailbox(state: State, o: op.DeleteMailbox) -> op.Done:
    """RFC 9051 section 6.3.5."""
    if o.mailbox == INBOX:
        raise NotAllowed("INBOX cannot be deleted")
    box = state.mailbox(o.account, o.mailbox)
    modseq = bump(state, o.account, box.id)
    for _, message in sorted(state.messages[o.account, box.id].items()):
        leave(state, message, modseq)
    state.put(state.mailboxes_gone, (o.account, o.mailbox), (modseq, box.added, state.now))
    state.drop(state.mailboxes, (o.account, o.mailbox))
    grants.forget(state, lambda owner, mailbox, _name: (owner, mailbox) == (o.account, o.mailbox))
    documents.forget_annotations(state, o.account, o.mailbox)
    state.changed(o.account, 0, modseq)
    return op.Done(modseq)


def set_mailbox(state: State, o: op.SetMailbox) -> op.Done:
    """Attributes."""
    box = state.mailbox(o.account, o.mailbox)
    modseq = bump(state, o.account)
    box = replace(
        box,
        subscribed=box.subscribed if o.subscribed is None else o.subscribed,
        special_use=box.special_use if o.special_use is None else o.special_use,
        expire_days=box.expire_days if o.expire_days is None else o.expire_days,
        sort_order=box.sort_order if o.sort_order is None else o.sort_order,
        changed=modseq,
    )
    state.put(state.mailboxes, (o.account, o.mailbox), box)
    return op.Done(modseq)


def notice(state: State, o: op.Notice) -> op.Noticed:
    """``Notice``."""
    box = state.mailbox(o.account, o.mailbox)
    until = min(o.until or box.uid_next, box.uid_next)
    if box.noticed < until:
        state.put(state.mailboxes, (o.account, o.mailbox), replace(box, noticed=until))
    return op.Noticed(min(box.noticed, until), until)


def append(state: State, o: op.Append) -> op.Appended:
    """RFC 9051 section 6.3.12, and delivery."""
    if o.delivery and (known := state.deliveries.get((o.account, o.delivery))):
        return known
    box = state.mailbox(o.account, o.mailbox)
    account = state.account(o.account)
    content = state.contents[o.content]
    size = len(content.octets)
    if o.check_quota:
        check_quota(account, size)
    email = EmailId(state.next(o.account, "email"))
    thread = _thread(state, o.account, content.index.thread_keys, email)
    blob = state.blob(o.content)
    index = content.index
    state.put(
        state.fragments,
        (o.account, email),
        Fragments(
            email=email, envelope=index.envelope, bodystructure=index.bodystructure, index=index.pack(),
            preview=index.preview, subject=index.subject, sent_date=index.date or 0,
            has_attachment=index.has_attachment, size=size, blob=blob,
        ),
    )  # fmt: skip
    message = Message(
        account=o.account, mailbox=o.mailbox, uid=Uid(0), email=email, thread=thread, flags=o.flags,
        keywords=keywords_text(o.keywords), modseq=ModSeq(0), internal_date=o.internal_date or state.now,
        saved_date=state.now, size=size, blob=blob,
    )  # fmt: skip
    modseq = next_modseq(state, o.account, (box.id, *o.also))
    message = enter(state, box, message, modseq)
    for number in o.also:
        enter(state, state.mailbox(o.account, number), message, modseq)
    result = op.Appended(o.mailbox, box.uid_validity, message.uid, message.modseq, email, thread)
    if o.delivery:
        state.put(state.deliveries, (o.account, o.delivery), result)
        state.put(state.delivered, (o.account, o.delivery), state.now)
    return result


def append_into(state: State, o: op.AppendInto) -> op.Appended:
    """RFC 5490 section 3.2."""
    if o.delivery and (o.account, o.delivery) in state.deliveries:
        return append(state, o)
    try:
        name = canonical_name(o.name)
        box = _by_name(state, o.account, name)
        created = op.CreateMailbox(o.account, name, o.special_use, subscribed=True)
        mailbox = box.id if box else create_mailbox(state, created).mailbox
    except (BadName, TooMany):
        mailbox = o.mailbox
    return append(state, structs.replace(o, mailbox=mailbox))


def check_quota(account: Account, octets: int) -> None:
    """Errors: OverQuota."""
    if account.quota and account.used_octets + octets > account.quota:
        raise OverQuota(f"{account.used_octets + octets} of {account.quota} octets")


def enter(state: State, box: Mailbox, message: Message, modseq: ModSeq) -> Message:
    """Give a message the next uid of a mailbox and count it."""
    box = state.mailbox(box.account, box.id)
    message = replace(message, mailbox=box.id, uid=box.uid_next, modseq=modseq, added=modseq)
    words = _with_keywords(box, message.keywords)
    state.put(
        state.mailboxes, (box.account, box.id), replace(box, uid_next=Uid(box.uid_next + 1), keywords=words)
    )
    state.put(state.messages[box.account, box.id], message.uid, message)
    _recount(state, box, message, +1)
    return message


def _with_keywords(box: Mailbox, keywords: str) -> tuple[str, ...]:
    words = tuple(sorted({*box.keywords, *keywords.split()}))
    if len(words) > MAX_MAILBOX_KEYWORDS:
        raise TooMany(f"more than {MAX_MAILBOX_KEYWORDS} keywords in a mailbox")
    return words


def _thread(state: State, account: AccountId, keys: tuple[bytes, ...], email: EmailId) -> ThreadId:
    """The thread of the first known key; a new one is named by its first email."""
    for key in keys:
        if (known := state.threads.get((account, key))) is not None:
            thread = known
            break
    else:
        thread = ThreadId(email)
    for key in keys:
        if (account, key) not in state.threads:
            state.put(state.threads, (account, key), thread)
    return thread


def copy(state: State, o: op.Copy) -> op.Copied:
    """RFC 9051 section 6.4.7; MOVE is RFC 6851. Both keep the email's identity (RFC 8474 section 5.1)."""
    source = state.mailbox(o.account, o.source)
    target = state.mailbox(o.account, o.target)
    rows = state.messages[o.account, o.source]
    found = [rows[uid] for uid in sorted(set(o.uids)) if uid in rows]
    if found and not o.move:
        check_quota(state.account(o.account), sum(m.size for m in found))
    if not found:
        return op.Copied(target.uid_validity, (), target.modseq)
    modseq = bump(state, o.account, target.id)
    pairs = []
    leaving = {message.uid for message in found} if o.move and source.id == target.id else frozenset()
    for message in found:
        mask = o.mask | (SEEN if o.reader else 0)  # of \\Seen the mark of the reader is meant
        keywords = message.keywords if o.words else ""
        kept = replace(message, saved_date=state.now, flags=message.flags & mask, keywords=keywords)
        entered = enter(state, target, kept, modseq)
        seen.carry(state, message, entered, AccountId(0) if o.mask & SEEN else o.reader)
        twins.carry(state, twins.of(state, message), entered, leaving)
        pairs.append((message.uid, entered.uid))
    if o.move:
        state.put(
            state.mailboxes,
            (o.account, source.id),
            replace(state.mailbox(o.account, source.id), modseq=modseq),
        )
        state.changed(o.account, source.id, modseq)
        for message in found:
            leave(state, message, modseq, moved=True)
    return op.Copied(target.uid_validity, tuple(pairs), modseq)


def leave(state: State, message: Message, modseq: ModSeq, moved: bool = False) -> None:
    """Out of its mailbox, which has this modseq already."""
    key = (message.account, message.mailbox)
    state.drop(state.messages[key], message.uid)
    gone = Gone(
        message.uid, modseq, state.now, replace(message, modseq=modseq), moved, message.email, message.thread,
        message.added,
    )  # fmt: skip
    state.put(state.gone[key], message.uid, gone)
    twins.forget(state, message)
    seen.forget(state, lambda mark: (mark[:2], mark[3]) == (key, message.uid))
    _recount(state, state.mailbox(*key), message, -1)


def store_flags(state: State, o: op.StoreFlags) -> op.Flagged:
    """RFC 9051 section 6.4.6; UNCHANGEDSINCE is RFC 7162."""
    box = state.mailbox(o.account, o.mailbox)
    rows = state.messages[o.account, o.mailbox]
    found = [rows[uid] for uid in sorted(set(o.uids)) if uid in rows]
    if o.reader:
        state.account(o.reader)
        found = [seen.as_seen(state, message, o.reader) for message in found]
    refused = tuple(m.uid for m in found if 0 <= o.unchanged_since < m.modseq)
    wanted: list[tuple[Message, int, str]] = []
    for message in found:
        if message.uid in refused:
            continue
        flags, keywords = _combined(o, message)
        if (flags, keywords) != (message.flags, message.keywords):
            wanted.append((message, flags, keywords))
    if not wanted:
        return op.Flagged((), refused, box.modseq)
    modseq = bump(state, o.account, o.mailbox)
    for message, flags, keywords in wanted:
        if o.reader:
            if (flags ^ message.flags) & SEEN:
                seen.put(state, message, o.reader, modseq, seen=bool(flags & SEEN))
            message = rows[message.uid]
            flags = flags & ~SEEN | message.flags & SEEN
            if (flags, keywords) == (message.flags, message.keywords):
                continue
        mark(state, message, replace(message, flags=flags, keywords=keywords, modseq=modseq))
    return op.Flagged(tuple(m.uid for m, _, _ in wanted), refused, modseq)


def mark(state: State, message: Message, changed: Message) -> None:
    """A row has other flags and keywords now."""
    key = (message.account, message.mailbox)
    box = state.mailbox(*key)
    _recount(state, box, message, -1)
    state.put(state.messages[key], message.uid, changed)
    _recount(state, box, changed, +1)
    box = state.mailbox(*key)
    state.put(state.mailboxes, key, replace(box, keywords=_with_keywords(box, changed.keywords)))


def _combined(o: op.StoreFlags, message: Message) -> tuple[int, str]:
    have, words = set(message.keywords.split()), set(o.keywords)
    if o.mode == "+":
        flags, words = message.flags | o.flags, have | words
    elif o.mode == "-":
        flags, words = message.flags & ~o.flags, have - words
    else:
        flags = o.flags
    flags = message.flags & ~o.mask | flags & o.mask
    return flags, keywords_text(tuple(words if o.words else have))


def expunge(state: State, o: op.Expunge) -> op.Expunged:
    """RFC 9051 section 6.4.3."""
    box = state.mailbox(o.account, o.mailbox)
    rows = state.messages[o.account, o.mailbox]
    found = [rows[uid] for uid in sorted(set(o.uids)) if uid in rows]
    if o.every and len(found) < len(set(o.uids)):
        raise NoSuchMessage("one of them is gone")
    if o.only_deleted:
        found = [m for m in found if m.flags & DELETED]
    if not found:
        return op.Expunged((), box.modseq)
    modseq = bump(state, o.account, o.mailbox)
    for message in found:
        leave(state, message, modseq)
    return op.Expunged(tuple(m.uid for m in found), modseq)


def undelete(state: State, o: op.Undelete) -> op.Copied:
    """Out of the vault: the newest row of each email, in the order the emails came."""
    target = state.mailbox(o.account, o.target)
    newest: dict[EmailId, tuple[tuple[AccountId, MailboxId], Gone]] = {}
    for key, table in state.gone.items():
        for gone in table.values():
            if key[0] == o.account and gone.message is not None and not gone.moved:
                known = newest.get(gone.message.email)
                if known is None or _age(*known) < _age(key, gone):
                    newest[gone.message.email] = (key, gone)
    wanted = [newest[email] for email in sorted(set(o.emails)) if email in newest]
    if not wanted:
        return op.Copied(target.uid_validity, (), target.modseq)
    modseq = bump(state, o.account, target.id)
    pairs = []
    for key, gone in wanted:
        assert gone.message is not None
        back = replace(gone.message, flags=gone.message.flags & ~DELETED, saved_date=state.now)
        entered = enter(state, target, back, modseq)
        twins.carry(state, 0, entered)
        state.put(state.gone[key], gone.uid, replace(gone, moved=True))
        pairs.append((gone.message.uid, entered.uid))
    return op.Copied(target.uid_validity, tuple(pairs), modseq)


def _age(key: tuple[AccountId, MailboxId], gone: Gone) -> tuple[int, int, int]:
    """Which of several rows of an email is the newest: those of one act follow their mailbox and uid."""
    return gone.modseq, key[1], gone.uid


def purge_vault(state: State, o: op.PurgeVault) -> op.Purged:
    """The vault period is over."""
    kept = [
        (gone.expunged_at, key, gone.modseq, gone.uid)
        for key, table in state.gone.items()
        for gone in table.values()
        if gone.message is not None and not gone.moved and gone.expunged_at < o.before
    ]
    over = sorted(kept)[: o.limit]
    for _, key, _, uid in over:
        _forget(state, state.gone[key], state.gone[key][uid])
    return op.Purged(len(over))


def _forget(state: State, table: dict[int, Gone], gone: Gone) -> None:
    """Leave a tombstone only; the email's fragments and contents go with its last holder."""
    message = gone.message
    assert message is not None
    state.put(table, gone.uid, replace(gone, message=None))
    if (
        not _held(state, message.account, message.email)
        and (message.account, message.email) in state.fragments
    ):
        state.drop(state.fragments, (message.account, message.email))
        release(state, message.blob)


def _held(state: State, account: AccountId, email: EmailId) -> bool:
    live = any(m.email == email for k, t in state.messages.items() if k[0] == account for m in t.values())
    return live or any(
        g.message is not None and not g.moved and g.message.email == email
        for k, t in state.gone.items()
        if k[0] == account
        for g in t.values()
    )


def release(state: State, blob: BlobId) -> None:
    """Drop a blob that no email and no queue entry holds any more."""
    used = any(f.blob == blob for f in state.fragments.values()) or any(
        entry.blob == blob for entry in state.queue.values()
    )
    used = used or any(held == blob for _, held, _ in state.uploads)
    if not used and blob in state.blobs:
        state.drop(state.blobs, blob)


def erase_emails(state: State, o: op.EraseEmails) -> op.Done:
    """Erasure overrides the vault."""
    wanted = set(o.emails)
    for (account, mailbox), table in sorted(state.messages.items()):
        uids = tuple(m.uid for m in table.values() if account == o.account and m.email in wanted)
        if uids:
            expunge(state, op.Expunge(account, mailbox, uids))
    for (account, _), gone_table in state.gone.items():
        for gone in list(gone_table.values()):
            if account == o.account and gone.message is not None and gone.message.email in wanted:
                _forget(state, gone_table, gone)
    return op.Done(state.account(o.account).modseq)


def expire_mailboxes(state: State, o: op.ExpireMailboxes) -> op.Purged:
    """Mailboxes with an expiry, by the date a message came into them."""
    count = 0
    for (account, mailbox), box in sorted(state.mailboxes.items()):
        if not box.expire_days:
            continue
        before = o.now - box.expire_days * DAY
        rows = sorted(state.messages[account, mailbox].items())
        uids = tuple(m.uid for _, m in rows if m.saved_date < before)[: o.limit - count]
        count += len(expunge(state, op.Expunge(account, mailbox, uids)).uids)
    return op.Purged(count)


def drop_tombstones(state: State, o: op.DropTombstones) -> op.Purged:
    """Oldest first."""
    old = sorted(
        (gone.expunged_at, key, gone.modseq, gone.uid)
        for key, table in state.gone.items()
        for gone in table.values()
        if (gone.message is None or gone.moved) and gone.expunged_at < o.before
    )[: o.limit]
    for _, key, modseq, uid in old:
        state.drop(state.gone[key], uid)
        state.put(state.forgotten, key, max(modseq, state.forgotten.get(key, ModSeq(0))))
        _forget_until(state, key[0], modseq)
    boxes = sorted((at, key, gone) for key, (gone, _, at) in state.mailboxes_gone.items() if at < o.before)
    for _, key, modseq in boxes[: o.limit]:
        state.drop(state.mailboxes_gone, key)
        _forget_until(state, key[0], modseq)
    return op.Purged(len(old))


def _forget_until(state: State, account: AccountId, modseq: ModSeq) -> None:
    if account in state.accounts:
        state.put(state.forgotten_of, account, max(modseq, state.forgotten_of.get(account, ModSeq(0))))


def find_mailbox(state: State, account: AccountId, name: str) -> Mailbox:
    """Errors: NoSuchMailbox."""
    box = _by_name(state, account, canonical_name(name))
    if box is None:
        raise NoSuchMailbox(name)
    return box
