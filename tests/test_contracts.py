"""The import contracts hold, each of them can be broken, and the core stands without web3."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

from tests.tree import ROOT, SOURCE

# contract -> stray modules that break it, and no import that another contract needs
STRAYS = {
    "The house is layered": {"utils.py": "", "store/stray.py": "import a3mailer.transfer"},
    "Engines, values and proofs do no I/O": {"wire/stray.py": "import asyncio"},
    "Only doors and the runtime under them know sockets": {"access/stray.py": "import socket"},
    "Only app names a backend": {"ops/stray.py": "import a3mailer.store.backends"},
    "Only the store knows a database": {"identity/stray.py": "import apsw"},
    "The core works without web3": {"edge/stray.py": "import a3mailer.web3"},
    "No cycles between siblings, at any depth": {
        "telemetry/stray.py": "import a3mailer.telemetry.another",
        "telemetry/another.py": "import a3mailer.telemetry.stray",
    },
}


def contracts() -> list[str]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return [contract["name"] for contract in table["tool"]["importlinter"]["contracts"]]


def lint(folder: pathlib.Path) -> dict[str, str]:
    """Run import-linter over folder/src: contract to KEPT or BROKEN."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = dict(re.findall(r"^(\S.*\S) (KEPT|BROKEN)", done.stdout, re.MULTILINE))
    assert set(found) == set(contracts()), done.stdout + done.stderr
    assert (done.returncode == 0) == (set(found.values()) == {"KEPT"}), done.stdout
    return found


def copy(folder: pathlib.Path, without: str = "") -> pathlib.Path:
    shutil.copy(ROOT / "pyproject.toml", folder)
    ignore = shutil.ignore_patterns("__pycache__", *([without] if without else []))
    shutil.copytree(SOURCE, folder / "src" / "a3mailer", ignore=ignore)
    return folder / "src" / "a3mailer"


def test_the_contracts_are_kept(tmp_path: pathlib.Path) -> None:
    copy(tmp_path)
    assert [name for name, state in lint(tmp_path).items() if state != "KEPT"] == []


def test_every_contract_can_be_broken(tmp_path: pathlib.Path) -> None:
    assert list(STRAYS) == contracts()
    package = copy(tmp_path)
    for modules in STRAYS.values():
        for name, line in modules.items():
            (package / name).write_text(f'"""Stray."""\n{line}\n')
    assert [name for name, state in lint(tmp_path).items() if state != "BROKEN"] == []


@pytest.mark.parametrize("missing", ["web3"])
def test_the_core_works_without(missing: str, tmp_path: pathlib.Path) -> None:
    package = copy(tmp_path, without=missing)
    names = [
        "a3mailer." + ".".join(p.relative_to(package).with_suffix("").parts)
        for p in sorted(package.rglob("*.py"))
        if p.name not in {"__init__.py", "__main__.py"}
    ]
    assert not (package / missing).exists()
    script = "\n".join(
        [
            "import importlib, a3mailer",
            *(f"importlib.import_module({n!r})" for n in names),
            "print(a3mailer.__file__)",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == f"{package / '__init__.py'}\n", done.stderr
