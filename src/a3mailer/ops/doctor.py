"""Doctor: name everything that is wrong with a data directory, and put right what can be.

Each class of damage has a name and an exit code of its own (``EXITS``); with several, the gravest one's
counts. One damaged mail is one finding: it stops neither the look at the rest nor reading and exporting it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from a3mailer.store.upkeep import KIND, KINDS, Finding, Progress, Upkeep

FIRST_EXIT: Final = 20
EXITS: Final = {kind.name: FIRST_EXIT + number for number, kind in enumerate(KINDS)}
"""Exit code by class of damage, a promise to scripts: 20 to 59."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What ``examine`` found, and what of it was put right."""

    findings: tuple[Finding, ...]
    """What is wrong still."""
    repaired: tuple[Finding, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 when nothing is wrong, else that of the gravest finding."""
        return min((EXITS[finding.kind] for finding in self.findings), default=0)

    @property
    def summary(self) -> tuple[tuple[str, int, str], ...]:
        """(class, how many, what it means), the gravest first."""
        counted = Counter(finding.kind for finding in self.findings)
        return tuple((kind.name, counted[kind.name], kind.means) for kind in KINDS if kind.name in counted)


def examine(upkeep: Upkeep, deep: bool, repair: bool, progress: Progress) -> Diagnosis:
    """Look, with ``repair`` mend and look again. Errors: StoreUnusable for a repair while it is served."""
    repaired = tuple(upkeep.repair(progress)) if repair else ()
    return Diagnosis(tuple(upkeep.inspect(deep, progress)), repaired)


def describe(finding: Finding) -> str:
    """One line for people."""
    means = KIND[finding.kind].means
    text = f": {finding.text}" if finding.text else ""
    return f"{finding.kind} {finding.where}{text} ({means})"
