"""The audit record: who did what to what, with which outcome; in the same transaction as the act itself.

``entry`` makes the operation that goes beside the others of a transaction; ``StoreAudit`` writes one alone,
for acts that change nothing (a throttled login).  When a record cannot be written, the act does not happen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from a3mailer.identity.principal import Principal
from a3mailer.mail.ids import DEFAULT_TENANT, TenantId
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import Audit
from a3mailer.store.ports import Transaction, Writer

MAX_TEXT: Final = 1024
"""Characters of one field of a record; longer ones are cut."""


def entry(
    subject: Principal,
    action: str,
    target: str,
    now: float,
    detail: Mapping[str, object] | None = None,
    outcome: str = "done",
    trace: str = "",
) -> Audit:
    """The record of an act of ``subject``, to be committed with it."""
    return _record(subject.tenant, subject.login, action, target, outcome, trace, detail or {}, now)


def _record(
    tenant: TenantId,
    subject: str,
    action: str,
    target: str,
    outcome: str,
    trace: str,
    detail: Mapping[str, object],
    now: float,
) -> Audit:
    text = json.dumps({k: v[:MAX_TEXT] if isinstance(v, str) else v for k, v in detail.items()})
    return Audit(tenant, subject[:MAX_TEXT], action, target[:MAX_TEXT], outcome, trace, text, int(now))


class StoreAudit:
    """``identity.authenticator.AuditSink`` over a store."""

    __slots__ = ("_clock", "_writer")

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock

    async def record(
        self, subject: str, action: str, target: str, outcome: str, detail: dict[str, str]
    ) -> None:
        """Write one record alone. Errors: TryLater and its kind."""
        record = _record(DEFAULT_TENANT, subject, action, target, outcome, "", detail, self._clock.now())
        await self._writer.commit(Transaction((record,)))
