"""Python clients that the environment of the tests does not hold, in a private folder, pinned by hashes.

They are here and not in ``requirements-test.lock`` when a part of theirs is published as source only:
``./run`` installs nothing but wheels. What a lock ``NAME-source.lock`` names is built with the
wheels of ``NAME.lock``. A second call finds the folder there, offline.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Final

import pytest

from bench.peers import packages

LOCKS: Final = pathlib.Path(__file__).with_name("compat") / "wheels"
INSTALL: Final = (
    "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile",
    "--no-cache-dir", "--require-hashes",
)  # fmt: skip
SECONDS: Final = 300


def folder(name: str) -> pathlib.Path:
    """What PYTHONPATH has to hold for a client; skips as ``absent`` where it cannot be had."""
    locks = [LOCKS / f"{name}.lock", LOCKS / f"{name}-source.lock"]
    wanted = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks) + sys.version.encode())
    home = packages.cache_folder() / f"{name}-{wanted.hexdigest()[:16]}"
    if home.is_dir():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.is_dir():
            _fill(home.with_suffix(".new"), locks)
            home.with_suffix(".new").rename(home)
    return home


def _fill(new: pathlib.Path, locks: list[pathlib.Path]) -> None:
    python = [str(getattr(sys, "_base_executable", sys.executable)), *INSTALL, "--target", str(new)]
    shutil.rmtree(new, ignore_errors=True)
    env = {**os.environ, "PYTHONPATH": str(new), "PIP_USER": "0", "PIP_ROOT_USER_ACTION": "ignore"}
    for lock, how in zip(locks, ("--only-binary=:all:", "--no-build-isolation"), strict=True):
        done = subprocess.run(
            [*python, how, "-r", str(lock)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=env,
            timeout=SECONDS,
        )
        if done.returncode:
            pytest.skip(f"absent: the packages of {lock.name} ({done.stderr.decode()[-300:]})")
