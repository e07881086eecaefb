"""backup, restore, verify and doctor from the command line."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pathlib
from collections.abc import Iterator

import pytest

from a3mailer.app.cli import exits
from a3mailer.app.lock import acquire
from a3mailer.app.main import main
from a3mailer.config.tree import Settings
from a3mailer.mail.ids import INBOX
from a3mailer.mail.message import index
from a3mailer.ops.doctor import EXITS
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.operations import Append
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.store.case import mail


class Console:
    """The command line on one instance; ``key`` is its recovery key."""

    def __init__(
        self, directory: pathlib.Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
    ) -> None:
        self.capsys, self.patch = capsys, patch
        self.place = directory / "instance"
        made = self.run(
            "init", str(self.place), "--domain", "example.test", "--account", "bob@example.test:x"
        )
        self.key = str(made["recovery_key"])

    def run(self, *words: str, code: int = exits.OK, stdin: str = "") -> dict[str, object]:
        self.patch.setattr("sys.stdin", io.StringIO(stdin))
        found = main([*words, "--json"])
        out, self.err = self.capsys.readouterr()
        assert found == code, (found, out, self.err)
        return dict(json.loads(out)) if out else {}

    def at(self, *words: str, code: int = exits.OK, stdin: str = "") -> dict[str, object]:
        return self.run(*words, "--dir", str(self.place), code=code, stdin=stdin)


@pytest.fixture
def console(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Console]:
    mask = os.umask(0o022)
    yield Console(tmp_path, capsys, monkeypatch)
    os.umask(mask)


def test_a_backup_stands_up_elsewhere_with_the_recovery_key_alone(
    console: Console, tmp_path: pathlib.Path
) -> None:
    copy, other = tmp_path / "copy", tmp_path / "other"
    made = console.at("backup", str(copy))
    assert made["sealed"] is True and made["damaged"] == [] and copy.stat().st_mode & 0o777 == 0o600
    assert b"example.test" not in copy.read_bytes()
    console.at("backup", str(copy), code=exits.EXISTS)
    assert console.run("verify", str(copy))["opened"] is False
    assert (
        console.run("verify", str(copy), "--recovery-key-stdin", stdin=console.key + "\n")["opened"] is True
    )
    for wrong in ("", "A3R-WRONG\n", console.key[:-1] + ("A" if console.key[-1] != "A" else "B") + "\n"):
        console.run("restore", str(copy), str(other), "--recovery-key-stdin", code=exits.USAGE, stdin=wrong)
        assert not other.exists() and console.err.count("\n") == 1
    console.run("restore", str(copy), str(other), code=exits.USAGE)  # nobody to ask
    found = console.run(
        "restore", str(copy), str(other), "--recovery-key-stdin", stdin=console.key.lower() + "\n"
    )
    assert found["findings"] == []
    console.run(
        "restore", str(copy), str(other), "--recovery-key-stdin", code=exits.EXISTS, stdin=console.key + "\n"
    )
    console.place = other
    assert console.at("doctor", "--deep")["findings"] == []
    assert console.at("verify")["whole"] is True
    main(["account", "list", "--json", "--dir", str(other)])
    assert [r["address"] for r in json.loads(console.capsys.readouterr().out)] == [
        "admin@example.test",
        "bob@example.test",
    ]


def test_a_damaged_backup_is_told_and_nothing_is_made_of_it(console: Console, tmp_path: pathlib.Path) -> None:
    copy, bad, other = tmp_path / "copy", tmp_path / "bad", tmp_path / "other"
    console.at("backup", str(copy))
    octets = copy.read_bytes()
    for broken in (
        octets[:-1],
        octets[: len(octets) // 2],
        b"",
        b"x" * 100,
        octets[:200] + b"\x00" + octets[201:],
    ):
        bad.write_bytes(broken)
        console.run("verify", str(bad), code=exits.NO)
        console.run(
            "restore", str(bad), str(other), "--recovery-key-stdin", code=exits.NO, stdin=console.key + "\n"
        )
        assert console.err.startswith("a3mailer: ") and not other.exists()
    console.run("verify", str(tmp_path / "none"), code=exits.LATER)


def test_acts_on_files_are_on_the_record(console: Console, tmp_path: pathlib.Path) -> None:
    console.at("backup", str(tmp_path / "copy"))
    main(["audit", "query", "--action", "store", "--json", "--dir", str(console.place)])
    (row,) = json.loads(console.capsys.readouterr().out)
    assert (row["action"], row["target"]) == ("store.backup", str(tmp_path / "copy"))


def test_doctor_says_how_far_the_index_of_texts_is(console: Console) -> None:
    assert console.at("doctor")["texts"] is None
    asyncio.run(_deliver_and_index(console.place))
    texts = console.at("doctor")["texts"]
    assert isinstance(texts, dict)
    assert (texts["emails"], texts["indexed"]) == (3, 2)
    assert texts["octets"] > 0
    assert main(["doctor", "--dir", str(console.place)]) == exits.OK
    said = console.capsys.readouterr().out
    assert "2 of 3 mails are indexed, " in said
    assert "a search reads the other 1" in said


async def _deliver_and_index(place: pathlib.Path) -> None:
    store = await SqliteStore.open(place, Settings(), None)
    try:
        (entry, *_) = await store.accounts(1000, 0)
        for number in range(3):
            octets = mail(f"subject {number}", "text")
            append = Append(entry.id, INBOX, 0, 0)
            await store.commit(Transaction((append,), (Content(octets, index(octets)),)))
            if number == 1:
                while await store.indexing().index(entry.id):
                    pass
    finally:
        await store.close()


def test_doctor_has_an_exit_code_a_kind_and_mends_under_the_lock(console: Console) -> None:
    key = console.place / "keys/kek"
    key.chmod(0o644)
    found = console.at("doctor", code=EXITS["key-file-mode"])
    assert [f["kind"] for f in found["findings"]] == ["key-file-mode"]  # type: ignore[attr-defined]
    lock = acquire(console.place)
    console.at("doctor", "--repair", code=exits.BUSY)
    os.close(lock)
    mended = console.at("doctor", "--repair")
    assert [f["kind"] for f in mended["repaired"]] == ["key-file-mode"]  # type: ignore[attr-defined]
    assert key.stat().st_mode & 0o777 == 0o400
    key.unlink()
    console.at("doctor", code=EXITS["key-file-missing"])
    assert not set(EXITS.values()) & set(exits.MEANINGS)
