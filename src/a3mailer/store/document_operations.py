"""The operations on documents: small texts that accounts keep."""

from __future__ import annotations

from a3mailer.mail.ids import AccountId
from a3mailer.store.operation import Operation


class PutDocument(Operation, frozen=True):
    """Keep a small text of an account under a kind and a name: templates, hooks, what became of a mail.

    ``due`` above 0 puts it into the order of ``documents_due``; from ``expires`` on (0: never) it counts as
    gone and is swept away. ``only_new``: AlreadyExists where one is there. Errors: NoSuchAccount."""

    account: AccountId
    kind: str
    name: str
    value: str
    due: int = 0
    expires: int = 0
    only_new: bool = False


class RemoveDocument(Operation, frozen=True):
    """Errors: NoSuchThing."""

    account: AccountId
    kind: str
    name: str
