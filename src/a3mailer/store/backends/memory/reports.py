"""The operations on reports in memory."""

from __future__ import annotations

from a3mailer.mail.ids import SYSTEM_ACCOUNT
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.state import State
from a3mailer.store.rows import Report


def add_tallies(state: State, o: op.AddTallies) -> op.Tallied:
    """``AddTallies``."""
    left_out = 0
    for tally in o.tallies:
        place = (o.kind, tally.period, tally.domain, tally.key)
        if place in state.tallies or len(state.tallies) < o.most:
            state.put(state.tallies, place, state.tallies.get(place, 0) + tally.count)
        else:
            left_out += 1
    return op.Tallied(left_out)


def drop_tallies(state: State, o: op.DropTallies) -> op.Purged:
    """``DropTallies``."""
    places = [
        place
        for place in state.tallies
        if place[0] == o.kind and o.first <= place[1] < o.last and o.domain in ("", place[2])
    ]
    for place in places:
        state.drop(state.tallies, place)
    return op.Purged(len(places))


def put_report(state: State, o: op.PutReport) -> op.Done:
    """``PutReport``."""
    for known in state.reports.values():
        if (known.kind, known.domain, known.source, known.identity) == (
            o.kind,
            o.domain,
            o.source,
            o.identity,
        ):
            return op.Done()
    number = state.next(SYSTEM_ACCOUNT, "report")
    row = Report(
        number, o.kind, o.domain, o.now or state.now, o.begins, o.ends, o.source, o.identity, o.content
    )
    state.put(state.reports, number, row)
    return op.Done()


def drop_reports(state: State, o: op.DropReports) -> op.Purged:
    """``DropReports``."""
    rows = sorted(state.reports.values(), key=lambda row: (row.received, row.number))
    gone = {row.number for row in rows if row.received < o.before}
    gone = set(sorted(gone, key=lambda number: (state.reports[number].received, number))[: o.limit])
    left = sorted(state.reports.keys() - gone)
    gone |= set(left[: min(o.limit, max(0, len(left) - o.most))])
    for number in gone:
        state.drop(state.reports, number)
    return op.Purged(len(gone))
