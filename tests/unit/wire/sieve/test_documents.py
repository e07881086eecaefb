"""The documents name every capability that scripts may require, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from a3mailer.wire.sieve.dialect import ALWAYS
from a3mailer.wire.sieve.extensions import USERS

DOCS = Path(__file__).parents[4] / "docs"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_row_of_sieve_names_every_capability(language: str) -> None:
    text = (DOCS / language / "protocols.md").read_text()
    (row,) = (line for line in text.splitlines() if line.startswith("| Sieve |"))
    named = set(re.findall(r"[a-z](?:[a-z0-9;.-]*[a-z0-9])?", row.partition("`")[0])) - {
        "the",
        "language",
        "with",
        "ieve",
    }
    assert named == set(USERS.capabilities) - ALWAYS
