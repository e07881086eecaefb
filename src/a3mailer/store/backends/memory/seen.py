"""What each reader of another's mailbox has seen, in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import AccountId, MailboxId, ModSeq
from a3mailer.store.backends.memory.state import State
from a3mailer.store.rows import Mailbox, Message

Key = tuple[AccountId, MailboxId, AccountId, int]


def mark(state: State, message: Message, reader: AccountId) -> tuple[ModSeq, bool]:
    """When a reader's mark of a message changed (0: never), and what it is."""
    return state.marks.get((message.account, message.mailbox, reader, message.uid), (ModSeq(0), False))


def as_seen(state: State, message: Message, reader: AccountId) -> Message:
    """A message as a reader sees it."""
    changed, seen = mark(state, message, reader)
    flags = message.flags & ~SEEN | (SEEN if seen else 0)
    return replace(message, flags=flags, modseq=ModSeq(max(message.modseq, changed)))


def put(state: State, message: Message, reader: AccountId, modseq: ModSeq, *, seen: bool) -> None:
    """Set a reader's mark."""
    state.put(state.marks, (message.account, message.mailbox, reader, message.uid), (modseq, seen))


def carry(state: State, old: Message, new: Message, without: AccountId) -> None:
    """A copy was made: who has seen the one has seen the other, but for ``without``."""
    for (account, mailbox, reader, uid), (_, seen) in list(state.marks.items()):
        if (account, mailbox, uid) == (old.account, old.mailbox, old.uid) and seen and reader != without:
            put(state, new, reader, new.modseq, seen=True)


def forget(state: State, which: Callable[[Key], bool]) -> None:
    """Drop the marks that ``which`` says."""
    for key in [key for key in state.marks if which(key)]:
        state.drop(state.marks, key)


def box_of(state: State, box: Mailbox, reader: AccountId) -> Mailbox:
    """A mailbox with the reader's count of unseen messages."""
    seen = sum(
        is_seen and key[:3] == (box.account, box.id, reader) for key, (_, is_seen) in state.marks.items()
    )
    return replace(box, unseen=box.messages - seen)
