"""Executing ``ChangeGrant`` in memory."""

from __future__ import annotations

from dataclasses import replace

from a3mailer.mail.changes import RIGHTS
from a3mailer.mail.errors import BadName, TooMany
from a3mailer.mail.rights import MAX_GRANTS, MAX_IDENTIFIER, ROOT, changed
from a3mailer.store import operations as op
from a3mailer.store.backends.memory import seen
from a3mailer.store.backends.memory.mail import bump
from a3mailer.store.backends.memory.state import State


def change_grant(state: State, o: op.ChangeGrant) -> op.Done:
    """``ChangeGrant``."""
    row = state.account(o.account)
    if o.mailbox != ROOT:
        state.mailbox(o.account, o.mailbox)
    if not 0 < len(o.identifier.encode()) <= MAX_IDENTIFIER:
        raise BadName("an identifier has 1 to 400 octets")
    key = (o.account, o.mailbox, o.identifier)
    had = state.grants.get(key, "")
    wanted = changed(had, o.mode, o.rights)
    if wanted == had:
        return op.Done(row.modseq)
    if not wanted:
        state.drop(state.grants, key)
    else:
        if not had and sum(place[:2] == key[:2] for place in state.grants) >= MAX_GRANTS:
            raise TooMany(f"more than {MAX_GRANTS} identifiers")
        state.put(state.grants, key, wanted)
    state.changed(*RIGHTS)
    modseq = bump(state, o.account)
    if o.mailbox != ROOT:
        place = (o.account, o.mailbox)
        state.put(state.mailboxes, place, replace(state.mailbox(*place), changed=modseq))
    return op.Done(modseq)


def see_newest(state: State, o: op.SeeNewest) -> op.Done:
    """``SeeNewest``."""
    box = state.mailbox(o.account, o.mailbox)
    state.account(o.reader)
    rows = sorted(state.messages[o.account, o.mailbox].items())[-o.count :] if o.count > 0 else []
    fresh = [row for _, row in rows if not seen.mark(state, row, o.reader)[1]]
    if not fresh:
        return op.Done(box.modseq)
    modseq = bump(state, o.account, o.mailbox)
    for message in fresh:
        seen.put(state, message, o.reader, modseq, seen=True)
    return op.Done(modseq)
