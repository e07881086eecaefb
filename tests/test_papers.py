"""The tables and locks keep their word."""

import re
import tomllib

import pytest

from tests.tree import ROOT, SOURCE, text_files

DOCS = ROOT / "docs"
ROWS_OF_ATTACKS = 72


def table(name: str) -> list[list[str]]:
    """The rows of a tab-separated table, its heading first."""
    text = (DOCS / "develop" / name).read_text("utf-8")
    assert text.endswith("\n")
    return [line.split("\t") for line in text.splitlines()]


@pytest.mark.parametrize(
    ("name", "heading", "states"),
    [
        ("rfc.tsv", ["RFC", "title", "status", "where"], {"Yes", "Partial", "No"}),
        ("threats.tsv", ["row", "title", "status", "test"], {"done", "partial", "planned"}),
    ],
)
def test_a_table_is_sorted_and_well_formed(name: str, heading: list[str], states: set[str]) -> None:
    first, *rows = table(name)
    assert first == heading
    assert not [row for row in rows if len(row) != 4 or not all(cell.strip() == cell for cell in row)]
    numbers = [int(row[0]) for row in rows]
    assert numbers == sorted(set(numbers))
    assert not [row for row in rows if row[2] not in states or not row[1] or not row[3]]


def test_every_attack_is_accounted_for() -> None:
    assert [int(row[0]) for row in table("threats.tsv")[1:]] == list(range(1, ROWS_OF_ATTACKS + 1))


@pytest.mark.parametrize("name", ["rfc.tsv", "threats.tsv"])
def test_a_table_names_only_files_that_exist(name: str) -> None:
    cells = " ".join(row[3] for row in table(name)[1:])
    named = {path.rstrip(".,;:)") for path in re.findall(r"\b(?:tests|src|docs|bench)/[\w./-]+", cells)}
    assert not [path for path in sorted(named) if not (ROOT / path).exists()]


def test_an_attack_that_is_done_names_its_test() -> None:
    assert not [row for row in table("threats.tsv")[1:] if row[2] != "planned" and "tests/" not in row[3]]


def test_every_cited_rfc_is_in_the_table() -> None:
    listed = {row[0] for row in table("rfc.tsv")[1:]}
    cited: dict[str, str] = {}
    for path in text_files():
        if path.suffix in {".py", ".sql", ".transcript"}:
            for number in re.findall(r"\bRFCs? ?(\d{3,5})\b", path.read_text("utf-8", errors="replace")):
                cited.setdefault(number, str(path.relative_to(ROOT)))
    assert not {number: where for number, where in cited.items() if number not in listed}


def packages(name: str) -> dict[str, str]:
    """Package to version, of a lock whose every entry has a hash."""
    found = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / name).read_text("utf-8")):
        if match := re.match(r"([A-Za-z0-9._-]+)==(\S+)", entry):
            assert "--hash=sha256:" in entry, match[0]
            found[match[1]] = match[2]
    return found


def test_the_test_lock_holds_the_other_one() -> None:
    inner, outer = packages("requirements.lock"), packages("requirements-test.lock")
    assert inner
    assert inner.items() <= outer.items()
    assert packages("requirements-uv.lock").keys() == {"uv"}


def test_what_is_asked_for_is_locked() -> None:
    for name in ("requirements", "requirements-test", "requirements-uv"):
        asked = re.findall(r"^[A-Za-z0-9._-]+", (ROOT / f"{name}.in").read_text("utf-8"), re.MULTILINE)
        locked = {re.sub(r"[-_.]+", "-", p).lower() for p in packages(f"{name}.lock")}
        assert not {
            a for a in asked if not a.startswith("-") and re.sub(r"[-_.]+", "-", a).lower() not in locked
        }


def test_the_rooms_are_the_ones_the_contracts_name() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    named = {room.strip() for line in contracts[0]["layers"] for room in line.split("|")}
    assert named == {p.name for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__"}
