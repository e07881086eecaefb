"""The operation on uploads: octets brought before anything refers to them (RFC 8620 section 6)."""

from __future__ import annotations

from a3mailer.mail.ids import AccountId, BlobId
from a3mailer.store.operation import Operation, Result


class PutUpload(Operation, frozen=True):
    """Keep content number ``content`` for ``account`` until ``expires``. Result: Uploaded.

    The same octets again are the same upload (but for small ones, of which no copy is looked for), which is
    then the newest and expires later. Where the uploads of ``uploader`` in this account would be more than
    ``most`` octets, the oldest of them go first.
    Errors: NoSuchAccount, TooLarge (larger than ``most`` by itself)."""

    account: AccountId
    uploader: AccountId
    content: int
    expires: int
    most: int


class Uploaded(Result, frozen=True):
    blob: BlobId
    size: int
