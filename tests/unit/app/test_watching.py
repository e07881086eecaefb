"""logs and top: which events are shown, from where they are read, what is made of two samples."""

from __future__ import annotations

import io
import json
import os
import pathlib
import sys
import threading

import pytest

from a3mailer.app.cli import exits, logs, top
from a3mailer.app.cli.top import Sample, compare, page
from a3mailer.app.main import main
from a3mailer.telemetry.metrics import METRICS, Metrics

EVENTS = (
    {"time": 3.0, "level": "info", "event": "smtp.mail.accepted", "trace": "ab12-1", "process": "worker-1"},
    {"time": 1.0, "level": "debug", "event": "connection.lost", "trace": "ab12", "reason": "x\x1b[2J"},
    {"time": 2.0, "level": "warning", "event": "auth.login.failed", "trace": "ab123", "ip": "192.0.2.1"},
    {"time": 4.0, "level": "error", "event": "smtpish", "note": "ab12"},
)


@pytest.fixture
def log(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "serve.log"
    path.write_text("".join(f"{json.dumps(event)}\n" for event in EVENTS) + "no event\n{}\n[1]")
    return path


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    assert main(["logs", *words, "--json"]) == exits.OK
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("words", "events"),
    [
        (["--trace", "ab12"], [1, 0]),
        (["--trace", "ab12-1"], [0]),
        (["--trace", "ab1"], []),
        (["--event", "smtp"], [0]),
        (["--event", "smtp.mail.accepted"], [0]),
        (["--level", "warning"], [2, 3]),
        (["--level", "info", "--trace", "ab12"], [0]),
        (["--event", "auth", "--lines", "1"], [2]),
    ],
)
def test_only_what_was_asked_for(
    log: pathlib.Path, capsys: pytest.CaptureFixture[str], words: list[str], events: list[int]
) -> None:
    assert shown(capsys, str(log), *words) == [EVENTS[number] for number in events]


def test_everything_includes_what_is_no_event(log: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything = shown(capsys, str(log), "--lines", "0")
    assert everything[:3] == [EVENTS[1], EVENTS[2], EVENTS[0]]
    assert {"text": "no event"} in everything and {"text": "[1]"} in everything
    assert len(shown(capsys, str(log), "--lines", "2")) == 2


def test_a_strangers_text_cannot_drive_the_terminal(
    log: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs", str(log), "--trace", "ab12"]) == exits.OK
    out = capsys.readouterr().out
    assert "\x1b" not in out and "reason=x\\x1b[2J" in out
    assert out.splitlines()[0].startswith("1970-01-01 00:00:01.000 debug   connection.lost trace=ab12 ")


def test_wrong_uses(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a3mailer.toml").write_text("")
    assert main(["logs", "--lines", "-1", "-"]) == exits.USAGE
    assert main(["logs", str(tmp_path / "none")]) == exits.UNUSABLE
    assert main(["logs", "--dir", str(tmp_path)]) == exits.NOT_RUNNING
    assert main(["top", "--dir", str(tmp_path)]) == exits.NOT_RUNNING
    assert main(["top", "--dir", str(tmp_path), "--interval", "0"]) == exits.USAGE
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("cut", [1, 7, 1 << 16])
def test_lines_are_whole_however_they_come(log: pathlib.Path, cut: int) -> None:
    whole = log.read_bytes()
    pieces = iter([whole[at : at + cut] for at in range(0, len(whole), cut)])
    lines = list(logs._lines(lambda: next(pieces, None)))
    assert lines == [*whole.split(b"\n"), None]


def test_a_log_that_is_emptied_is_read_from_its_begin(log: pathlib.Path) -> None:
    with io.FileIO(log) as file:
        assert logs._grown(file) and logs._grown(file) == b""
        log.write_bytes(b"new\n")
        assert logs._grown(file) == b"new\n"
        with log.open("ab") as more:
            more.write(b"more\n")
        assert logs._grown(file) == b"more\n"


def test_stdin_is_followed_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(json.dumps(EVENTS[0]).encode() + b"\n")
            pipe.flush()
            closing = threading.Timer(0.3, pipe.close)
            closing.start()
            assert main(["logs", "-", "--follow", "--json"]) == exits.OK
            closing.join()
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [EVENTS[0]]


def test_the_journal_is_asked_for_the_unit(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "journalctl"
    script.write_text('#!/bin/sh\necho "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with logs._journal("a3mailer.service", follow=False) as pipe:
        assert logs._piped(pipe, follow=False) == b"--output=cat --lines=all --unit a3mailer.service\n"
        assert logs._piped(pipe, follow=False) is None
    unit = logs._UNIT.search("0::/system.slice/a3mailer.service\n")
    assert unit is not None and unit[1] == "a3mailer.service"
    assert logs._UNIT.search("0::/user.slice/session-1.scope\n") is None


def sample(at: float, metrics: Metrics, cpu: float) -> Sample:
    kinds = {m.name: m.kind for m in METRICS}
    return Sample(at, kinds, metrics.totals(), {7: ("writer", cpu, 3 << 20)})


def test_two_samples_make_rates() -> None:
    metrics = Metrics()
    metrics.count("a3_smtp_mails_total", "accepted", 5)
    before = sample(100.0, metrics, 1.0)
    metrics.count("a3_smtp_mails_total", "accepted", 30)
    metrics.observe("a3_smtp_end_of_data_seconds", 0.002)
    metrics.observe("a3_smtp_end_of_data_seconds", 0.004)
    metrics.state("a3_queue_entries", "held", 4)
    found = compare(before, sample(102.0, metrics, 1.5))
    assert found["metrics"]["a3_smtp_mails_total"]["accepted"] == 15.0
    assert found["metrics"]["a3_smtp_end_of_data_seconds"]["mean"] == pytest.approx(0.003)
    assert found["metrics"]["a3_queue_entries"] == {"waiting": 0.0, "trying": 0.0, "held": 4.0}
    assert found["processes"] == [{"name": "writer", "pid": 7, "cpu": 0.25, "resident": 3 << 20}]
    text = page(found)
    assert "accepted 15.0 a second" in text and "reply 3.0 ms" in text and "held 4" in text
    assert "25.0 %" in text and "3.0 MiB" in text


def test_what_was_restarted_counts_from_zero() -> None:
    metrics = Metrics()
    metrics.count("a3_deliveries_total", by=9)
    before = sample(100.0, metrics, 9.0)
    found = compare(before, sample(101.0, Metrics(), 0.0))
    assert found["metrics"]["a3_deliveries_total"] == {"": 0.0}
    assert found["processes"][0]["cpu"] == 0.0


def test_a_process_that_is_gone_is_left_out() -> None:
    assert top._process(os.getpid(), "me") is not None
    assert top._process(0, "none") is None
