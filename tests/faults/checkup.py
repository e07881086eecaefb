"""The store's own doctor after every fault: whatever was cut, killed or refused, the store is sound.

It looks at the files of the data directory beside the running server (``ops.doctor``), under load too, and
remembers each finding once with the fault it was first seen after.
"""

import dataclasses
import pathlib

from a3mailer.ops.doctor import describe, examine
from a3mailer.store.backends.sqlite.upkeep import SqliteUpkeep
from a3mailer.store.upkeep import silent


@dataclasses.dataclass(slots=True)
class Checkup:
    """What the doctor found in one data directory in the course of a run of faults."""

    directory: pathlib.Path
    looks: int = 0
    found: dict[str, str] = dataclasses.field(default_factory=dict)
    """Finding to the fault after which it was seen first."""

    def look(self, fault: str, *, deep: bool = True) -> None:
        """Examine; ``deep`` opens every content and makes its index again."""
        self.looks += 1
        for finding in examine(SqliteUpkeep(self.directory), deep, False, silent).findings:
            self.found.setdefault(describe(finding), fault)

    @property
    def findings(self) -> tuple[str, ...]:
        """Everything found so far, with its fault."""
        return tuple(f"{finding} (after {fault})" for finding, fault in self.found.items())
