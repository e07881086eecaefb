"""Executing the operations on mailboxes: create, rename, delete, attributes (RFC 9051 section 6.3)."""

from __future__ import annotations

from msgspec import structs

from a3mailer.mail.errors import AlreadyExists, BadName, NotAllowed, TooMany
from a3mailer.mail.ids import INBOX, MailboxId, ModSeq, Uid
from a3mailer.mail.mailbox import INITIAL, MAX_MAILBOXES, SEPARATOR, canonical_name, parents
from a3mailer.mail.rights import ROOT
from a3mailer.store.backends.sqlite import apply_documents, apply_seen, apply_sharing
from a3mailer.store.backends.sqlite.apply_mail import IN_VAULT, all_rows, append, copy, expunge_rows
from a3mailer.store.backends.sqlite.handover import Work
from a3mailer.store.backends.sqlite.ledger import AccountState, Ledger
from a3mailer.store.operations import (
    Appended,
    AppendInto,
    Copy,
    CreateMailbox,
    DeleteMailbox,
    Done,
    MailboxCreated,
    Notice,
    Noticed,
    RenameMailbox,
    SetMailbox,
)


def create_mailbox(ledger: Ledger, op: CreateMailbox, work: Work) -> MailboxCreated:
    """Missing parents are made, unsubscribed."""
    account = ledger.touch_account(op.account)
    name = canonical_name(op.name)
    if _find(ledger, op.account, name) is not None:
        raise AlreadyExists(name)
    _make_parents(ledger, account, name)
    created = make_mailbox(ledger, account, name, op.special_use, op.subscribed)
    _tree_changed(ledger, account)
    return created


def append_into(ledger: Ledger, op: AppendInto, work: Work) -> Appended:
    """By its name; a delivery that is known is answered without making a mailbox again."""
    if op.delivery and ledger.delivery(op.account, op.delivery):
        return append(ledger, op, work)
    try:
        name = canonical_name(op.name)
        found = _find(ledger, op.account, name)
        if found is None:
            made = create_mailbox(ledger, CreateMailbox(op.account, name, op.special_use, True), work)
            found = made.mailbox
    except (BadName, TooMany):
        found = op.mailbox
    return append(ledger, structs.replace(op, mailbox=MailboxId(found)), work)


def _find(ledger: Ledger, account: int, name: str) -> int | None:
    row = ledger.execute(
        "SELECT mailbox FROM mailboxes WHERE account=? AND name=?", (account, name)
    ).fetchone()
    return None if row is None else int(row[0])


def _make_parents(ledger: Ledger, account: AccountState, name: str) -> None:
    for parent in parents(name):
        if _find(ledger, account.account, parent) is None:
            make_mailbox(ledger, account, parent, "", False)


def make_mailbox(
    ledger: Ledger, account: AccountState, name: str, special_use: str, subscribed: bool
) -> MailboxCreated:
    """A new mailbox of a (touched) account, with an id and a UIDVALIDITY never used before in it."""
    (count,) = ledger.execute("SELECT count(*) FROM mailboxes WHERE account=?", (account.account,)).fetchone()
    if count >= MAX_MAILBOXES:
        raise TooMany(f"an account has at most {MAX_MAILBOXES} mailboxes")
    mailbox = account.next_mailbox
    account.next_mailbox = mailbox + 1
    account.last_validity = validity = max(account.last_validity + 1, ledger.now)
    account.modseq += 1
    ledger.execute(
        "INSERT INTO mailboxes (account, mailbox, uid_validity, modseq, added, changed, subscribed, name,"
        " special_use) VALUES (?1,?2,?3,?4,?4,?4,?5,?6,?7)",
        (account.account, mailbox, validity, account.modseq, subscribed, name, special_use),
    )
    above = name.rpartition(SEPARATOR)[0]
    parent = _find(ledger, account.account, above) if above else None
    apply_sharing.inherit(ledger, account.account, mailbox, parent or ROOT)
    return MailboxCreated(MailboxId(mailbox), validity, ModSeq(account.modseq))


def make_initial_mailboxes(ledger: Ledger, account: AccountState) -> None:
    """INBOX, Sent, Drafts, Junk, Trash and Archive of a (touched) account that has none.

    INBOX is number 1 each time; no other number comes twice."""
    following = account.next_mailbox
    account.next_mailbox = INBOX
    for name, special_use in INITIAL:
        make_mailbox(ledger, account, name, special_use, True)
        account.next_mailbox = max(account.next_mailbox, following)


def _tree_changed(ledger: Ledger, account: AccountState) -> None:
    ledger.hints.append((account.account, 0, account.modseq))


def rename_mailbox(ledger: Ledger, op: RenameMailbox, work: Work) -> Done:
    """Children move along; INBOX stays and only its messages move (RFC 9051 section 6.3.6)."""
    account = ledger.touch_account(op.account)
    ledger.mailbox(op.account, op.mailbox)
    name = canonical_name(op.name)
    if _find(ledger, op.account, name) is not None:
        raise AlreadyExists(name)
    if op.mailbox == INBOX:
        _make_parents(ledger, account, name)
        created = make_mailbox(ledger, account, name, "", True)
        rows = all_rows(ledger, op.account, op.mailbox)
        copy(ledger, Copy(op.account, op.mailbox, tuple(r[0] for r in rows), created.mailbox, True), work)
    else:
        _rename_tree(ledger, account, op.mailbox, name)
        account.modseq += 1
    _tree_changed(ledger, account)
    return Done(account.modseq)


def _rename_tree(ledger: Ledger, account: AccountState, mailbox: int, name: str) -> None:
    old = ledger.execute(
        "SELECT name FROM mailboxes WHERE account=? AND mailbox=?", (account.account, mailbox)
    ).fetchone()[0]
    if name.startswith(old + SEPARATOR):
        raise BadName("a mailbox cannot be moved below itself")
    _make_parents(ledger, account, name)
    children = ledger.execute(
        "SELECT mailbox, name FROM mailboxes WHERE account=? AND name>=? AND name<?",
        (account.account, old + SEPARATOR, old + chr(ord(SEPARATOR) + 1)),
    ).fetchall()
    for number, child in [(mailbox, old), *children]:
        fresh = canonical_name(name + child[len(old) :])
        if number != mailbox and _find(ledger, account.account, fresh) is not None:
            raise AlreadyExists(fresh)
        ledger.execute(
            "UPDATE mailboxes SET name=?, changed=? WHERE account=? AND mailbox=?",
            (fresh, account.modseq + 1, account.account, number),
        )


def delete_mailbox(ledger: Ledger, op: DeleteMailbox, work: Work) -> Done:
    """Its messages go to the vault; its id and UIDVALIDITY are never used again."""
    if op.mailbox == INBOX:
        raise NotAllowed("INBOX cannot be deleted")
    account = ledger.touch_account(op.account)
    state = ledger.touch_mailbox(op.account, op.mailbox)
    modseq = ledger.next_modseq(account, state)
    rows = all_rows(ledger, op.account, op.mailbox)
    if rows:
        expunge_rows(ledger, account, state, rows, modseq, IN_VAULT)
    ledger.forget(op.account)
    ledger.execute(
        "INSERT INTO mailboxes_gone (account, modseq, mailbox, added, at)"
        " SELECT account, ?, mailbox, added, ? FROM mailboxes WHERE account=? AND mailbox=?",
        (modseq, ledger.now, op.account, op.mailbox),
    )
    ledger.execute("DELETE FROM mailboxes WHERE account=? AND mailbox=?", (op.account, op.mailbox))
    apply_sharing.forget_mailbox(ledger, op.account, op.mailbox)
    apply_seen.forget_mailbox(ledger, op.account, op.mailbox)
    apply_documents.forget_annotations(ledger, op.account, op.mailbox)
    _tree_changed(ledger, account)
    return Done(modseq)


def set_mailbox(ledger: Ledger, op: SetMailbox, work: Work) -> Done:
    """Attributes are no counters: they are written at once."""
    account = ledger.touch_account(op.account)
    ledger.mailbox(op.account, op.mailbox)
    account.modseq += 1
    ledger.execute(
        "UPDATE mailboxes SET subscribed = coalesce(?, subscribed), special_use = coalesce(?, special_use),"
        " expire_days = coalesce(?, expire_days), sort_order = coalesce(?, sort_order), changed = ?"
        " WHERE account=? AND mailbox=?",
        (
            op.subscribed,
            op.special_use,
            op.expire_days,
            op.sort_order,
            account.modseq,
            op.account,
            op.mailbox,
        ),
    )
    _tree_changed(ledger, account)
    return Done(account.modseq)


def notice(ledger: Ledger, op: Notice, work: Work) -> Noticed:
    """Errors: NoSuchMailbox."""
    state = ledger.mailbox(op.account, op.mailbox)
    until = min(op.until or state.uid_next, state.uid_next)
    ((first,),) = ledger.execute(
        "SELECT noticed FROM mailboxes WHERE account=? AND mailbox=?", (op.account, op.mailbox)
    ).fetchall()
    if first < until:
        ledger.execute(
            "UPDATE mailboxes SET noticed=? WHERE account=? AND mailbox=?", (until, op.account, op.mailbox)
        )
    return Noticed(Uid(min(first, until)), Uid(until))
