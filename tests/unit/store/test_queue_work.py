"""What asking about the queue costs: entries that merely wait are not read."""

from pathlib import Path

import apsw

from a3mailer.store.backends.sqlite.apply_queue import _DUE, _LEASED, _LEVEL, _NEXT_FREE
from a3mailer.store.backends.sqlite.connection import Execute, migrate, open_writer
from a3mailer.store.backends.sqlite.read_directory import _COUNT

LEASED = 20
_ENTRY = (
    "INSERT INTO queue (id, tenant, due, held, lease_until, blob, size, reverse_path, body, smtputf8,"
    " return_content, envelope_id, trace, hops, created, priority)"
    " VALUES (?,1,?,?,?,x'00',100,'','7BIT',0,'','','',0,0,?)"
)


def filled(folder: Path, entries: int) -> apsw.Connection:
    """A queue of which every tenth entry is held and the first twenty are leased."""
    folder.mkdir()
    connection = open_writer(folder)
    migrate(connection, 0)
    rows = [
        (n, None if n % 10 == 0 else n, n % 10 == 0, 5000 if n <= LEASED else 0, n % 3)
        for n in range(1, entries + 1)
    ]
    with connection:  # one commit: each is a sync
        connection.executemany(_ENTRY, rows)
    return connection


def steps(connection: apsw.Connection, sql: str, *bindings: int) -> int:
    """Instructions of the database's machine that a statement took."""
    taken = 0

    def step() -> bool:
        nonlocal taken
        taken += 1
        return False

    connection.set_progress_handler(step, 1)
    connection.execute(sql, bindings).fetchall()
    connection.set_progress_handler(None)
    return taken


def test_looking_for_leases_reads_leases_only(tmp_path: Path) -> None:
    few, many = filled(tmp_path / "few", 100), filled(tmp_path / "many", 4000)
    assert steps(few, _LEASED, 100, 9000) == steps(many, _LEASED, 100, 9000)
    few.close()
    many.close()


def test_what_is_due_next_is_found_without_looking_at_the_rest(tmp_path: Path) -> None:
    few, many = filled(tmp_path / "few", 100), filled(tmp_path / "many", 4000)
    for sql, bindings in ((_LEVEL, (2,)), (_DUE, (5000, 9000, 5, 1)), (_NEXT_FREE, (5000, 9000, 1))):
        assert steps(few, sql, *bindings) == steps(many, sql, *bindings), sql
    few.close()
    many.close()


def test_counting_reads_no_entry_that_waits(tmp_path: Path) -> None:
    """One step of an index an entry that is not held; the rest does not grow with the queue."""
    few, many = filled(tmp_path / "few", 100), filled(tmp_path / "many", 4100)
    count: Execute = many.execute
    assert count(_COUNT, (100,)).fetchone() == (4100, 3690, 18)
    assert steps(many, _COUNT, 100) - steps(few, _COUNT, 100) <= 2 * 3600
    plan: Execute = many.execute
    text = str(plan(f"EXPLAIN QUERY PLAN {_COUNT}", (100,)).fetchall())
    assert "COVERING INDEX queue_due" in text and "INDEX queue_leased" in text
    few.close()
    many.close()
