"""Executing the operation on rights, and what other operations do to rights."""

from __future__ import annotations

from typing import Final

from a3mailer.mail.changes import RIGHTS
from a3mailer.mail.errors import BadName, TooMany
from a3mailer.mail.rights import MAX_GRANTS, MAX_IDENTIFIER, NEGATIVE, ROOT, changed
from a3mailer.store.backends.sqlite.handover import Work
from a3mailer.store.backends.sqlite.ledger import Ledger
from a3mailer.store.operations import ChangeGrant, Done

_FIND: Final = "SELECT rights FROM grants WHERE account=? AND mailbox=? AND identifier=?"
_DROP: Final = "DELETE FROM grants WHERE account=? AND mailbox=? AND identifier=?"
_PUT: Final = "INSERT OR REPLACE INTO grants (account, mailbox, identifier, rights) VALUES (?,?,?,?)"
_CHANGED: Final = "UPDATE mailboxes SET changed=? WHERE account=? AND mailbox=?"


def change_grant(ledger: Ledger, op: ChangeGrant, work: Work) -> Done:
    """Errors: NoSuchAccount, NoSuchMailbox, BadName, TooMany."""
    account = ledger.account(op.account)
    if op.mailbox != ROOT:
        ledger.mailbox(op.account, op.mailbox)
    if not 0 < len(op.identifier.encode()) <= MAX_IDENTIFIER:
        raise BadName("an identifier has 1 to 400 octets")
    key = (op.account, op.mailbox, op.identifier)
    row = ledger.execute(_FIND, key).fetchone()
    had = row[0] if row else ""
    wanted = changed(had, op.mode, op.rights)
    if wanted == had:
        return Done(account.modseq)
    if not wanted:
        ledger.execute(_DROP, key)
    else:
        if not had:
            _room(ledger, op)
        ledger.execute(_PUT, (*key, wanted))
    ledger.touch(account)
    account.modseq += 1
    ledger.execute(_CHANGED, (account.modseq, op.account, op.mailbox))
    ledger.hints.append((op.account, 0, account.modseq))
    told(ledger)
    return Done(account.modseq)


def _room(ledger: Ledger, op: ChangeGrant) -> None:
    (count,) = ledger.execute(
        "SELECT count(*) FROM grants WHERE account=? AND mailbox=?", (op.account, op.mailbox)
    ).fetchone()
    if count >= MAX_GRANTS:
        raise TooMany(f"more than {MAX_GRANTS} identifiers")


def told(ledger: Ledger) -> None:
    """Whoever keeps rights in memory looks again."""
    ledger.hints.append((*RIGHTS, ledger.commits))


def inherit(ledger: Ledger, account: int, mailbox: int, parent: int) -> None:
    """A new mailbox begins with the rights of its parent."""
    ledger.execute(
        "INSERT INTO grants (account, mailbox, identifier, rights)"
        " SELECT account, ?, identifier, rights FROM grants WHERE account=? AND mailbox=?",
        (mailbox, account, parent),
    )
    if ledger.connection.changes():
        told(ledger)


def forget_mailbox(ledger: Ledger, account: int, mailbox: int) -> None:
    """The mailbox goes."""
    ledger.execute("DELETE FROM grants WHERE account=? AND mailbox=?", (account, mailbox))
    if ledger.connection.changes():
        told(ledger)


def forget_owner(ledger: Ledger, account: int) -> None:
    """All mailboxes of an account go."""
    ledger.execute("DELETE FROM grants WHERE account=?", (account,))
    if ledger.connection.changes():
        told(ledger)


def forget_identifier(ledger: Ledger, identifier: str) -> None:
    """Nobody is meant by it any more."""
    ledger.execute("DELETE FROM grants WHERE identifier IN (?,?)", (identifier, NEGATIVE + identifier))
    if ledger.connection.changes():
        told(ledger)
