"""The command line as such: choosing a verb, help, completion, man page, output, the process verbs."""

from __future__ import annotations

import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from a3mailer import __version__
from a3mailer.app.cli import exits, server
from a3mailer.app.cli.account import octets
from a3mailer.app.cli.families import BY_WORD, FAMILIES, all_verbs
from a3mailer.app.cli.output import Output, limit, moment, plain, size, visible
from a3mailer.app.cli.paper import completion, man_page
from a3mailer.app.cli.verb import Verb, all_options, parser
from a3mailer.app.lock import Locked, acquire, is_held_by
from a3mailer.app.main import main
from a3mailer.identity.roles import UnknownAction

ROOT = pathlib.Path(__file__).parents[3]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


# --- words, help, papers --------------------------------------------------------------------------------


def test_every_verb_belongs_to_its_family_once() -> None:
    paths = [v.path for v in all_verbs()]
    assert len(paths) == len(set(paths)) and {p.partition(" ")[0] for p in paths} == set(BY_WORD)
    assert not [v.path for v in all_verbs() if not v.help or v.help.endswith(".")]


def test_a_verb_without_a_rule_cannot_be_made() -> None:
    with pytest.raises(UnknownAction):
        Verb("x", "y", "no.such.action", lambda args, out: 0)


@pytest.mark.parametrize("verb", all_verbs(), ids=lambda v: v.path)
def test_every_verb_has_json_and_help(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--json" in {o.name for o in all_options(verb)}
    code, out, _ = run(capsys, *verb.path.split(), "--help")
    assert code == exits.OK and out.startswith(f"usage: a3mailer {verb.path}")
    assert parser(verb)


def test_help_lists_all_families_and_no_verb_of_later_issues(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == exits.OK
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ")] == [
        f.word for f in FAMILIES
    ]
    for family in FAMILIES:
        code, out, _ = run(capsys, family.word, "--help")
        assert code == exits.OK and family.word in out


@pytest.mark.parametrize(
    "words",
    [["fly"], ["account"], ["account", "fly"], ["--no"], ["alias", "list", "x"], ["version", "--dir", "x"]],
)
def test_wrong_words_are_one_line_and_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (exits.USAGE, "") and err.startswith("a3mailer: ") and err.count("\n") == 1


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version")[1].startswith(f"a3mailer {__version__}")
    assert json.loads(run(capsys, "version", "--json")[1])["version"] == __version__


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_syntax_their_shell_reads(
    shell: str, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    code, script, _ = run(capsys, "completion", shell)
    assert (
        code == exits.OK
        and "account" in script
        and "--password-stdin" in script.replace("-l password", "--password")
    )
    if shutil.which(shell) is None:
        pytest.skip(f"absent: {shell}")
    (tmp_path / "script").write_text(script)
    checked = subprocess.run([shell, "-n", str(tmp_path / "script")], capture_output=True)
    assert checked.returncode == 0, checked.stderr


def completed(line: str) -> list[str]:
    """What bash offers at the end of a line."""
    words = line.split(" ")
    probe = f"""{completion("bash", all_verbs())}
COMP_WORDS=({" ".join(f"'{w}'" for w in words)}); COMP_CWORD={len(words) - 1}; _a3mailer
printf '%s\\n' "${{COMPREPLY[@]}}" """
    return subprocess.run(["bash", "-c", probe], capture_output=True, text=True, check=True).stdout.split()


def test_bash_offers_what_may_follow() -> None:
    assert set(completed("a3mailer acc")) == {"account"}
    assert {"add", "import", "rm"} <= set(completed("a3mailer account "))
    assert completed("a3mailer account i") == ["import"]
    assert "--password-stdin" in completed("a3mailer account add x@y --")
    assert completed("a3mailer completion f") == ["fish"]
    assert completed("a3mailer config s") == ["set", "sources"]


def test_the_man_page_has_every_verb_and_code() -> None:
    page = man_page(all_verbs())
    assert page.startswith(".TH A3MAILER 1")
    kept = (ROOT / "deploy/man/a3mailer.1").read_text("utf-8")
    assert kept == page, "renew it: python -m a3mailer.app.cli.paper > deploy/man/a3mailer.1"
    assert all(f"a3mailer {v.path}".replace("-", r"\-") in page for v in all_verbs())
    assert all(f"\n{code}\n" in page for code in exits.MEANINGS)
    if shutil.which("man") is None:
        pytest.skip("absent: man")
    checked = subprocess.run(
        ["man", "--warnings", "-l", "-"],
        input=page,
        capture_output=True,
        text=True,
        env={**os.environ, "MANPAGER": "cat"},
    )
    assert checked.returncode == 0 and "warning" not in checked.stderr


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_documents_list_every_exit_code(language: str) -> None:
    page = (ROOT / "docs" / language / "operate.md").read_text("utf-8")
    assert not [code for code in exits.MEANINGS if f"\n| {code} |" not in page]


# --- output ---------------------------------------------------------------------------------------------


def test_hostile_text_cannot_drive_a_terminal() -> None:
    out, err = io.StringIO(), io.StringIO()
    printed = Output(False, out, err)
    evil = "\x1b]0;owned\x07\u202egpj.exe\r\nx"
    printed.table([{"a": evil}], {"a": plain})
    printed.note(evil)
    printed.result(None, evil)
    for text in (out.getvalue(), err.getvalue()):
        assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text and "\r" not in text
    assert out.getvalue().splitlines()[1].count("x") >= 1
    assert visible("gr\u00fc\u00df \u4f60") == "gr\u00fc\u00df \u4f60"


def test_tables_for_people_and_for_programs() -> None:
    rows = [{"a": 1, "b": ["x", "y"]}, {"a": 22, "b": []}]
    out = io.StringIO()
    Output(False, out).table(rows, {"a": plain, "b": plain})
    assert out.getvalue() == "A   B\n1   x, y\n22\n"
    out = io.StringIO()
    Output(True, out).table(rows, {"a": plain})
    assert json.loads(out.getvalue()) == rows
    for as_json, expected in ((True, "[]\n"), (False, "")):
        out = io.StringIO()
        Output(as_json, out).table([], {"a": plain})
        assert out.getvalue() == expected


def test_progress_is_for_terminals_only() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    quiet, loud = io.StringIO(), Terminal()
    for err in (quiet, loud):
        printed = Output(False, io.StringIO(), err)
        with printed.progress("accounts", 2) as advance:
            advance(1)
            advance(2)
        with printed.steps() as step:
            step("contents", 5, 0)
    assert quiet.getvalue() == "" and "accounts" in loud.getvalue() and "contents" in loud.getvalue()


def test_cells() -> None:
    assert [size(n) for n in (0, 1023, 1024, 5 << 30, 1 << 60)] == [
        "0",
        "1023",
        "1.0 KiB",
        "5.0 GiB",
        "1048576.0 TiB",
    ]
    assert [limit(0), limit(2048)] == ["-", "2.0 KiB"]
    assert [moment(0), moment(1795359988)] == ["-", "2026-11-22 15:06:28Z"]
    assert [plain(v) for v in (True, False, None, ("a", 1), 5)] == ["yes", "no", "", "a, 1", "5"]
    assert [octets(t) for t in ("0", "500", "5k", "2G")] == [0, 500, 5120, 2 << 30]
    for bad in ("", "x", "-1", "1.5G", "\u0665", "G"):
        with pytest.raises(exits.Failed):
            octets(bad)


# --- the lock and the process verbs ---------------------------------------------------------------------


def test_the_lock_is_held_once_and_goes_with_its_holder(tmp_path: pathlib.Path) -> None:
    fd = acquire(tmp_path)
    assert is_held_by(tmp_path, os.getpid()) and not is_held_by(tmp_path, 1) and not is_held_by(tmp_path, 0)
    with pytest.raises(Locked):
        acquire(tmp_path)
    os.close(fd)
    assert not is_held_by(tmp_path, os.getpid())
    os.close(acquire(tmp_path))


SUPERVISOR = """
import json, os, pathlib, signal, sys
from a3mailer.app.lock import acquire
directory = pathlib.Path(sys.argv[1])
lock = acquire(directory)
generation = 0
def write():
    workers = [10 + generation, 20 + generation]
    state = {"ready": True, "pid": os.getpid(), "workers": workers, "version": "9.9",
             "listeners": {"smtp": "127.0.0.1:25"}}
    (directory / "run/state.new").write_text(json.dumps(state))
    (directory / "run/state.new").rename(directory / "run/state.json")
write()
print("up", flush=True)
while True:
    number = signal.sigwait({signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2})
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM: break
    if number == signal.SIGUSR2: generation += 1; write()
"""


@pytest.fixture
def instance(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "a3mailer.toml").write_text("")
    return tmp_path


def supervise(directory: pathlib.Path) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    signals = {signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2}
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(directory)], stdout=subprocess.PIPE, text=True, env=env,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, signals) and None,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    return process


def test_root_leaves_no_files_that_the_servers_user_cannot_read(
    instance: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        os.chown(instance, 65534, 65534)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    code, _, err = run(capsys, "account", "list", "--dir", str(instance))
    assert code == exits.UNUSABLE and "belongs to user" in err


def test_status_reload_restart_stop(instance: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "status", str(instance), "--json")
    assert code == exits.NO and json.loads(out) == {**server.NOTHING, "domains": {}}
    for verb in ("stop", "reload", "restart"):
        assert run(capsys, verb, "--dir", str(instance))[0] == exits.NOT_RUNNING
    process = supervise(instance)
    assert process.stdout is not None
    code, out, _ = run(capsys, "status", str(instance), "--json")
    state = json.loads(out)
    assert code == exits.OK and state["ready"] and state["pid"] == process.pid and state["version"] == "9.9"
    assert "smtp 127.0.0.1:25" in run(capsys, "status", str(instance))[1]
    assert run(capsys, "reload", "--dir", str(instance))[0] == exits.OK
    assert process.stdout.readline() == "SIGHUP\n"
    assert run(capsys, "restart", "--dir", str(instance))[0] == exits.OK
    assert process.stdout.readline() == "SIGUSR2\n"
    assert run(capsys, "stop", "--dir", str(instance))[0] == exits.OK
    assert process.stdout.read() == "SIGTERM\n" and process.wait(10) == 0
    assert run(capsys, "status", str(instance))[0] == exits.NO
    process.stdout.close()


def test_a_state_left_by_a_dead_server_is_not_believed(
    instance: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = supervise(instance)
    process.kill()
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()
    assert (instance / "run/state.json").exists()
    assert run(capsys, "status", str(instance))[0] == exits.NO
    for broken in ("", "[]", '{"pid": "x"}', '{"pid": -5, "ready": true}', "\x00"):
        (instance / "run/state.json").write_text(broken)
        assert run(capsys, "status", str(instance))[0] == exits.NO


def test_status_is_quick_to_start_because_it_imports_little() -> None:
    probe = "import sys\nfrom a3mailer.app.main import main\n"
    probe += "main(['status', '/nonexistent'])\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    heavy = {"msgspec", "asyncio", "ssl", "apsw", "cryptography", "rich", "argon2", "uvloop"}
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize(
    "words",
    [
        ["status", "/nonexistent"],
        ["serve", "/nonexistent"],
        ["account", "list", "--dir", "/nonexistent"],
        ["status", "/tmp"],
    ],
)
def test_a_directory_that_is_none_is_said_so(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, *words)
    assert code == exits.UNUSABLE and "a3mailer init" in err


def test_the_directory_comes_from_the_environment(
    instance: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A3_DIR", str(instance))
    assert run(capsys, "status")[0] == exits.NO
    assert run(capsys, "stop")[0] == exits.NOT_RUNNING


def test_a_busy_directory_is_waited_for_then_named(
    instance: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from a3mailer.app.cli import office

    monkeypatch.setattr(office, "WAIT_SECONDS", 0.3)
    fd = acquire(instance)
    code, _, err = run(capsys, "account", "list", "--dir", str(instance))
    os.close(fd)
    assert code == exits.BUSY and "in use by another process" in err


# --- message parse --------------------------------------------------------------------------------------


def test_message_parse(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    mail = tmp_path / "mail"
    mail.write_bytes(
        b"From: =?utf-8?Q?J=C3=BCrgen?= <j@x.test>\r\nTo: a@b.test, c@d.test\r\nSubject: hi\r\n\r\nbody\r\n"
    )
    code, out, _ = run(capsys, "message", "parse", str(mail), "--json")
    found = json.loads(out)
    assert (
        code == exits.OK
        and found["subject"] == "hi"
        and found["from"] == [{"name": "J\u00fcrgen", "address": "j@x.test"}]
    )
    assert [a["address"] for a in found["to"]] == ["a@b.test", "c@d.test"] and found["parts"][0][
        "type"
    ] == "text/plain"
    assert "J\u00fcrgen <j@x.test>" in run(capsys, "message", "parse", str(mail))[1]
    mail.write_bytes(bytes(range(256)) * 10)
    assert run(capsys, "message", "parse", str(mail), "--json")[0] == exits.OK
    assert run(capsys, "message", "parse", str(tmp_path / "none"))[0] == exits.USAGE


def test_the_sample_mails_are_what_they_should_be() -> None:
    from a3mailer.app.cli.greet import samples
    from a3mailer.mail.message import index

    found = samples()
    assert len(found) == 6 and all(sender and recipients for sender, recipients, _ in found)
    assert all(r.endswith("@localhost.test") for _, recipients, _ in found for r in recipients)
    assert not [index(octets).truncated for _, _, octets in found if index(octets).truncated]
    assert any(index(octets).has_attachment for _, _, octets in found)
