"""What tells messages of one email in INBOX from each other (RFC 1939 section 7), in memory."""

from __future__ import annotations

from collections.abc import Container

from a3mailer.mail.ids import INBOX
from a3mailer.store.backends.memory.state import State
from a3mailer.store.rows import Message


def carry(state: State, twin: int, new: Message, leaving: Container[int] = frozenset()) -> None:
    """A message came in with a number; ``leaving``: uids of that mailbox that are about to go."""
    if new.mailbox == INBOX:
        taken = {
            of(state, other)
            for other in state.messages[new.account, INBOX].values()
            if other.email == new.email and other.uid != new.uid and other.uid not in leaving
        }
        twin = new.uid if twin in taken else twin
    if twin:
        state.put(state.twins, (new.account, new.mailbox, new.uid), twin)


def of(state: State, message: Message) -> int:
    """The number of a message."""
    return state.twins.get((message.account, message.mailbox, message.uid), 0)


def forget(state: State, message: Message) -> None:
    """It is gone."""
    if of(state, message):
        state.drop(state.twins, (message.account, message.mailbox, message.uid))
