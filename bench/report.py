"""What every benchmark prints: machine, seed, counts, figures, the ratio to the peer, the goal."""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Final

ROOT: Final = pathlib.Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """The command line all benchmarks share."""

    smoke: bool
    json: bool
    seed: int
    peer: bool
    directory: pathlib.Path
    rounds: int


def options(question: str | None, *, rounds: int = 3) -> Options:
    """Parse the command line; ``question`` is the module's docstring."""
    parser = argparse.ArgumentParser(description=(question or "").partition("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="small counts: does it run, not how fast")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--no-peer", dest="peer", action="store_false", help="measure ours only")
    parser.add_argument("--directory", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()))
    parser.add_argument("--rounds", type=int, default=rounds, help="repeats; the median is reported")
    given = parser.parse_args()
    return Options(
        given.smoke, given.json, given.seed, given.peer, given.directory, 1 if given.smoke else given.rounds
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One figure; ``ratio`` is ours to the peer's, ``goal`` says what the ratio (or ours) must be."""

    name: str
    unit: str
    ours: float
    peer: float | None = None
    goal: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """Ours / the peer's."""
        return self.ours / self.peer if self.peer else None


def at_least(name: str, unit: str, ours: float, peer: float | None, factor: float) -> Row:
    """A rate: ours shall be ``factor`` times the peer's or more."""
    return Row(name, unit, ours, peer, f">= {factor:g}x", None if peer is None else ours >= factor * peer)


def at_most(name: str, unit: str, ours: float, peer: float | None, factor: float) -> Row:
    """A cost: ours shall be ``factor`` times the peer's or less (1/15, say)."""
    told = f"<= 1/{1 / factor:g}" if factor < 1 else f"<= {factor:g}x"
    return Row(name, unit, ours, peer, told, None if peer is None else ours <= factor * peer)


def below(name: str, unit: str, ours: float, limit: float) -> Row:
    """A figure of ours with a limit of its own."""
    return Row(name, unit, ours, None, f"<= {limit:g} {unit}", ours <= limit)


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        "?",
    )
    memory = next(
        (int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _commit(),
        "load": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _lines(path: str) -> list[str]:
    try:
        return pathlib.Path(path).read_text().splitlines()
    except OSError:
        return []


def _commit() -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return done.stdout.strip() or "?"


class Report:
    """Collects rows, prints them."""

    def __init__(self, question: str | None, chosen: Options) -> None:
        self.question = (question or "").partition("\n")[0]
        self._options = chosen
        self._machine = machine()
        self._rows: list[Row] = []
        self._counts: dict[str, object] = {}
        self._begun = time.monotonic()

    def count(self, **counts: object) -> None:
        """Say how much was done."""
        self._counts.update(counts)

    def add(self, row: Row) -> None:
        """Add one figure."""
        self._rows.append(row)
        if not self._options.json:
            sys.stdout.write(f"  {_told(row)}\n")
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """Say something on the way."""
        if not self._options.json:
            sys.stdout.write(f"  {text}\n")
            sys.stdout.flush()

    def open(self) -> None:
        """Print the head."""
        if not self._options.json:
            told = ", ".join(f"{name} {value}" for name, value in self._machine.items())
            sys.stdout.write(f"{self.question}\n  {told}\n  seed {self._options.seed}\n")

    def close(self) -> int:
        """Print the end; the exit code: 1 when a goal was missed in a full run, 0 in a smoke run."""
        missed = [row.name for row in self._rows if row.met is False]
        if self._options.json:
            rows = [{**dataclasses.asdict(row), "ratio": row.ratio} for row in self._rows]
            whole = {
                "question": self.question,
                "machine": self._machine,
                "seed": self._options.seed,
                "smoke": self._options.smoke,
                "counts": self._counts,
                "seconds": round(time.monotonic() - self._begun, 1),
                "rows": rows,
            }
            sys.stdout.write(json.dumps(whole) + "\n")
        else:
            told = ", ".join(f"{name} {value}" for name, value in self._counts.items())
            sys.stdout.write(
                f"  counts: {told}; {time.monotonic() - self._begun:.0f} s; missed: {missed or 'none'}\n"
            )
        return 1 if missed and not self._options.smoke else 0


def _told(row: Row) -> str:
    text = f"{row.name:<46} ours {row.ours:>10.4g}"
    if row.peer is not None and row.ratio is not None:
        ratio = f"{row.ratio:.2f}x" if row.ratio >= 1 else f"1/{1 / row.ratio:.1f}"
        text += f"   peer {row.peer:>10.4g}   {ratio:>8}"
    text += f"   {row.unit}"
    if row.goal:
        text += f"   goal {row.goal}: {'unknown' if row.met is None else 'met' if row.met else 'MISSED'}"
    return text


def main(question: str | None, measure: Callable[[Options, Report], None], *, rounds: int = 3) -> int:
    """Parse, measure, print."""
    chosen = options(question, rounds=rounds)
    report = Report(question, chosen)
    report.open()
    measure(chosen, report)
    return report.close()
