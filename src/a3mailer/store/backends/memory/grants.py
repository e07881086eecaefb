"""Rows of rights in memory: inherited, forgotten, listed."""

from __future__ import annotations

from collections.abc import Callable

from a3mailer.mail.changes import RIGHTS
from a3mailer.mail.ids import AccountId, MailboxId
from a3mailer.mail.rights import NEGATIVE
from a3mailer.store.backends.memory.state import State
from a3mailer.store.rows import Grant


def inherit(state: State, account: AccountId, mailbox: MailboxId, parent: MailboxId) -> None:
    """A new mailbox begins with the rights of its parent."""
    rows = [(key[2], rights) for key, rights in state.grants.items() if key[:2] == (account, parent)]
    for identifier, rights in rows:
        state.put(state.grants, (account, mailbox, identifier), rights)
    if rows:
        state.changed(*RIGHTS)


def forget(state: State, which: Callable[[AccountId, MailboxId, str], bool]) -> None:
    """Drop those that ``which`` says."""
    keys = [key for key in state.grants if which(*key)]
    for key in keys:
        state.drop(state.grants, key)
    if keys:
        state.changed(*RIGHTS)


def forget_identifier(state: State, identifier: str) -> None:
    """Nobody is meant by it any more."""
    gone = (identifier, NEGATIVE + identifier)
    forget(state, lambda _owner, _mailbox, name: name in gone)


def ordered(state: State, which: Callable[[AccountId, str], bool]) -> tuple[Grant, ...]:
    """Rows by owner, mailbox and identifier, of owners and identifiers that ``which`` says."""
    return tuple(Grant(*key, rights) for key, rights in sorted(state.grants.items()) if which(key[0], key[2]))
