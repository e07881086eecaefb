"""Attack row 72: a damaged mail is named and left out of an export; every other one is in it, whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from a3mailer.mail.ids import AccountId
from a3mailer.ops.export import Exported, Missed, export, folder_name, new_folder
from a3mailer.store.backends.sqlite.segments import HEADER, segment_path
from a3mailer.store.backends.sqlite.upkeep import SqliteUpkeep
from a3mailer.store.upkeep import silent
from tests.faults import damaged
from tests.faults.damaged import ALICE, BOB, copy_of, execute, flip, mail, readable

WHO = ((ALICE, "alice@a.test"), (BOB, "bob@a.test"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return damaged.make(tmp_path_factory.mktemp("export") / "whole")


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    return copy_of(whole, tmp_path / "place")


def run(place: Path, target: Path, form: str = "maildir") -> Exported:
    with new_folder(target) as folder, SqliteUpkeep(place).reading() as reader:
        return asyncio.run(export(reader, WHO, folder, form, silent))


def files(target: Path) -> dict[tuple[str, str, int], bytes]:
    """(address, folder, uid) -> octets."""
    return {
        (path.parts[-4] if path.parts[-3].startswith(".") else path.parts[-3],
         path.parts[-3] if path.parts[-3].startswith(".") else "INBOX",
         int(path.name.split(".U")[1].split(".")[0])): path.read_bytes()
        for path in target.glob("**/cur/*")
    }  # fmt: skip


def test_all_mail_of_all_accounts_is_exported_as_it_was_sent(place: Path, tmp_path: Path) -> None:
    made = run(place, tmp_path / "out")
    found = files(tmp_path / "out")
    known = asyncio.run(readable(place))
    assert made.missed == () and sum(box.messages for box in made.mailboxes) == len(found) > 45
    assert sorted(found.values()) == sorted(octets for _, octets in _with_copies(place, known))
    assert found["alice@a.test", "INBOX", 1] == mail(0) and found["bob@a.test", "INBOX", 1] == mail(0)
    assert ("alice@a.test", ".Sent", 1) in found and ("alice@a.test", "INBOX", 12) not in found  # expunged
    assert {box.mailbox for box in made.mailboxes} == {"INBOX", "Sent", "Drafts", "Junk", "Trash", "Archive"}


def _with_copies(place: Path, known: dict[tuple[int, int], bytes | None]) -> list[tuple[int, bytes]]:
    rows = execute(place, "SELECT account, email FROM messages")
    return [(account, known[account, email] or b"") for account, email in rows]


@pytest.mark.parametrize("number", [1, 4, 8], ids=["of one", "of both", "of several frames"])
def test_one_damaged_mail_is_named_and_never_stops_the_rest(place: Path, tmp_path: Path, number: int) -> None:
    everything = files_of(run(place, tmp_path / "before"), tmp_path / "before")
    lost = {key for key, octets in everything.items() if octets == mail(number)}
    for path, at in {_place(place, *key) for key in lost}:
        flip(path, at)
    made = run(place, tmp_path / "out")
    dotted = {"INBOX": "INBOX", "Sent": ".Sent"}
    assert {(m.address, dotted[m.mailbox], m.uid) for m in made.missed} == lost
    assert all(m.text for m in made.missed)
    kept = {key: octets for key, octets in everything.items() if key not in lost}
    assert files(tmp_path / "out") == kept and lost


def _place(place: Path, address: str, folder: str, uid: int) -> tuple[Path, int]:
    """Where the middle lies of what somebody has there, or of its largest part."""
    found = "SELECT m.blob FROM messages m JOIN mailboxes b USING (account, mailbox)"
    found += " JOIN accounts a USING (account)"
    who = (address, folder.removeprefix("."), uid)
    ((blob,),) = execute(place, f"{found} WHERE a.address = ? AND b.name = ? AND m.uid = ?", *who)
    parts = "SELECT part FROM blob_parts WHERE blob = ?1"
    where = f"SELECT segment, offset, length FROM blobs WHERE blob = ?1 OR blob IN ({parts}) ORDER BY length"
    segment, offset, length = execute(place, where, blob)[-1]
    return segment_path(place / "segments", segment), offset + HEADER + length // 2


def test_a_key_or_a_row_that_is_damaged_costs_what_hangs_on_it(place: Path, tmp_path: Path) -> None:
    total = len(files_of(run(place, tmp_path / "all"), tmp_path / "all"))
    execute(place, "UPDATE account_keys SET wrapped = zeroblob(length(wrapped)) WHERE account = ?", BOB)
    execute(place, "UPDATE messages SET flags = 'x' WHERE account = ? AND mailbox = 1 AND uid = 3", ALICE)
    made = run(place, tmp_path / "out")
    found = files(tmp_path / "out")
    assert {m.uid for m in made.missed if m.address == "alice@a.test"} <= {0, 3}
    lost = [m for m in made.missed if m.address == "bob@a.test"]
    assert len(lost) == 10 and not [key for key in found if key[0] == "bob@a.test"]
    assert 0 < len(found) < total


def files_of(made: Exported, target: Path) -> dict[tuple[str, str, int], bytes]:
    assert made.missed == ()
    return files(target)


def test_mbox_has_as_many_mails(place: Path, tmp_path: Path) -> None:
    made = run(place, tmp_path / "out", "mbox")
    for box in made.mailboxes:
        text = (tmp_path / "out" / box.path).read_bytes()
        assert text.startswith(b"From ") + text.count(b"\n\nFrom MAILER-DAEMON ") == box.messages
    assert sum(box.messages for box in made.mailboxes) > 45


def test_nothing_is_left_of_an_export_that_did_not_end(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(RuntimeError), new_folder(target) as folder:
        (folder / "x").write_bytes(b"")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError), new_folder(target):
        pass


def test_an_address_is_one_level_of_a_path() -> None:
    assert folder_name('"../x"@a.test') == '"..%2Fx"@a.test'
    assert folder_name("50%2F@a.test") == "50%252F@a.test"
    assert str(Missed("a@b", "INBOX", 3, "checksum")) == "not exported: a@b INBOX uid 3: checksum"
    assert AccountId(1) == ALICE
