"""The table of JMAP methods: one file a family, one line here."""

from __future__ import annotations

from typing import Final

from a3mailer.edge.http.jmap.method import Method
from a3mailer.edge.http.jmap.methods import (
    blob,
    core,
    email,
    identity,
    mailbox,
    mailbox_shared,
    mdn,
    principal,
    pushsubscription,
    quota,
    sharenotification,
    sieve,
    snippet,
    submission,
    thread,
    vacation,
)

METHODS: Final[tuple[Method, ...]] = (
    *core.METHODS,  # RFC 8620
    *pushsubscription.METHODS,
    *mailbox.METHODS,  # RFC 8621
    *mailbox_shared.METHODS,
    *thread.METHODS,
    *email.METHODS,
    *snippet.METHODS,
    *identity.METHODS,
    *submission.METHODS,
    *vacation.METHODS,
    *mdn.METHODS,  # RFC 9007
    *quota.METHODS,  # RFC 9425
    *blob.METHODS,  # RFC 9404
    *sieve.METHODS,  # RFC 9661
    *principal.METHODS,  # RFC 9670
    *sharenotification.METHODS,
)
