"""Executing the operations on reports: tallies of those to come, and those that were received."""

from __future__ import annotations

from a3mailer.store.backends.sqlite.handover import Work
from a3mailer.store.backends.sqlite.ledger import Ledger
from a3mailer.store.operations import (
    AddTallies,
    Done,
    DropReports,
    DropTallies,
    Purged,
    PutReport,
    Tallied,
)


def add_tallies(ledger: Ledger, op: AddTallies, work: Work) -> Tallied:
    """Rows that exist always count on."""
    (known,) = ledger.execute("SELECT count(*) FROM tallies").fetchone()
    left_out = 0
    for tally in op.tallies:
        place = (op.kind, tally.period, tally.domain, tally.key)
        found = ledger.execute(
            "UPDATE tallies SET count = count + ? WHERE kind=? AND period=? AND domain=? AND key=?"
            " RETURNING 1",
            (tally.count, *place),
        ).fetchone()
        if found is None and known < op.most:
            ledger.execute(
                "INSERT INTO tallies (kind, period, domain, key, count) VALUES (?,?,?,?,?)",
                (*place, tally.count),
            )
            known += 1
        elif found is None:
            left_out += 1
    return Tallied(left_out)


def drop_tallies(ledger: Ledger, op: DropTallies, work: Work) -> Purged:
    """By the primary key."""
    before = ledger.connection.total_changes()
    ledger.execute(
        "DELETE FROM tallies WHERE kind=?1 AND period >= ?2 AND period < ?3 AND ?4 IN ('', domain)",
        (op.kind, op.first, op.last, op.domain),
    )
    return Purged(ledger.connection.total_changes() - before)


def put_report(ledger: Ledger, op: PutReport, work: Work) -> Done:
    """One that is known stays as it is."""
    ledger.execute(
        "INSERT INTO reports (kind, domain, received, begins, ends, source, identity, content)"
        " VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
        (op.kind, op.domain, op.now or ledger.now, op.begins, op.ends, op.source, op.identity, op.content),
    )
    return Done()


def drop_reports(ledger: Ledger, op: DropReports, work: Work) -> Purged:
    """Oldest first."""
    before = ledger.connection.total_changes()
    ledger.execute(
        "DELETE FROM reports WHERE number IN"
        " (SELECT number FROM reports WHERE received < ? ORDER BY received LIMIT ?)",
        (op.before, op.limit),
    )
    ledger.execute(
        "DELETE FROM reports WHERE number IN (SELECT number FROM reports ORDER BY number"
        " LIMIT min(?, max(0, (SELECT count(*) FROM reports) - ?)))",
        (op.limit, op.most),
    )
    return Purged(ledger.connection.total_changes() - before)
