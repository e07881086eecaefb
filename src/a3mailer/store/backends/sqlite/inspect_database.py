"""Looking for damage of the database itself: pages, tables, indexes, migrations, rows that contradict.

SQLite has no checksum of a page: a changed bit inside a value is found only where a rule or a deep look at
the contents contradicts it. ``contents`` and keys have checksums of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from a3mailer.store.backends.sqlite.connection import DATABASE, applied, checksum, migrations, open_reader
from a3mailer.store.backends.sqlite.inspect_rows import RULES, STAND_INS, VIEWS, Rule
from a3mailer.store.ports import StoreUnusable
from a3mailer.store.upkeep import Finding, Progress

UNREADABLE: Final = (apsw.CorruptError, apsw.IOError, apsw.NotADBError, apsw.SQLError, UnicodeDecodeError)
"""What a damaged database answers a query with."""
MOST: Final = 1000
"""Breaches named of one rule; the rest is counted."""
_INDEX: Final = re.compile(r"(?:missing from|entries in|unique entry in) index (\S+)")
_TREE: Final = re.compile(r"^Tree (\d+) ")


def open_database(directory: Path) -> apsw.Connection | Finding:
    """A connection for looking, or why there is none."""
    path = directory / DATABASE
    if not path.is_file():
        return Finding("database-missing", DATABASE)
    try:
        connection = open_reader(directory)
    except (StoreUnusable, apsw.Error) as error:
        return Finding("database-damaged", DATABASE, str(error))
    try:
        add_views(connection)
    except apsw.Error as error:
        connection.close()
        return Finding("database-damaged", DATABASE, str(error))
    return connection


_HAS: Final = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?"


def add_views(connection: apsw.Connection) -> None:
    """What the rules read; of this connection only."""
    only = connection.pragma("query_only")
    connection.execute("PRAGMA query_only=OFF")
    for table, column, stand_in in STAND_INS:
        if connection.execute(_HAS, (table, column)).fetchone() is None:
            connection.execute(stand_in)
    connection.execute(VIEWS)
    connection.pragma("query_only", only)


_PLACES: Final = """
    DROP TABLE IF EXISTS temp.places;
    CREATE TEMP TABLE places AS SELECT segment, tenant, blob, offset, length FROM blobs;
    CREATE INDEX temp.places_segment ON places (segment, offset)"""


def note_places(connection: apsw.Connection) -> None:
    """Where all contents lie, in a table of this connection's: read at once, so that no read transaction
    stays open while contents are read."""
    only = connection.pragma("query_only")
    connection.execute("PRAGMA query_only=OFF")
    connection.execute(_PLACES)
    connection.pragma("query_only", only)


def rows(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> Iterator[Any]:
    """Rows up to where the database cannot be read, then a ``Finding`` that says so."""
    try:
        yield from connection.execute(sql, bindings)
    except UNREADABLE as error:
        yield Finding("database-damaged", DATABASE, str(error))


def inspect_database(connection: apsw.Connection, progress: Progress) -> Iterator[Finding]:
    """Everything but contents and keys."""
    progress("database pages", 0, 0)
    yield from _pages(connection)
    yield from _schema(connection)
    yield from _migrations(connection)
    for number, rule in enumerate(RULES):
        progress("database rows", number, len(RULES))
        yield from breaches(connection, rule)


def breaches(connection: apsw.Connection, rule: Rule) -> Iterator[Finding]:
    """What breaks a rule."""
    count = 0
    for row in rows(connection, rule.sql):
        if isinstance(row, Finding):
            yield row
            return
        count += 1
        if count <= MOST:
            yield Finding(rule.kind, str(row[0]), str(row[1]))
    if count > MOST:
        yield Finding(rule.kind, "and more", f"{count - MOST} further ones")


def _pages(connection: apsw.Connection) -> Iterator[Finding]:
    trees: dict[int, str] = {}
    for row in rows(connection, "SELECT rootpage, name FROM sqlite_master WHERE type = 'index'"):
        if isinstance(row, Finding):
            yield row
            return
        trees[row[0]] = row[1]
    indexes: dict[str, str] = {}
    for row in rows(connection, "PRAGMA integrity_check(1000)"):
        if isinstance(row, Finding):
            yield row
        elif row[0] != "ok":
            if name := _index_named(row[0], trees):
                indexes.setdefault(name, row[0])
            else:
                yield Finding("database-damaged", DATABASE, row[0])
    for name, text in indexes.items():
        yield Finding("index-damaged", name, text)


def _index_named(text: str, trees: dict[int, str]) -> str | None:
    """The index a line of integrity_check is about; those that are their table's only copy do not count."""
    if found := _INDEX.search(text):
        name = found[1]
    elif found := _TREE.match(text):
        name = trees.get(int(found[1]), "")
    else:
        return None
    return name if name and not name.startswith("sqlite_autoindex") else None


def pristine(highest: int) -> dict[str, tuple[str, str]]:
    """name -> (type, SQL) of every table and index that the migrations up to this one make."""
    connection = apsw.Connection(":memory:")
    for number, _, sql in migrations():
        if number <= highest:
            connection.execute(sql)
    found = connection.execute("SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {str(name): (str(kind), str(sql)) for name, kind, sql in found}


def _schema(connection: apsw.Connection) -> Iterator[Finding]:
    there = set()
    for row in rows(connection, "SELECT name FROM sqlite_master"):
        if isinstance(row, Finding):
            yield row
            return
        there.add(row[0])
    for name, (kind, _) in pristine(applied(connection)).items():
        if name not in there:
            yield Finding(f"{kind}-missing", name)


def _migrations(connection: apsw.Connection) -> Iterator[Finding]:
    known = {number: (name, checksum(sql)) for number, name, sql in migrations()}
    for row in rows(connection, "SELECT number, name, checksum FROM migrations ORDER BY number"):
        if isinstance(row, Finding):
            yield row
            return
        number, name, found = row
        if number not in known:
            yield Finding("migration-newer", f"migration {number}", str(name))
        elif known[number][1] != found:
            yield Finding("migration-altered", f"migration {number}", str(name))
