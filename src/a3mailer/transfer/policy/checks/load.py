"""The checks that other packages bring (entry-point group ``a3mailer.checks``): a class or a value each."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final

from a3mailer.telemetry.events import emit
from a3mailer.transfer.policy.checks import CHECKS
from a3mailer.transfer.policy.stages import Check, Stage

GROUP: Final = "a3mailer.checks"


def all_checks() -> tuple[Check, ...]:
    """Ours, then those of other packages in the order of their names; what is none is left out, loudly."""
    found = list(CHECKS)
    names = {check.name for check in found}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        try:
            made = entry.load()
        except (ImportError, AttributeError) as error:
            emit("policy.check.refused", level="error", entry=entry.name, error=str(error))
            continue
        check = made() if isinstance(made, type) else made
        if getattr(check, "name", "") in names or not isinstance(getattr(check, "stage", None), Stage):
            emit(
                "policy.check.refused",
                level="error",
                entry=entry.name,
                error="no name of its own, or no stage",
            )
            continue
        names.add(check.name)
        found.append(check)
    return tuple(found)
