"""The network fails: packets vanish, are refused or lost, links go down, the DNS is gone (attack row 70).

Real kernels' means: ``tests/faults/wires.py`` plays each scenario in network namespaces of its own.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.faults.wires import SCENARIOS

ROOT = pathlib.Path(__file__).parents[2]
SECONDS = 300


@pytest.fixture(scope="module")
def played() -> dict[str, str]:
    """How each scenario went: "" or what was wrong."""
    for program, package in (("ip", "iproute2"), ("nft", "nftables"), ("unshare", "util-linux")):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"absent: {program} ({package})")
    user = () if os.geteuid() == 0 else ("--map-root-user",)
    environment = {
        **os.environ,
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
    }
    done = subprocess.run(
        ["unshare", *user, "--net", sys.executable, "-m", "tests.faults.wires"],
        capture_output=True, text=True, timeout=SECONDS, env=environment, check=False,
    )  # fmt: skip
    print(done.stderr)
    if not done.stdout:
        pytest.skip(f"forbidden: a network namespace: {done.stderr.strip()[-200:]}")
    said: dict[str, str] = json.loads(done.stdout)
    if "forbidden" in said:
        pytest.skip(f"forbidden: {said['forbidden']}")
    return said


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_row_70(scenario: str, played: dict[str, str]) -> None:
    assert played[scenario] == ""
