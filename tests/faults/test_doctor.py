"""Every class of damage of attack row 72 is found by its name; one damaged mail never stops the rest."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from a3mailer.app.cli.exits import BUG
from a3mailer.keys.kek import KeyRing
from a3mailer.mail.ids import INBOX
from a3mailer.mail.message import index
from a3mailer.ops.doctor import EXITS, FIRST_EXIT, Diagnosis, describe
from a3mailer.ops.doctor import examine as doctor
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite.hints import HintReceiver
from a3mailer.store.backends.sqlite.inspect_database import add_views, breaches
from a3mailer.store.backends.sqlite.inspect_rows import RULES
from a3mailer.store.backends.sqlite.segments import HEADER, segment_path
from a3mailer.store.backends.sqlite.upkeep import SqliteUpkeep
from a3mailer.store.ports import Content, StoreUnusable, Transaction
from a3mailer.store.upkeep import KINDS, silent
from a3mailer.testing.clock import FakeClock
from tests.faults import damaged
from tests.faults.damaged import copy_of, examine, execute, flip, kinds, mail, readable, segments, varint

STEP = 1000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return damaged.make(tmp_path_factory.mktemp("doctor") / "whole")


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    return copy_of(whole, tmp_path / "place")


def diagnose(place: Path, repair: bool = False) -> Diagnosis:
    return doctor(SqliteUpkeep(place, FakeClock()), deep=True, repair=repair, progress=silent)


def places(place: Path) -> list[tuple[Path, int, int, bytes]]:
    """(file, offset, end, content) of every record that something points to."""
    rows = execute(place, "SELECT segment, offset, length, blob FROM blobs ORDER BY segment, offset")
    folder = place / "segments"
    return [
        (segment_path(folder, segment), offset, offset + HEADER + length, blob)
        for segment, offset, length, blob in rows
    ]


def holders(place: Path, blob: bytes) -> set[tuple[int, int]]:
    """(account, email) of those that hold a content."""
    whose = "SELECT id FROM fragments WHERE blob=?1 OR blob IN (SELECT blob FROM blob_parts WHERE part=?1)"
    rows = execute(place, whose, blob)
    return {(row[0] >> 32, row[0] & 0xFFFFFFFF) for row in rows}


# --- nothing wrong ---------------------------------------------------------------------------------


def test_an_undamaged_store_has_no_findings(place: Path) -> None:
    diagnosis = diagnose(place)
    assert (diagnosis.findings, diagnosis.exit_code, diagnosis.summary) == ((), 0, ())


def test_every_class_has_its_own_exit_code() -> None:
    assert len(set(EXITS.values())) == len(KINDS) == len({kind.name for kind in KINDS})
    assert min(EXITS.values()) == FIRST_EXIT
    assert max(EXITS.values()) < BUG


# --- contents --------------------------------------------------------------------------------------


def test_every_thousandth_octet_of_contents(place: Path) -> None:
    """A flip is named as damage of the mail it is in; in a gap of no record nothing is wrong."""
    records = places(place)
    mails = asyncio.run(readable(place))
    total = 0
    for path in segments(place):
        mine = [record for record in records if record[0] == path]
        for at in range(0, max(end for _, _, end, _ in mine), STEP):
            hit = [start for _, start, end, _ in mine if start <= at < end]
            flip(path, at)
            found = examine(place)
            if hit:
                assert [f.kind for f in found] == ["record-damaged"], f"octet {at}"
                assert f"offset {hit[0]}" in found[0].text
                total += 1
            else:
                assert kinds(found) <= {"segment-header"}, f"octet {at}"
            flip(path, at)
    assert total > 200
    assert asyncio.run(readable(place)) == mails


def test_one_damaged_mail_stops_nothing(place: Path) -> None:
    before = asyncio.run(readable(place))
    dice = random.Random(72)
    for path, start, end, blob in dice.sample(places(place), 12):
        at = dice.randrange(start + HEADER, end)
        flip(path, at)
        hit = holders(place, blob) & before.keys()
        assert asyncio.run(readable(place)) == before | dict.fromkeys(hit), f"octet {at}"
        flip(path, at)


def test_a_damaged_record_is_named_by_its_mails(place: Path) -> None:
    where = "SELECT segment, offset FROM blobs WHERE blob = (SELECT blob FROM fragments WHERE id = ?)"
    for number, names in (
        (5, "account 1 INBOX 5, account 1 Sent 2"),
        (9, "account 1 Sent 5, account 2 INBOX 3"),
        (12, "account 1 vault of mailbox 1 12"),
    ):
        ((segment, offset),) = execute(place, where, 1 << 32 | number)
        path = segment_path(place / "segments", segment)
        flip(path, offset + 100)
        (finding,) = examine(place)
        assert finding.where == names
        assert describe(finding).startswith(f"record-damaged {names}: segment {segment:016x} offset {offset}")
        flip(path, offset + 100)


def test_a_damaged_part_is_named_by_the_mails_that_have_it(place: Path) -> None:
    where = "SELECT segment, offset FROM blobs WHERE blob = (SELECT part FROM blob_parts)"
    ((segment, offset),) = execute(place, where)
    flip(segment_path(place / "segments", segment), offset + 200_000)
    (finding,) = examine(place, deep=True)
    assert finding.kind == "record-damaged"
    assert finding.where == "part of account 1 Sent 5, account 2 INBOX 3"


def test_a_moved_record_is_not_taken_for_another(place: Path) -> None:
    (path, first, end, _), (_, second, _, _), *_ = places(place)
    with path.open("r+b") as file:
        file.seek(first)
        octets = file.read(end - first)
        file.seek(second)
        file.write(octets)
    assert kinds(examine(place)) == {"record-damaged"}


def test_a_segment_that_is_gone(place: Path) -> None:
    filled = "SELECT segment, count(*) AS n FROM blobs GROUP BY segment ORDER BY n DESC LIMIT 1"
    ((segment, count),) = execute(place, filled)
    large = "SELECT count(*) FROM fragments WHERE blob NOT IN (SELECT blob FROM blobs WHERE segment = ?)"
    ((elsewhere,),) = execute(place, large, segment)
    segment_path(place / "segments", segment).unlink()
    (finding,) = examine(place)
    assert (finding.kind, finding.where) == ("segment-missing", f"segment {segment:016x}")
    assert f"{count} contents: account 1 INBOX 1; account 2 INBOX 1; account 1 INBOX 2" in finding.text
    left = [octets for octets in asyncio.run(readable(place)).values() if octets is not None]
    assert len(left) == elsewhere


def test_a_truncated_segment(place: Path) -> None:
    paths = [record[0] for record in places(place)]
    records = [record for record in places(place) if paths.count(record[0]) > len(paths) / 2]
    path, _, end, _ = records[-3]
    os.truncate(path, end)
    found = examine(place)
    assert [f.kind for f in found] == ["segment-truncated"]
    assert "2 contents" in found[0].text
    assert list(asyncio.run(readable(place)).values()).count(None) >= 1
    os.truncate(path, 100)
    assert kinds(examine(place)) == {"segment-truncated"}
    os.truncate(path, 0)
    assert "segment-truncated" in kinds(examine(place))


def test_a_zeroed_segment(place: Path) -> None:
    path = segments(place)[0]
    size = path.stat().st_size
    os.truncate(path, 0)
    os.truncate(path, size)
    assert [f.kind for f in examine(place)] == ["segment-zeroed"]


def test_zeroed_pages_inside_a_segment(place: Path) -> None:
    records = places(place)
    path, start, _, _ = records[10]
    page = start // 4096 * 4096
    with path.open("r+b") as file:
        file.seek(page)
        file.write(bytes(4096))
    hit = [r for r in records if r[0] == path and r[1] < page + 4096 and r[2] > page]
    found = examine(place)
    assert [f.kind for f in found] == ["record-damaged"] * len(hit)


def test_the_header_of_a_segment(place: Path) -> None:
    path = segments(place)[0]
    flip(path, 20)
    assert [f.kind for f in examine(place)] == ["segment-header"]
    assert kinds(list(diagnose(place, repair=True).repaired)) == {"segment-header"}
    assert examine(place) == []


# --- keys ------------------------------------------------------------------------------------------


def test_a_lost_key_file(place: Path) -> None:
    (place / "keys/kek").unlink()
    diagnosis = diagnose(place)
    assert [f.kind for f in diagnosis.findings] == ["key-file-missing"]
    assert diagnosis.exit_code == EXITS["key-file-missing"]
    with pytest.raises(StoreUnusable):
        asyncio.run(readable(place))


@pytest.mark.parametrize("octets", [b"", b"{}", b'{"version":1', b"\x00" * 100])
def test_a_damaged_key_file(place: Path, octets: bytes) -> None:
    path = place / "keys/kek"
    path.unlink()
    path.write_bytes(octets)
    path.chmod(0o400)
    assert kinds(examine(place)) == {"key-file-damaged"}


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o644, 0o420])
def test_a_key_file_open_to_others(place: Path, mode: int) -> None:
    (place / "keys/kek").chmod(mode)
    assert [f.kind for f in examine(place)] == ["key-file-mode"]
    assert [f.kind for f in diagnose(place, repair=True).repaired] == ["key-file-mode"]
    assert (place / "keys/kek").stat().st_mode & 0o777 == 0o400


def test_another_instances_key_file(place: Path) -> None:
    (place / "keys/kek").unlink()
    KeyRing.generate().save(place / "keys/kek")
    assert {"key-damaged", "content-damaged"} <= kinds(examine(place, deep=True))


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("key-damaged", "UPDATE account_keys SET wrapped = ? WHERE account = 1"),
        (
            "content-key-damaged",
            "UPDATE blob_refs SET wrapped = ? WHERE blob = (SELECT max(blob) FROM blobs)",
        ),
    ],
)
def test_a_flipped_bit_in_a_key(place: Path, kind: str, sql: str) -> None:
    execute(place, sql, os.urandom(60))
    assert kinds(examine(place)) == {kind}


# --- the database ----------------------------------------------------------------------------------


def test_a_lost_database(place: Path) -> None:
    (place / "store.db").unlink()
    assert [f.kind for f in examine(place)] == ["database-missing"]


@pytest.mark.parametrize("octets", [b"", b"not a database" * 1000])
def test_what_is_no_database(place: Path, octets: bytes) -> None:
    (place / "store.db").write_bytes(octets)
    assert "database-damaged" in kinds(examine(place))


def test_every_damaged_page_is_found(place: Path) -> None:
    """Zeroed pages that hold anything are found, all of them."""
    path = place / "store.db"
    whole = path.read_bytes()
    ((free,),) = execute(place, "PRAGMA freelist_count")
    missed = []
    for start in range(0, len(whole), 4096):
        path.write_bytes(whole[:start] + bytes(4096) + whole[start + 4096 :])
        if not kinds(examine(place)) & {"database-damaged", "index-damaged"}:
            missed.append(start // 4096 + 1)
    assert len(missed) <= free, f"pages {missed}"


def test_every_thousandth_octet_of_the_database_never_surprises(place: Path) -> None:
    """SQLite has no checksums: not every flip is found, but the doctor ends, and names what it finds."""
    path = place / "store.db"
    size = path.stat().st_size
    ((free,),) = execute(place, "PRAGMA freelist_count")
    found = 0
    for at in range(0, size, STEP):
        flip(path, at)
        found += bool(examine(place, deep=True))
        flip(path, at)
        for left in ("store.db-wal", "store.db-shm"):
            (place / left).unlink(missing_ok=True)
    print(f"{found} of {size // STEP + 1} flips in the database were found")
    assert found > (size - 4096 * free) // STEP // 8  # nothing is told by a page that holds nothing
    assert examine(place) == []


def test_a_tree_whose_keys_do_not_ascend_is_not_walked_for_ever(place: Path) -> None:
    """A flip in a page of emails led the deep look back to mails that it had seen, again and again."""
    path = place / "store.db"
    ids = [number for (number,) in execute(place, "SELECT id FROM fragments ORDER BY id")]
    octets, low, high = path.read_bytes(), varint(ids[0]), varint(ids[-1])
    for found in re.finditer(re.escape(high), octets):
        path.write_bytes(octets[: found.start()] + low + octets[found.end() :])
        if [number for (number,) in execute(place, "SELECT id FROM fragments")] == [*ids[:-1], ids[0]]:
            break
    else:
        pytest.fail("the key was not found")
    assert "database-damaged" in {finding.kind for finding in examine(place, deep=True)}


def test_damage_that_changes_the_type_of_a_column_is_a_finding(place: Path) -> None:
    """A flip in a record's header made a number of a blob's name, and the doctor ended in a struct.error."""
    connection = apsw.Connection(str(place / "store.db"))
    connection.execute(
        "INSERT INTO blob_refs SELECT tenant, 3.5, account, count, wrapped FROM blob_refs"
        " WHERE length(wrapped) > 0 LIMIT 1"
    )
    connection.close()
    assert "content-key-damaged" in {finding.kind for finding in examine(place, deep=True)}


@pytest.mark.parametrize("name", ["messages_changed", "queue_due", "tokens_digest", "expunged_vault"])
def test_a_lost_index(place: Path, name: str) -> None:
    before = examine(place)
    assert before == []
    connection = apsw.Connection(str(place / "store.db"))
    connection.execute(f"DROP INDEX {name}")
    connection.close()
    found = examine(place)
    assert [(f.kind, f.where) for f in found] == [("index-missing", name)]
    assert kinds(list(diagnose(place, repair=True).repaired)) == {"index-missing"}
    assert examine(place) == []


def test_a_damaged_index(place: Path) -> None:
    """Entries of changed messages are not in it, as after a lost write."""
    rule = "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = 'messages_changed'"
    for before, after, change in (
        ("modseq > added", "modseq > added + 1000", ""),
        ("modseq > added + 1000", "modseq > added", "UPDATE messages SET modseq = modseq + 1 WHERE uid = 3"),
    ):
        connection = apsw.Connection(str(place / "store.db"))
        if change:
            connection.execute(change)
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(rule, (before, after))
        connection.close()
    assert ("index-damaged", "messages_changed") in [(f.kind, f.where) for f in examine(place)]
    assert "index-damaged" in kinds(list(diagnose(place, repair=True).repaired))
    assert examine(place) == []


def test_a_lost_table(place: Path) -> None:
    execute(place, "DROP TABLE receipts")
    assert [(f.kind, f.where) for f in examine(place)] == [("table-missing", "receipts")]


def test_migrations(place: Path) -> None:
    execute(place, "UPDATE migrations SET checksum = x'00'")
    assert kinds(examine(place)) == {"migration-altered"}
    with pytest.raises(StoreUnusable):
        asyncio.run(readable(place))
    execute(place, "UPDATE migrations SET number = number + 998")
    assert kinds(examine(place)) == {"migration-newer"}


# --- rows that contradict --------------------------------------------------------------------------

BROKEN: tuple[tuple[str, str], ...] = (
    ("mailbox-counters", "UPDATE mailboxes SET messages = messages + 1 WHERE account = 1 AND mailbox = 1"),
    ("mailbox-counters", "UPDATE mailboxes SET unseen = 0 WHERE account = 1 AND mailbox = 1"),
    ("mailbox-counters", "UPDATE mailboxes SET deleted = 7 WHERE account = 2 AND mailbox = 1"),
    ("mailbox-counters", "UPDATE mailboxes SET octets = -1 WHERE account = 1 AND mailbox = 2"),
    ("seen-marks", "INSERT INTO seen VALUES (1, 1, 2, 99999, 1, 1)"),
    ("seen-marks", "INSERT INTO seers VALUES (1, 1, 2, 5)"),
    ("account-usage", "UPDATE accounts SET used_octets = used_octets - 5 WHERE account = 1"),
    ("account-usage", "UPDATE accounts SET used_messages = 0 WHERE account = 2"),
    ("email-copies", "UPDATE fragments SET copies = copies + 1 WHERE id = 4294967296 + 3"),
    ("reference-count", "UPDATE blob_refs SET count = 9 WHERE account = 2"),
    ("reference-count", "UPDATE blob_refs SET count = 9 WHERE account = 2"
     " AND blob = (SELECT part FROM blob_parts)"),
    ("reference-unused", "INSERT INTO blob_parts SELECT tenant, x'1234', at, part FROM blob_parts"),
    ("fragments-missing", "DELETE FROM fragments WHERE blob = (SELECT blob FROM blob_parts)"),
    ("segment-usage", "UPDATE segments SET live = live - 100"),
    ("segment-usage", "DELETE FROM segments"),
    ("uid-order", "UPDATE mailboxes SET uid_next = 5 WHERE account = 1 AND mailbox = 1"),
    ("uid-order", "UPDATE mailboxes SET noticed = 999 WHERE account = 1 AND mailbox = 1"),
    ("uid-order", "INSERT INTO expunged SELECT account, mailbox, 1, uid, 0, 0, 0, email, 0, NULL, thread, 0,"
     " 0, x'', 0 FROM messages WHERE account = 1 AND mailbox = 1 AND uid = 4"),
    ("email-place", "UPDATE fragments SET uid = uid + 100 WHERE id = 4294967296 + 3"),
    ("unique-id", "INSERT INTO messages SELECT account, 1, 999, flags, modseq, added, email, size, keywords,"
     " thread, internal_date, saved_date, blob, 1, 0 FROM messages"
     " WHERE account = 1 AND mailbox = 1 AND uid = 4"),
    ("uid-validity", "UPDATE accounts SET last_validity = 5 WHERE account = 1"),
    ("uid-validity", "UPDATE mailboxes SET uid_validity = (SELECT min(uid_validity) FROM mailboxes"
     " WHERE account = 1) WHERE account = 1 AND mailbox = 2"),
    ("uid-validity", "UPDATE mailboxes SET uid_validity = 0 WHERE account = 1 AND mailbox = 3"),
    ("modseq-order", "UPDATE mailboxes SET modseq = 1 WHERE account = 1 AND mailbox = 1"),
    ("modseq-order", "UPDATE accounts SET modseq = 1 WHERE account = 2"),
    ("modseq-order", "UPDATE messages SET added = modseq + 1 WHERE account = 2 AND uid = 1"),
    ("fragments-missing", "DELETE FROM fragments WHERE id = 4294967296 + 15"),
    ("fragments-differ", "UPDATE fragments SET subject = 'another' WHERE id = 4294967296 + 15"),
    ("fragments-differ", "UPDATE fragments SET envelope = x'00' WHERE id = 4294967296 + 15"),
    ("fragments-differ", "UPDATE fragments SET parts = substr(parts, 2) WHERE id = 4294967296 + 15"),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "sql"), BROKEN)
def test_what_can_be_put_right_is(place: Path, kind: str, sql: str) -> None:
    before = asyncio.run(readable(place))
    execute(place, sql)
    wrong = diagnose(place)
    assert kind in kinds(list(wrong.findings))
    assert wrong.exit_code == min(EXITS[finding.kind] for finding in wrong.findings)
    assert all(finding.repairable for finding in wrong.findings)
    mended = diagnose(place, repair=True)
    assert kind in kinds(list(mended.repaired))
    assert (mended.findings, mended.exit_code) == ((), 0)
    assert asyncio.run(readable(place)) == before


LOST: tuple[tuple[str, str], ...] = (
    ("content-missing", "DELETE FROM blobs WHERE blob = (SELECT blob FROM fragments"
     " WHERE id = 4294967296 + 15)"),
    ("content-missing", "DELETE FROM blob_refs WHERE account = 1 AND blob = (SELECT blob FROM fragments"
     " WHERE id = 4294967296 + 15)"),
    ("content-missing", "DELETE FROM blob_parts"),
    ("content-missing", "UPDATE blob_parts SET part = (SELECT blob FROM blob_parts)"),
    ("content-missing", "DELETE FROM blobs WHERE blob = (SELECT part FROM blob_parts)"),
    ("content-missing", "DELETE FROM blob_refs WHERE account = 2 AND blob = (SELECT part FROM blob_parts)"),
    ("content-missing", "UPDATE queue SET blob = x'00'"),
    ("row-orphaned", "DELETE FROM mailboxes WHERE account = 1 AND mailbox = 2"),
    ("row-orphaned", "DELETE FROM accounts WHERE account = 2"),
    ("row-orphaned", "INSERT INTO grants VALUES (1, 77, 'anyone', 'lr')"),
    ("row-orphaned", "INSERT INTO grants VALUES (77, 0, 'anyone', 'lr')"),
    ("mailbox-lost", "UPDATE mailboxes SET name = 'OUTBOX' WHERE account = 2 AND mailbox = 1"),
    ("queue-broken", "DELETE FROM queue_recipients"),
    ("queue-broken", "DELETE FROM queue"),
    ("address-broken", "DELETE FROM addresses WHERE address = 'alice@a.test'"),
    ("address-broken", "UPDATE addresses SET account = 77 WHERE address = 'ally@a.test'"),
    ("key-damaged", "DELETE FROM account_keys WHERE account = 2"),
    ("dictionary-missing", "UPDATE tenants SET dictionary = 3"),
    ("dictionary-missing", "UPDATE blobs SET dictionary = 4"),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "sql"), LOST)
def test_what_cannot_be_put_right_is_named(place: Path, kind: str, sql: str) -> None:
    execute(place, sql)
    found = examine(place)
    assert kind in kinds(found)
    assert all(finding.where for finding in found)


def test_a_content_nobody_refers_to(place: Path) -> None:
    copied = "SELECT tenant, x'1234', segment, offset, length, size, 0, NULL, NULL FROM blobs LIMIT 1"
    execute(place, f"INSERT INTO blobs {copied}")
    assert "reference-unused" in kinds(examine(place))
    assert "reference-unused" in kinds(list(diagnose(place, repair=True).repaired))
    assert examine(place) == []


# --- what is left over -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["keys/kek.new", "run/copy-123.db", "run/hints/0000000000000001.sock"])
def test_left_overs(place: Path, name: str) -> None:
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(b"x")
    assert [(f.kind, f.where) for f in examine(place)] == [("left-over", name)]
    diagnose(place, repair=True)
    assert not (place / name).exists()
    assert examine(place) == []


def test_a_workers_socket_is_none_while_its_writer_is_replaced(place: Path) -> None:
    """The lock is free for that moment; the kill harness once saw live sockets named as left over."""
    killed, alive = (HintReceiver(place / "run" / "hints", number) for number in (6, 7))
    killed.socket.close()
    assert examine(place) == []  # the next worker sweeps it
    alive.socket.close()
    assert [f.where for f in examine(place)] == [f"run/hints/{number:016x}.sock" for number in (6, 7)]


def test_killed_workers_sockets_are_swept_by_the_next_worker(place: Path) -> None:
    folder = place / "run" / "hints"
    killed, alive = HintReceiver(folder, 7), HintReceiver(folder, 8)
    killed.socket.close()
    for number in (7, 8):
        os.utime(folder / f"{number:016x}.sock", (0, 0))
    fresh = HintReceiver(folder, 9)
    assert sorted(path.name for path in folder.iterdir()) == [f"{n:016x}.sock" for n in (8, 9)]
    alive.close()
    fresh.close()


def test_a_lock_without_its_holder_is_nothing(place: Path) -> None:
    assert (place / "run/writer.lock").exists()
    assert examine(place) == []
    assert diagnose(place, repair=True).findings == ()


async def _while_served(place: Path, act: Callable[[], object]) -> object:
    store = await damaged.open_store(place)
    try:
        return await asyncio.to_thread(act)
    finally:
        await store.close()


def test_a_store_that_is_served_is_looked_at_and_not_mended(place: Path) -> None:
    assert asyncio.run(_while_served(place, lambda: examine(place, deep=True))) == []
    with pytest.raises(StoreUnusable):
        asyncio.run(_while_served(place, lambda: diagnose(place, repair=True)))


def test_several_at_once(place: Path) -> None:
    """Each is named, and the gravest gives the exit code."""
    flip(places(place)[3][0], places(place)[3][1] + 70)
    execute(place, "UPDATE mailboxes SET messages = 0 WHERE account = 1 AND mailbox = 1")
    (place / "keys/kek").chmod(0o444)
    diagnosis = diagnose(place)
    assert kinds(list(diagnosis.findings)) == {"record-damaged", "mailbox-counters", "key-file-mode"}
    assert diagnosis.exit_code == EXITS["key-file-mode"]
    assert [name for name, _, _ in diagnosis.summary] == [
        "key-file-mode",
        "record-damaged",
        "mailbox-counters",
    ]
    after = diagnose(place, repair=True)
    assert [f.kind for f in after.findings] == ["record-damaged"]


def test_a_flip_in_an_old_record_loses_no_later_one(place: Path) -> None:
    """The next owner of the segment must not take what lies behind a damaged record for free room."""
    path, start, _, blob = places(place)[5]
    before = asyncio.run(readable(place))
    hit = holders(place, blob) & before.keys()
    assert hit
    flip(path, start + 3)
    asyncio.run(append_one(place))
    after = asyncio.run(readable(place))
    assert len(after) == len(before) + 1
    for key, octets in before.items():
        assert after[key] == octets or (key in hit and after[key] is None)


async def append_one(place: Path) -> None:
    store = await damaged.open_store(place)
    made = Content(mail(99), index(mail(99)))
    await store.commit(Transaction((op.Append(damaged.ALICE, INBOX, 0),), (made,)))
    await store.close()


def steps(place: Path, mails: int) -> dict[int, int]:
    """Steps of SQLite's machine that each rule takes, with so many more mails in the store."""
    connection = apsw.Connection(str(place / "store.db"))
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
    for sql in (
        "INSERT INTO messages SELECT 1, 1, i, 0, i, i, i, 10, NULL, i, 0, 0, randomblob(16), 0, i FROM n",
        "INSERT INTO fragments SELECT 1 << 32 | i, 1, 10, 0, 0, (SELECT blob FROM messages WHERE account = 1"
        " AND mailbox = 1 AND uid = i), x'', x'', '', '', x'', 1, i, NULL, NULL FROM n",
        "INSERT INTO expunged SELECT 1, 2, i, i, 1, 0, 0, i, 10, NULL, i, 0, 0, x'', 0 FROM n",
        "INSERT INTO blobs (tenant, blob, segment, offset, length, size, dictionary)"
        " SELECT 1, blob, 1, uid * 100, 10, 10, 0 FROM messages, (SELECT 1 FROM n LIMIT 1) WHERE uid >= 1000",
        "INSERT INTO blob_refs SELECT 1, blob, 1, 1, x'' FROM messages, (SELECT 1 FROM n LIMIT 1)"
        " WHERE uid >= 1000",
    ):
        connection.execute(f"{numbers} {sql}", (1000 + mails,))
    add_views(connection)
    counted: dict[int, int] = {}
    for number, rule in enumerate(RULES):
        counted[number] = 0

        def step(number: int = number) -> bool:
            counted[number] += 1
            return False

        connection.set_progress_handler(step, 100)
        list(breaches(connection, rule))
    connection.close()
    return counted


def test_looking_takes_time_in_proportion(whole: Path, tmp_path: Path) -> None:
    few = steps(copy_of(whole, tmp_path / "few"), 2000)
    many = steps(copy_of(whole, tmp_path / "many"), 4000)
    for number, rule in enumerate(RULES):
        assert many[number] < 2.3 * few[number] + 50, rule.sql
