"""An account's mail as a whole: by email, by thread, and what changed; and the operations on emails."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import replace

from a3mailer.mail.errors import NoSuchMailbox, NoSuchMessage
from a3mailer.mail.flags import DELETED, SEEN, keywords_text
from a3mailer.mail.ids import AccountId, EmailId, MailboxId, ModSeq
from a3mailer.store import operations as op
from a3mailer.store.backends.memory import seen, twins
from a3mailer.store.backends.memory.mail import check_quota, enter, leave, mark, next_modseq
from a3mailer.store.backends.memory.state import State
from a3mailer.store.rows import AccountChanges, AccountColumns, Departed, Message, Placed


def rows(state: State, account: AccountId) -> list[Message]:
    """Every live row, by mailbox and uid."""
    found = [m for (owner, _), table in state.messages.items() if owner == account for m in table.values()]
    return sorted(found, key=lambda m: (m.mailbox, m.uid))


def by_email(found: Iterable[Message]) -> tuple[Message, ...]:
    """By email, mailbox and uid."""
    return tuple(sorted(found, key=lambda m: (m.email, m.mailbox, m.uid)))


def columns(state: State, account: AccountId) -> AccountColumns:
    """All of it. Errors: NoSuchAccount."""
    found = rows(state, account)
    return AccountColumns(
        state.account(account).modseq,
        array("Q", (m.mailbox for m in found)),
        array("Q", (m.uid for m in found)),
        array("Q", (m.email for m in found)),
        array("Q", (m.thread for m in found)),
        bytearray(m.flags for m in found),
        {at: m.keywords for at, m in enumerate(found) if m.keywords},
        array("q", (m.internal_date for m in found)),
        array("Q", (m.size for m in found)),
    )


def changes(state: State, account: AccountId, since: ModSeq) -> AccountChanges:
    """Since a modseq. Errors: NoSuchAccount."""
    modseq = state.account(account).modseq
    boxes = [box for (owner, _), box in state.mailboxes.items() if owner == account]
    lost = {
        mailbox: (mailbox, added, gone)
        for (owner, mailbox), (gone, added, _) in state.mailboxes_gone.items()
        if owner == account and gone > since
    }
    told = {box.id for box in boxes} | lost.keys()
    return AccountChanges(
        modseq,
        tuple(
            Placed(m.mailbox, m.uid, m.email, m.thread, m.flags, m.keywords, m.modseq, m.added,
                   m.internal_date, m.size)
            for m in rows(state, account)
            if m.modseq > since
        ),
        tuple(
            sorted(
                Departed(mailbox, gone.uid, gone.email, gone.thread, gone.added, gone.modseq)
                for (owner, mailbox), table in state.gone.items()
                if owner == account and mailbox in told
                for gone in table.values()
                if gone.modseq > since
            )
        ),
        tuple(sorted(box.id for box in boxes if max(box.modseq, box.changed) > since)),
        tuple(sorted(lost.values())),
        since >= state.forgotten_of.get(account, 0),
    )  # fmt: skip


def change_email(state: State, o: op.ChangeEmail) -> op.Done:
    """``ChangeEmail``."""
    account = state.account(o.account)
    every = [m for m in rows(state, o.account) if m.email == o.email]
    shown = [m for m in every if not m.flags & DELETED]
    if not shown:
        raise NoSuchMessage(str(o.email))
    have = {m.mailbox for m in shown}
    wanted = have if o.mailboxes is None else set(o.mailboxes)
    wanted = (wanted | set(o.into)) - set(o.out_of)
    if not wanted:
        raise NoSuchMailbox("an email is in one mailbox at least")
    merged = _after(o, *_merged(shown))
    changed = _changed(o, every, wanted, have, merged)
    entering = sorted(wanted - {m.mailbox for m in every})
    leaving = [m for m in shown if m.mailbox not in wanted]
    boxes = {m.mailbox for m, _ in changed} | set(entering) | {m.mailbox for m in leaving}
    for mailbox in entering:
        state.mailbox(o.account, mailbox)
    if (grown := (len(entering) - len({m.mailbox for m in leaving})) * shown[0].size) > 0:
        check_quota(account, grown)
    if not boxes:
        return op.Done(account.modseq)
    modseq = next_modseq(state, o.account, sorted(boxes))
    for before, after in changed:
        mark(state, before, replace(after, modseq=modseq))
    for mailbox in entering:
        fresh = replace(shown[0], flags=merged[0], keywords=merged[1], saved_date=state.now)
        entered = enter(state, state.mailbox(o.account, mailbox), fresh, modseq)
        twins.carry(state, twins.of(state, shown[0]), entered)
        seen.carry(state, shown[0], entered, AccountId(0))
    for message in leaving:
        leave(state, message, modseq, moved=True)
    return op.Done(modseq)


def _changed(
    o: op.ChangeEmail,
    every: list[Message],
    wanted: set[MailboxId],
    have: set[MailboxId],
    merged: tuple[int, str],
) -> list[tuple[Message, Message]]:
    """Rows that stay and get other flags or keywords, as they were and as they will be."""
    changed: list[tuple[Message, Message]] = []
    for message in every:
        hidden = message.flags & DELETED
        if message.mailbox not in wanted or (hidden and message.mailbox in have):
            continue
        flags, keywords = merged if hidden else _after(o, message.flags, message.keywords)
        if (flags, keywords) != (message.flags, message.keywords):
            changed.append((message, replace(message, flags=flags, keywords=keywords)))
    return changed


def _merged(found: list[Message]) -> tuple[int, str]:
    flags, seen = 0, SEEN
    words: set[str] = set()
    for message in found:
        flags |= message.flags
        seen &= message.flags
        words.update(message.keywords.split())
    return flags & ~SEEN | seen, keywords_text(tuple(words))


def _after(o: op.ChangeEmail, flags: int, keywords: str) -> tuple[int, str]:
    words = set() if o.keywords_off is None else set(keywords.split()) - set(o.keywords_off)
    return (flags | o.flags_on) & ~o.flags_off, keywords_text(tuple(words | set(o.keywords)))


def destroy_emails(state: State, o: op.DestroyEmails) -> op.Destroyed:
    """``DestroyEmails``."""
    wanted = set(o.emails)
    every = [m for m in rows(state, o.account) if m.email in wanted]
    there = {m.email for m in every if not m.flags & DELETED}
    going = [m for m in every if m.email in there]
    modseq = state.account(o.account).modseq
    if going:
        boxes = sorted({MailboxId(m.mailbox) for m in going})
        modseq = next_modseq(state, o.account, boxes)
        for message in going:
            leave(state, message, modseq)
    return op.Destroyed(tuple(EmailId(email) for email in sorted(there)), modseq)


def remember_signature(state: State, o: op.RememberSignature) -> op.Done:
    """``RememberSignature``."""
    found = [m for m in rows(state, o.account) if m.email == o.email]
    state.account(o.account)
    if not found:
        raise NoSuchMessage(str(o.email))
    key = o.account, o.email
    state.put(state.fragments, key, replace(state.fragments[key], smime=o.value))
    if o.told:
        modseq = next_modseq(state, o.account, sorted({m.mailbox for m in found}))
        for message in found:
            mark(state, message, replace(message, modseq=modseq))
    return op.Done(state.account(o.account).modseq)
