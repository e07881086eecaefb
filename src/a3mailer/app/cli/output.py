"""What verbs print: JSON, or lines and tables for people; progress on a terminal's stderr only.

Texts that strangers may have written (queue answers, names) are printed with control characters made visible.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TextIO

Advance = Callable[[int], None]
Step = Callable[[str, int, int], None]
GREEN: Final = "\x1b[32m"
RED: Final = "\x1b[31m"
PLAIN: Final = "\x1b[0m"
UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


class Output:
    """Where a verb's result goes."""

    __slots__ = ("_err", "_json", "_out")

    def __init__(self, as_json: bool, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._json = as_json
        self._out = out or sys.stdout
        self._err = err or sys.stderr

    @property
    def json(self) -> bool:
        """Was ``--json`` given?"""
        return self._json

    def result(self, value: object, text: str = "") -> None:
        """The value as JSON, or the text for people."""
        if self._json:
            self._write(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))
        elif text:
            self._write("\n".join(map(visible, text.split("\n"))))

    def table(
        self, rows: Sequence[Mapping[str, object]], columns: Mapping[str, Callable[[object], str]]
    ) -> None:
        """A bare JSON array, or aligned columns with a heading; nothing at all for people when empty."""
        if self._json or not rows:
            self.result(list(rows))
            return
        cells = [[name.upper().replace("_", " ") for name in columns]]
        cells += [[visible(form(row[name])) for name, form in columns.items()] for row in rows]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        for line in cells:
            self._write("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())

    def event(self, value: object, text: str, colour: str = "") -> None:
        """One of an endless number: as JSON one a line; seen at once. ``colour`` is for terminals."""
        if colour and not self._json and self._out.isatty():
            self._write(f"{colour}{visible(text)}{PLAIN}")
        else:
            self.result(value, text)
        self._out.flush()

    def note(self, text: str) -> None:
        """A remark on stderr, beside the result."""
        self._err.write(visible(text) + "\n")

    def _write(self, text: str) -> None:
        self._out.write(text + "\n")

    @contextlib.contextmanager
    def steps(self) -> Generator[Step, None, None]:
        """A bar while something long runs: call it with what is being done, how much is done, of how much (0
        = unknown). Nothing where stderr is no terminal."""
        if not self._err.isatty():
            yield lambda _what, _done, _total: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(file=self._err), transient=True) as bar:
            task = bar.add_task("")
            yield lambda what, done, total: bar.update(
                task, description=what, completed=done, total=total or None
            )

    @contextlib.contextmanager
    def progress(self, what: str, total: int) -> Generator[Advance, None, None]:
        """The same for one thing of a known length: call it with the count."""
        with self.steps() as step:
            yield lambda done: step(what, done, total)


def visible(text: str) -> str:
    """The text with every control and format character as an escape, so that it cannot drive a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain(value: object) -> str:
    """A cell: lists with commas, yes and no, nothing for nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def size(value: object) -> str:
    """Octets for people; 0 stays 0."""
    amount = float(value) if isinstance(value, int | float) else 0.0
    for unit in UNITS:
        if amount < 1024 or unit == UNITS[-1]:
            return f"{amount:.0f}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return ""


def limit(value: object) -> str:
    """A quota: octets, or a dash for none."""
    return size(value) if value else "-"


def moment(value: object) -> str:
    """Seconds since the epoch as UTC; a dash for never."""
    if not isinstance(value, int | float) or not value:
        return "-"
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
