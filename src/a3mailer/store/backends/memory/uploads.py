"""Uploads in memory."""

from __future__ import annotations

from a3mailer.mail.errors import TooLarge
from a3mailer.mail.ids import AccountId, BlobId
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.state import State, Upload


def put_upload(state: State, o: op.PutUpload) -> op.Uploaded:
    """``PutUpload``."""
    state.account(o.account)
    octets = bytes(state.contents[o.content].octets)
    if len(octets) > o.most:
        raise TooLarge(f"at most {o.most} octets are kept")
    mine = [key for key in state.uploads if (key[0], key[2]) == (o.account, o.uploader)]
    known = next((key[1] for key in mine if state.blobs[key[1]] == octets), None)
    blob = state.blob(o.content) if known is None else known
    key = (o.account, blob, o.uploader)
    if known is not None:
        mine.remove(key)
        state.drop(state.uploads, key)
    used = sum(state.uploads[each].size for each in mine)
    for each in mine:
        if used + len(octets) > o.most:
            used -= state.uploads[each].size
            state.drop(state.uploads, each)
    state.put(state.uploads, key, Upload(len(octets), o.expires))
    return op.Uploaded(blob, len(octets))


def forget(state: State, account: AccountId) -> None:
    """The account goes, or is emptied."""
    for key in [key for key in state.uploads if account in (key[0], key[2])]:
        state.drop(state.uploads, key)


def sweep(state: State, o: op.Sweep) -> int:
    """Those that have expired; how many."""
    keys = [key for key, row in state.uploads.items() if row.expires < o.now][: o.limit]
    for key in keys:
        state.drop(state.uploads, key)
    return len(keys)


def holds(state: State, account: AccountId, blob: BlobId) -> bool:
    """Does an upload of the account hold this content?"""
    return any(key[:2] == (account, blob) for key in state.uploads)
