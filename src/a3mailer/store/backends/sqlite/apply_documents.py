"""Executing the operations on documents."""

from __future__ import annotations

from a3mailer.mail.errors import AlreadyExists, NoSuchThing
from a3mailer.store.backends.sqlite.handover import Work
from a3mailer.store.backends.sqlite.ledger import Ledger
from a3mailer.store.operations import Done, PutDocument, RemoveDocument
from a3mailer.store.rows import METADATA, SCRIPT_KINDS, TOLD_KINDS


def put_document(ledger: Ledger, op: PutDocument, work: Work) -> Done:
    """Errors: NoSuchAccount; AlreadyExists with ``only_new``."""
    ledger.account(op.account)
    row = (op.account, op.kind, op.name)
    if op.only_new:
        there = ledger.execute(
            "SELECT 1 FROM documents WHERE account=? AND kind=? AND name=?"
            " AND NOT (0 < expires AND expires <= ?)",
            (*row, ledger.now),
        ).fetchone()
        if there is not None:
            raise AlreadyExists(op.name)
    ledger.execute(
        "INSERT OR REPLACE INTO documents (account, kind, name, value, due, expires, created)"
        " VALUES (?,?,?,?,?,?,?)",
        (*row, op.value, op.due, op.expires, ledger.now),
    )
    _tell(ledger, op)
    return Done()


def forget_annotations(ledger: Ledger, account: int, mailbox: int) -> None:
    """A mailbox goes."""
    ledger.execute(
        "DELETE FROM documents WHERE account=? AND kind=? AND name >= ? AND name < ?",
        (account, METADATA, f"{mailbox}/", f"{mailbox}0"),
    )


def forget_all_annotations(ledger: Ledger, account: int) -> None:
    """All mailboxes of an account go; what it noted of the server, and of others' mailboxes, stays."""
    ledger.execute(
        "DELETE FROM documents WHERE account=? AND kind=? AND name NOT LIKE '0/%'"
        " AND instr(substr(name, 1, instr(name, '/')), ':') = 0",
        (account, METADATA),
    )


def forget_scripts(ledger: Ledger, account: int) -> None:
    """The scripts of an account, their lists, and what they remember."""
    kinds = (account, SCRIPT_KINDS, SCRIPT_KINDS)
    ledger.execute("DELETE FROM documents WHERE account=? AND substr(kind, 1, length(?)) = ?", kinds)


def remove_document(ledger: Ledger, op: RemoveDocument, work: Work) -> Done:
    """Errors: NoSuchThing."""
    gone = ledger.execute(
        "DELETE FROM documents WHERE account=? AND kind=? AND name=? RETURNING 1",
        (op.account, op.kind, op.name),
    ).fetchone()
    if gone is None:
        raise NoSuchThing(op.name)
    _tell(ledger, op)
    return Done()


def _tell(ledger: Ledger, op: PutDocument | RemoveDocument) -> None:
    if op.kind in TOLD_KINDS:
        ledger.hints.append((op.account, TOLD_KINDS[op.kind], ledger.commits))
