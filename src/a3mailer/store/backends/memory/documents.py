"""Documents in memory: operations and what readers ask."""

from __future__ import annotations

from a3mailer.mail.errors import AlreadyExists, NoSuchThing
from a3mailer.mail.ids import SYSTEM_ACCOUNT, AccountId
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.state import State
from a3mailer.store.rows import METADATA, SCRIPT_KINDS, TOLD_KINDS, Document


def put_document(state: State, o: op.PutDocument) -> op.Done:
    """``PutDocument``."""
    if o.account != SYSTEM_ACCOUNT:
        state.account(o.account)
    key = (o.account, o.kind, o.name)
    old = state.documents.get(key)
    if o.only_new and old is not None and not 0 < old.expires <= state.now:
        raise AlreadyExists(o.name)
    row = Document(o.account, o.kind, o.name, o.value, o.due, o.expires, state.now)
    state.put(state.documents, key, row)
    _tell(state, o)
    return op.Done()


def remove_document(state: State, o: op.RemoveDocument) -> op.Done:
    """``RemoveDocument``."""
    key = (o.account, o.kind, o.name)
    if key not in state.documents:
        raise NoSuchThing(o.name)
    state.drop(state.documents, key)
    _tell(state, o)
    return op.Done()


def _tell(state: State, o: op.PutDocument | op.RemoveDocument) -> None:
    if o.kind in TOLD_KINDS:
        state.changed(o.account, TOLD_KINDS[o.kind])


def forget(state: State, account: AccountId) -> None:
    """The account goes."""
    for key in [key for key in state.documents if key[0] == account]:
        state.drop(state.documents, key)


def forget_scripts(state: State, account: AccountId) -> None:
    """The scripts of an account, their lists, and what they remember."""
    for key in [key for key in state.documents if key[0] == account and key[1].startswith(SCRIPT_KINDS)]:
        state.drop(state.documents, key)


def forget_annotations(state: State, account: AccountId, mailbox: int = 0) -> None:
    """A mailbox goes; 0: all of them."""
    start = f"{mailbox}/" if mailbox else ""
    for key in [key for key in state.documents if key[:2] == (account, METADATA)]:
        place = key[2].partition("/")[0]
        if key[2].startswith(start) and place != "0" and ":" not in place:
            state.drop(state.documents, key)


def sweep(state: State, o: op.Sweep) -> int:
    """Those that have expired; how many."""
    keys = [key for key, row in state.documents.items() if 0 < row.expires < o.now][: o.limit]
    for key in keys:
        state.drop(state.documents, key)
    return len(keys)


def named(
    state: State, now: float, of: tuple[AccountId, str, str], limit: int, after: str
) -> tuple[Document, ...]:
    """``documents``; ``of`` is account, kind and prefix."""
    account, kind, prefix = of
    found = [
        row
        for row in state.documents.values()
        if (row.account, row.kind) == (account, kind)
        and row.name.startswith(prefix)
        and row.name > after
        and not 0 < row.expires <= now
    ]
    return tuple(sorted(found, key=lambda row: row.name.encode()))[:limit]


def due(state: State, now: float, kind: str, until: int, limit: int) -> tuple[Document, ...]:
    """``documents_due``."""
    found = [
        row
        for row in state.documents.values()
        if row.kind == kind and 0 < row.due <= until and not 0 < row.expires <= now
    ]
    return tuple(sorted(found, key=lambda row: (row.due, row.account, row.name.encode())))[:limit]
