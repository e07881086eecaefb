"""What is wrong with a script, told to its author: when it is compiled, and when it runs."""

from __future__ import annotations


class ScriptError(Exception):
    """A script that is none. ``line`` and ``column`` count from 1, the column in characters."""

    def __init__(self, text: str, line: int, column: int) -> None:
        super().__init__(text)
        self.text = text
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.text}"


class UnknownCapability(ScriptError):
    """It requires what is not offered here (RFC 5228 section 2.10.5)."""


class BadCall(Exception):
    """An argument cannot be: a ``check`` of a word says so, the compiler adds where."""


class RunFailed(Exception):
    """A run-time error (RFC 5228 section 2.10.6): the run ends, and the mail is kept.

    ``place``: line and column, known where the interpreter has seen it."""

    place: tuple[int, int] | None = None


class OverBudget(RunFailed):
    """It has used up its steps or its memory."""


class Stopped(Exception):
    """A command ends the script, and that is no error."""


class Returned(Stopped):
    """A command ends one script that others have included, and only that (RFC 6609 section 3.3)."""
