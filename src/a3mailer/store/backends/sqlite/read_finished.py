"""Reading what became of recipients that have left the queue."""

from __future__ import annotations

from typing import Final

import apsw

from a3mailer.mail.ids import QueueId, TenantId
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.rows import Finished, FinishedPage

WINDOW: Final = 5_000
"""Rows looked at in one call: some milliseconds of the loop."""
_ROWS: Final = (
    "SELECT number, time, queue, tenant, trace, message_id, sender, created, address, attempts, state, code,"
    " enhanced, text, host FROM finished WHERE number < ?1 AND number >= ?2"
)
_ABOUT: Final = (
    " AND (trace = ?3 OR trace GLOB ?4 OR message_id = ?3 OR address = ?3 COLLATE NOCASE"
    " OR sender = ?3 COLLATE NOCASE)"
)
_OF: Final = " AND queue = ?3"
_ORDER: Final = " ORDER BY number DESC"


class ReadFinished:
    """The part of the QueueReader door that looks back (``store.ports``)."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._finished_sql: Execute = connection.execute

    async def finished(self, about: str = "", queue: int = 0, before: int = 0) -> FinishedPage:
        sql = self._finished_sql
        first, last = sql("SELECT ifnull(min(number), 0), ifnull(max(number), 0) FROM finished").fetchone()
        top = before or last + 1
        bottom = top - WINDOW
        if about:
            rows = sql(_ROWS + _ABOUT + _ORDER, (top, bottom, about, _connection(about))).fetchall()
        elif queue:
            rows = sql(_ROWS + _OF + _ORDER, (top, bottom, queue)).fetchall()
        else:
            rows = sql(_ROWS + _ORDER, (top, bottom)).fetchall()
        found = tuple([Finished(r[0], r[1], QueueId(r[2]), TenantId(r[3]), *r[4:]) for r in rows])
        return FinishedPage(found, bottom if first < bottom else 0)


def _connection(trace: str) -> str:
    """The pattern of the mails of a connection; of nothing where it is no trace."""
    return f"{trace}-*" if trace.isalnum() else "-"
