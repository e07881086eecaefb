"""The sendmail command as programs use it: a shell's pipe, cron's options, neomutt; and its exit codes."""

from __future__ import annotations

import base64
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests import peers
from tests.compat.readers import imaplib_read
from tests.rig import Rig


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    settings = ("profile=plain", "limits.profile=off", "queue.relay=127.0.0.1:1")
    with Rig(tmp_path_factory.mktemp("sendmail"), settings=settings, workers=1) as made:
        yield made


@pytest.fixture
def sendmail(rig: Rig, tmp_path: pathlib.Path) -> pathlib.Path:
    """What a link to the installed command does: the name it is called by is the verb."""
    program = tmp_path / "sendmail"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\nos.environ['A3_DIR'] = {str(rig.directory)!r}\n"
        f"sys.path[:0] = {rig.env['PYTHONPATH'].split(os.pathsep)!r}\n"
        "from a3mailer.app.main import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    return program


def run(program: pathlib.Path, *arguments: str, stdin: bytes = b"") -> tuple[int, str]:
    done = subprocess.run([program, *arguments], input=stdin, capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def inbox(rig: Rig, index: int = 1) -> list[bytes]:
    return imaplib_read(rig.port("imap"), rig.credentials(index))


def test_programs_send_mail(rig: Rig, sendmail: pathlib.Path) -> None:
    cron = b"From: root (Cron Daemon)\nTo: bob\nSubject: Cron <root@host> backup\n\nline\n.\nafter the dot\n"
    options = ("-i", "-FCronDaemon", "-B8BITMIME", "-oem", "-t")  # Debian's cron, with -t for its To
    assert run(sendmail, *options, stdin=cron) == (0, "")
    dotted = b"Subject: x\n\nhi\n.\nnot this\n"
    code, text = run(sendmail, "-v", "-f", "alice@example.test", "--", "bob@example.test", stdin=dotted)
    assert code == 0 and text.startswith("accepted as ")
    big = b"From: alice@example.test\nSubject: big\n\n" + base64.encodebytes(os.urandom(8 << 20))
    assert run(sendmail, "-oi", "-falice@example.test", "bob", stdin=big) == (0, "")
    mails = inbox(rig)
    (cronned,) = [mail for mail in mails if b"From: CronDaemon <admin@example.test>\r\n" in mail]
    assert cronned.endswith(b"\r\n.\r\nafter the dot\r\n")
    assert any(m.endswith(b"\r\n\r\nhi\r\n") for m in mails) and max(map(len, mails)) > 8 << 20
    code, text = run(sendmail, "-f", "alice", "x@else.test", stdin=b"Subject: out\n\nhi\n")
    assert code == 0 and "x@else.test" in run(sendmail, "-bp")[1]


def test_exit_codes_are_those_of_sysexits(rig: Rig, sendmail: pathlib.Path) -> None:
    mail = b"Subject: x\n\nhi\n"
    for code, arguments, octets in (
        (64, (), mail),
        (64, ("--no-such-option", "bob"), mail),
        (64, ("-bs",), mail),
        (64, ("a b@c",), mail),
        (67, ("nobody",), mail),
        (67, ("-f", "ceo@else.test", "bob"), mail),
        (77, ("bob",), b"From: ceo@else.test\n\nx\n"),
    ):
        assert run(sendmail, *arguments, stdin=octets)[0] == code, arguments


def test_a_stopped_server_takes_mail_and_sends_it_later(rig: Rig, sendmail: pathlib.Path) -> None:
    rig.stop()
    try:
        assert run(sendmail, "bob", stdin=b"Subject: while it slept\n\nhi\n") == (0, "")
    finally:
        rig.start()
    assert any(b"while it slept" in mail for mail in inbox(rig))


def test_neomutt_sends_with_it(rig: Rig, sendmail: pathlib.Path, tmp_path: pathlib.Path) -> None:
    program, env = peers.client("neomutt")
    rc = tmp_path / "muttrc"
    rc.write_text(
        f"set sendmail='{sendmail} -oem -oi'\nset use_envelope_from=yes\n"
        "set from='Alice <alice@example.test>'\n"
        f"set realname=Alice\nset copy=no\nset folder='{tmp_path}'\nset record=''\n"
    )
    attached = tmp_path / "grüße.txt"
    attached.write_text("schön\n")
    home = {"HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    environment: dict[str, Any] = {**os.environ, **env, **home}
    done = subprocess.run(
        [program, "-n", "-F", rc, "-s", "by neomutt", "-a", attached, "--", "bob@example.test"],
        input=b"hello\n.\nbob\n", env=environment, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (mail,) = [each for each in inbox(rig) if b"Subject: by neomutt" in each]
    assert b"From: Alice <alice@example.test>\r\n" in mail and b"\r\nhello\r\n.\r\nbob\r\n" in mail
    assert mail.startswith(b"Return-Path: <alice@example.test>\r\n")
