"""Doctor: name everything that is wrong with a data directory, and put right what can be.

Each class of damage has a name and an exit code of its own (``EXITS``); with several, the gravest one's
counts. One damaged mail is one finding: it stops neither the look at the rest nor reading and exporting it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.ops.acme.schedule import warning_seconds
from a3mailer.ops.certificates import ACME, IMPORTED, CertificateStore, Kept, key_of
from a3mailer.ops.pkix import spki
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


def examine(
    upkeep: Upkeep, deep: bool, repair: bool, progress: Progress, further: Iterable[Finding] = ()
) -> Diagnosis:
    """Look, with ``repair`` mend and look again; ``further`` was found elsewhere in the data directory.

    Errors: StoreUnusable for a repair while it is served."""
    repaired = tuple(upkeep.repair(progress)) if repair else ()
    return Diagnosis((*upkeep.inspect(deep, progress), *further), repaired)


def certificates(directory: Path, settings: Settings, now: float) -> Iterator[Finding]:
    """What is wrong with the certificates that clients are shown, and which imported one has had its day."""
    store = CertificateStore(directory, settings)
    shown = set(store.look(now).values())
    for fault in store.faults:
        where, _, text = fault.partition(": ")
        yield Finding("certificate-unusable", _within(directory, Path(where)), text)
    for kept in sorted(shown, key=lambda each: each.certificate):
        where = _within(directory, kept.certificate)
        try:
            fits = spki(key_of(kept)) == kept.chain.spki
            text = "" if fits else "its key is another one's"
        except (OSError, ValueError) as error:
            text = str(error)
        if text:
            yield Finding("certificate-unusable", where, text)
        if kept.chain.ends - now < warning_seconds(kept.chain):
            days = (kept.chain.ends - now) / 86_400
            text = f"ended {-days:.0f} days ago" if days < 0 else f"ends in {days:.0f} days"
            text += _after(store, kept, now)
            yield Finding("certificate-ends", where, f"{', '.join(kept.chain.names)}: {text}")
    for kept in store.kept:
        if kept.source == IMPORTED and kept not in shown and kept.chain.ends <= now:
            where, days = _within(directory, kept.certificate), (now - kept.chain.ends) / 86_400
            text = f"ended {days:.0f} days ago; another is shown in its place, so: cert rm {kept.name}"
            yield Finding("certificate-ends", where, f"{', '.join(kept.chain.names)}: {text}")


def _after(store: CertificateStore, kept: Kept, now: float) -> str:
    """Which certificate is shown when an operator's own has ended: it has been hidden by it."""
    if kept.source == ACME or kept.chain.ends <= now:
        return ""
    after = kept.chain.ends
    others = [each for each in store.kept if each is not kept and kept.chain.names[0] in each.chain.names]
    best = max(others, key=lambda each: each.rank(after), default=None)
    return f"; then that of {best.source} is shown" if best and best.rank(after)[0] else ""


def _within(directory: Path, path: Path) -> str:
    return str(path.relative_to(directory)) if path.is_relative_to(directory) else str(path)


def describe(finding: Finding) -> str:
    """One line for people."""
    means = KIND[finding.kind].means
    text = f": {finding.text}" if finding.text else ""
    return f"{finding.kind} {finding.where}{text} ({means})"
