"""export from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from a3mailer.app.cli import exits
from a3mailer.app.main import main


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    place = tmp_path / "instance"
    words = ["init", str(place), "--domain", "example.test", "--account", "bob@example.test:x"]
    assert main(words) == exits.OK
    capsys.readouterr()
    return place


def run(capsys: pytest.CaptureFixture[str], place: Path, *words: str) -> tuple[int, dict[str, object], str]:
    code = main(["export", *words, "--json", "--dir", str(place)])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else {}, err


def test_all_accounts_or_some_and_it_is_on_the_record(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, made, _ = run(capsys, place, str(tmp_path / "all"))
    assert code == exits.OK and (made["accounts"], made["messages"], made["damaged"]) == (2, 0, [])
    names = {"admin@example.test", "bob@example.test"}
    assert {path.name for path in (tmp_path / "all").iterdir()} == names
    code, made, _ = run(capsys, place, str(tmp_path / "one"), "bob@example.test", "--format", "mbox")
    assert code == exits.OK and made["accounts"] == 1
    assert (tmp_path / "one/bob@example.test/INBOX.mbox").read_bytes() == b""
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o700
    assert main(["audit", "query", "--action", "account.export", "--json", "--dir", str(place)]) == exits.OK
    rows = json.loads(capsys.readouterr().out)
    assert sorted(row["target"] for row in rows) == sorted([*names, "bob@example.test"])
    assert rows[-1]["detail"] == {"format": "mbox", "folder": str(tmp_path / "one")}


def test_scripts_are_exported(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.sieve").write_bytes(b"keep;\r\n")
    (tmp_path / "friends").write_text("Carol@b.test\nd@b.test\n")
    at = ("--dir", str(place))
    for words in (
        ("sieve", "put", "bob@example.test", "main/1", str(tmp_path / "x.sieve"), "--activate"),
        ("sieve", "put", "bob@example.test", "other", str(tmp_path / "x.sieve")),
        ("sieve", "members", "bob@example.test", "tag:b.test,2026:x", str(tmp_path / "friends")),
    ):
        assert main([*words, *at]) == exits.OK
    capsys.readouterr()
    code, made, _ = run(capsys, place, str(tmp_path / "all"))
    assert code == exits.OK and len(made["scripts"]) == 4  # type: ignore[arg-type]
    folder = tmp_path / "all/sieve/bob@example.test"
    assert {f"sieve/bob@example.test/{path.name}" for path in folder.iterdir()} == set(made["scripts"])  # type: ignore[call-overload]
    assert (folder / "other.sieve").read_bytes() == b"keep;\r\n"
    active = (folder / "active").read_text().strip()
    assert active.startswith("main") and active.endswith(".sieve") and (folder / active).exists()
    (members,) = folder.glob("*.list")
    assert members.read_text() == "Carol@b.test\nd@b.test\n"
    assert folder.stat().st_mode & 0o777 == 0o700 and not (tmp_path / "all/sieve/admin@example.test").exists()


def test_what_cannot_be_exported_leaves_nothing_behind(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(tmp_path.iterdir())
    assert run(capsys, place, str(tmp_path / "x"), "nobody@example.test")[0] == exits.ABSENT
    assert run(capsys, place, str(tmp_path / "x"), "--format", "pst")[0] == exits.USAGE
    assert run(capsys, tmp_path, str(tmp_path / "x"))[0] == exits.UNUSABLE
    assert run(capsys, place, str(tmp_path / "no" / "x"))[0] == exits.LATER
    assert run(capsys, place, str(place))[0] == exits.EXISTS
    assert set(tmp_path.iterdir()) == before
