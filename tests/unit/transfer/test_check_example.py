"""The check that the developers' guide shows is a check, in both languages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
from msgspec import structs

from a3mailer.testing.check import CheckCompliance, doors
from a3mailer.testing.clock import FakeClock
from a3mailer.transfer.policy.stages import Check
from tests.unit.transfer.policy.test_checks import facts

DOCS = Path(__file__).parents[3] / "docs"
SATURDAY = 1_795_219_200.0
"""2026-11-21."""


def shown(language: str) -> str:
    text = (DOCS / language / "develop.md").read_text()
    return text.partition('```python\n"""weekend.py')[2].partition("```")[0]


def loaded(folder: Path) -> ModuleType:
    path = folder / "weekend.py"
    path.write_text('"""weekend.py' + shown("en"))
    spec = importlib.util.spec_from_file_location("weekend", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestWeekend(CheckCompliance):
    check: ClassVar[Check]

    @pytest.fixture(autouse=True)
    def _of_the_guide(self, tmp_path: Path) -> None:
        type(self).check = loaded(tmp_path).Weekend()

    @pytest.mark.parametrize("day", range(7))
    async def test_the_office_is_closed_for_two_days(self, day: int) -> None:
        given = structs.replace(doors(), clock=FakeClock(SATURDAY + day * 86_400))
        found = await self.check.look(facts(to="office@a.test"), given)
        assert (found is not None) is (day < 2)
        assert await self.check.look(facts(to="alice@a.test"), given) is None


def test_both_languages_show_the_same() -> None:
    assert shown("en") == shown("zh") != ""
