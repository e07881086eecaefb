"""sieve-connect (Debian, Perl) manages the scripts of an account."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
from collections.abc import Iterator
from typing import Final

import pytest

from tests import peers
from tests.rig import Rig

PROGRAM_SECONDS: Final = 60
LOGIN: Final = ("alice@example.test", "secret-a")
SCRIPT: Final = (
    'require "fileinto";\r\n# größer\r\nif header :contains "subject" "news" { fileinto "Archive"; }\r\n'
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("managesieve"), accounts=(LOGIN,)) as rig:
        yield rig


def connect(rig: Rig, folder: pathlib.Path, *arguments: str, password: str = LOGIN[1], code: int = 0) -> str:
    """One run of the program under STARTTLS; what it said."""
    program, env = peers.client("sieve-connect")
    read, write = os.pipe()
    os.write(write, password.encode() + b"\n")
    os.close(write)
    command = [program, "--server", "127.0.0.1", "--port", str(rig.port("managesieve")), "--user", LOGIN[0]]
    command += ["--notlsverify", "--authmech", "PLAIN", "--passwordfd", str(read), *arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, **env, "HOME": str(folder)},
            pass_fds=(read,),
            cwd=folder,
            timeout=PROGRAM_SECONDS,
        )
    finally:
        os.close(read)
    said = (done.stdout + done.stderr).decode()
    assert (done.returncode != 0) == bool(code), said
    return said


def test_scripts_go_up_and_down_and_run(rig: Rig, tmp_path: pathlib.Path) -> None:
    (tmp_path / "news.sieve").write_bytes(SCRIPT.encode())
    connect(rig, tmp_path, "--localsieve", "news.sieve", "--remotesieve", "news", "--upload")
    connect(rig, tmp_path, "--localsieve", "news.sieve", "--remotesieve", "other", "--upload")
    connect(rig, tmp_path, "--remotesieve", "news", "--activate")
    listed = connect(rig, tmp_path, "--list")
    assert re.search(r'"news" ACTIVE', listed) and re.search(r'"other"', listed)
    connect(rig, tmp_path, "--remotesieve", "news", "--localsieve", "back.sieve", "--download")
    assert (tmp_path / "back.sieve").read_bytes().replace(b"\r\n", b"\n").strip() == (
        SCRIPT.encode().replace(b"\r\n", b"\n").strip()
    )
    connect(rig, tmp_path, "--remotesieve", "news", "--delete", code=1)
    connect(rig, tmp_path, "--remotesieve", "other", "--delete")
    connect(rig, tmp_path, "--deactivate")
    assert "ACTIVE" not in connect(rig, tmp_path, "--list")


def test_a_faulty_script_is_refused_with_its_line(rig: Rig, tmp_path: pathlib.Path) -> None:
    (tmp_path / "bad.sieve").write_bytes(b"keep;\r\nnothing here;\r\n")
    said = connect(rig, tmp_path, "--localsieve", "bad.sieve", "--remotesieve", "bad", "--upload", code=1)
    assert "line 2" in said
    assert '"bad"' not in connect(rig, tmp_path, "--list")


def test_a_wrong_password_is_no_login(rig: Rig, tmp_path: pathlib.Path) -> None:
    connect(rig, tmp_path, "--list", password="wrong", code=1)
