"""The two commands: what ``./run`` promises about directories, process ids and repeated starts.

A copy of the checkout's ``run`` sets itself up from what the checkout already fetched, without the network.
"""

import os
import pathlib
import shutil
import subprocess

import pytest

from tests.__main__ import selection

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROBE = "import os\n\n\ndef main():\n    print(os.getpid(), os.getcwd())\n    return 3\n"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A checkout whose path holds spaces and a quote, set up by its first start."""
    uv = ROOT / ".uv" / "bin" / "uv"
    cache = pathlib.Path(os.environ.get("UV_CACHE_DIR", ROOT / ".uv" / "cache"))
    if not uv.exists() or not cache.exists():
        pytest.skip("absent: this checkout was not set up by ./run, so there is nothing to set up from")
    place = tmp_path_factory.mktemp("a checkout with 'spaces'")
    for name in ("run", "requirements.lock", "requirements-test.lock", "requirements-uv.lock"):
        shutil.copy(ROOT / name, place / name)
    (place / "src/a3mailer/app").mkdir(parents=True)
    (place / "src/a3mailer/__init__.py").touch()
    (place / "src/a3mailer/app/__init__.py").touch()
    (place / "src/a3mailer/app/main.py").write_text(PROBE)
    (place / ".uv").mkdir()
    (place / ".uv/bin").symlink_to(uv.parent)
    return place


def start(checkout: pathlib.Path, cwd: pathlib.Path, *arguments: str) -> tuple[int, str, int, str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(ROOT / ".uv" / "cache")),
        "UV_OFFLINE": "1",
    }
    process = subprocess.Popen(
        [checkout / "run", *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(timeout=120)
    return process.returncode, out, process.pid, err


def test_the_first_start_sets_up_and_later_ones_do_nothing(
    checkout: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    code, out, pid, err = start(checkout, tmp_path, "version")
    if "the network was disabled" in err:
        pytest.skip("absent: this checkout's packages are no longer in uv's cache")
    assert (code, out) == (3, f"{pid} {tmp_path}\n"), err
    assert "setting up" in err
    before = {p: p.stat().st_mtime_ns for p in checkout.glob(".venv/*")}
    shutil.rmtree(checkout / ".uv")  # not looked at again
    assert start(checkout, tmp_path, "version")[3] == ""
    assert {p: p.stat().st_mtime_ns for p in checkout.glob(".venv/*")} == before


def test_a_checkout_that_cannot_be_set_up_says_why(tmp_path: pathlib.Path) -> None:
    for name in ("run", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    environment = {"PATH": os.environ["PATH"], "PYTHON": "/nonexistent/python3"}
    done = subprocess.run([tmp_path / "run"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 70
    assert "needs Python 3.11" in done.stderr


def test_long_tests_run_only_when_asked_for() -> None:
    assert selection([]) == ["-m", "not long"]
    assert selection(["-x", "-k", "smtp", "tests/faults"]) == [
        "-x",
        "-k",
        "smtp",
        "tests/faults",
        "-m",
        "not long",
    ]
    assert selection(["--long", "-x"]) == ["-x", "-m", "long"]
    assert selection(["-m", "long"]) == ["-m", "long"]
    assert selection(["tests/test_run.py::test_one"]) == ["tests/test_run.py::test_one"]
