"""Reading reports and the tallies of those to come."""

from __future__ import annotations

from typing import Final

import apsw

from a3mailer.mail.errors import NoSuchThing
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.operations import Tally
from a3mailer.store.rows import Report

_REPORT: Final = "SELECT number, kind, domain, received, begins, ends, source, identity, content FROM reports"


class ReadReports:
    """The ReportReader door (``store.ports``)."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._sql: Execute = connection.execute

    async def reports(
        self, kind: str = "", domain: str = "", since: int = 0, after: int = 0, limit: int = 1000
    ) -> tuple[Report, ...]:
        rows = self._sql(
            _REPORT + " WHERE number > ?1 AND received >= ?2 AND ?3 IN ('', kind) AND ?4 IN ('', domain)"
            " ORDER BY number LIMIT ?5",
            (after, since, kind, domain, limit),
        ).fetchall()
        return tuple([Report(*row) for row in rows])

    async def report(self, number: int) -> Report:
        row = self._sql(_REPORT + " WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise NoSuchThing(f"report {number}")
        return Report(*row)

    async def tallied(self, kind: str, before: int) -> tuple[tuple[int, str], ...]:
        rows = self._sql(
            "SELECT DISTINCT period, domain FROM tallies WHERE kind=? AND period < ? ORDER BY period, domain",
            (kind, before),
        ).fetchall()
        return tuple([(period, domain) for period, domain in rows])

    async def tallies(self, kind: str, period: int, domain: str) -> tuple[Tally, ...]:
        rows = self._sql(
            "SELECT period, domain, key, count FROM tallies WHERE kind=? AND period=? AND domain=?"
            " ORDER BY key",
            (kind, period, domain),
        ).fetchall()
        return tuple([Tally(*row) for row in rows])
