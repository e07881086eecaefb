"""The accounting of skips and the loopback guard, each proved by a run of pytest on a small file."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest

from tests import conftest

SAMPLE = """
import pytest
def test_a(): pytest.skip("absent: swaks")
def test_b(): pytest.skip("forbidden: loop mounts")
@pytest.mark.skipif(True, reason="absent: mbsync")
def test_c(): pass
def test_d(): pass
"""


def run_sample(tmp_path: pathlib.Path, **env: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    (tmp_path / "conftest.py").write_text(pathlib.Path(conftest.__file__).read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**{k: v for k, v in os.environ.items() if k != "A3_NO_ABSENT"}, **env},
        cwd=tmp_path,
    )


def test_skips_are_counted_by_kind_and_pytest_has_the_last_line(tmp_path: pathlib.Path) -> None:
    done = run_sample(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "NOT RUN, kind absent: 2" in done.stdout
    assert "NOT RUN, kind forbidden: 1" in done.stdout
    assert "1 passed, 3 skipped" in done.stdout.splitlines()[-1]


def test_where_nothing_may_be_absent_an_absent_program_fails_the_run(tmp_path: pathlib.Path) -> None:
    done = run_sample(tmp_path, A3_NO_ABSENT="1")
    assert done.returncode == 1
    assert "1 failed, 1 passed, 1 skipped, 1 error" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("address", [("192.0.2.1", 25), ("2001:db8::1", 25, 0, 0)])
def test_a_test_reaches_nothing_but_this_machine(address: tuple[str, int]) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as s, pytest.raises(conftest.NotLoopback):
        s.connect(address)
