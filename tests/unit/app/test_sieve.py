"""sieve compile and sieve run: exit codes, JSON and text, as rigs and operators rely on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from a3mailer.app.main import main

MAIL = b"From: a@x.example\r\nTo: bob@example.test\r\nSubject: hello\r\n\r\nbody\r\n"
ALL = """require ["fileinto", "envelope", "environment", "copy"];
if header :contains "subject" "hello" { fileinto "Greetings"; redirect :copy "c@d.example"; }
if envelope "from" "" { redirect "null@d.example"; }
if envelope "auth" "alice" { redirect "auth@d.example"; }
if envelope :localpart "to" "bob" { keep; }
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "mail").write_bytes(MAIL)
    (tmp_path / "script").write_text(ALL)
    return tmp_path


def called(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["sieve", *words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("script", "code", "line", "column"),
    [
        ("keep;", 0, 0, 0),
        ("keep;\n  bogus;", 1, 2, 3),
        ("keep", 1, 1, 5),
        ('require ["fileinto",\n "vnd.nobody"];', 2, 1, 9),
        ('fileinto "x";', 1, 1, 1),
    ],
)
def test_compile(
    files: Path, capsys: pytest.CaptureFixture[str], script: str, code: int, line: int, column: int
) -> None:
    path = files / "other"
    path.write_text(script)
    found, out, _ = called(capsys, "compile", str(path), "--json")
    assert found == code
    told = json.loads(out)
    assert told["ok"] is (code == 0)
    if code:
        assert (told["line"], told["column"]) == (line, column)
        assert told["unknown_capability"] is (code == 2)
        assert called(capsys, "compile", str(path))[1].startswith(f"{path}:{line}:{column}: ")


def ran(capsys: pytest.CaptureFixture[str], files: Path, *words: str) -> dict[str, Any]:
    code, out, _ = called(capsys, "run", str(files / "script"), str(files / "mail"), *words, "--json")
    assert code == 0
    return dict(json.loads(out))


def test_run_tells_the_actions_and_takes_none(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = ran(capsys, files)
    assert told["ok"] is True
    assert told["actions"] == ["store", "redirect"]
    assert told["redirects"] == ["c@d.example"]
    assert told["details"][0] == {"action": "store", "mailbox": "Greetings"}
    assert told["trace"][0] == {
        "line": 2,
        "column": 4,
        "word": "header",
        "result": True,
        "text": ':contains "subject" "hello"',
    }


def test_the_envelope_is_given_by_arguments_or_options(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(capsys, files, "", "bob@x.example")["actions"] == ["store", "redirect", "redirect", "keep"]
    assert ran(capsys, files, "<>", "<bob@x.example>")["redirects"] == ["c@d.example", "null@d.example"]
    told = ran(capsys, files, "a@b.example", "x@y.example", "alice")
    assert told["redirects"] == ["c@d.example", "auth@d.example"]
    assert ran(capsys, files, "--auth", "alice", "--from", "", "--to", "x@y.example")["redirects"] == [
        "c@d.example",
        "null@d.example",
        "auth@d.example",
    ]
    assert called(capsys, "run", str(files / "script"), str(files / "mail"), "a@b.example")[0] == 64


def test_a_trace_in_words(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("run", str(files / "script"), str(files / "mail"), "a@b.example", "bob@example.test", "--trace")
    code, out, _ = called(capsys, *words)
    assert code == 0
    lines = out.splitlines()
    assert '3:4: envelope "from" "" -> false' in lines
    assert lines[-3:] == ["store Greetings", "redirect c@d.example (copy)", "keep"]


def test_an_error_of_the_run_keeps_the_mail(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "script").write_text('require "reject"; reject "a";\nreject "b";')
    code, out, _ = called(capsys, "run", str(files / "script"), str(files / "mail"), "--json")
    told = json.loads(out)
    assert code == 1
    assert told["ok"] is False
    assert told["actions"] == ["keep"]
    assert (told["error"]["line"], told["error"]["column"]) == (2, 1)
    (files / "script").write_text("nonsense;")
    assert called(capsys, "run", str(files / "script"), str(files / "mail"))[0] == 1
    (files / "script").write_text('require "nonsense";')
    assert called(capsys, "run", str(files / "script"), str(files / "mail"))[0] == 2


def test_a_file_that_is_not_there(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "compile", str(files / "none"))[0] == 64
    assert called(capsys, "run", str(files / "script"), str(files / "none"))[0] == 64
