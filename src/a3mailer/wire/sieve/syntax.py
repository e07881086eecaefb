"""A script as a tree, as the grammar of RFC 5228 section 8.2 has it, and back into octets.

The tree knows neither names nor types; ``at`` is the offset in the script and no part of a value's equality
that matters: ``write`` makes a script of which ``parse`` makes the same tree but for the offsets.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple

from a3mailer.wire.sieve.errors import ScriptError

_INDENT: Final = b"    "


class Strings(NamedTuple):
    """A string list; without brackets in the script it has one string and ``listed`` is false."""

    values: tuple[bytes, ...]
    listed: bool
    at: int


class Number(NamedTuple):
    """A number, its quantifier counted in."""

    value: int
    at: int


class Tag(NamedTuple):
    """``:name``, in lower case."""

    name: str
    at: int


Argument = Strings | Number | Tag


class Node(NamedTuple):
    """A command or a test, its name in lower case. ``listed``: the tests stand in parentheses."""

    name: str
    arguments: tuple[Argument, ...]
    tests: tuple[Node, ...]
    listed: bool
    block: tuple[Node, ...] | None
    at: int


class Source:
    """The octets of a script with line ends as LF; it knows where an offset is."""

    __slots__ = ("_last", "_lines", "octets")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets.replace(b"\r\n", b"\n")
        self._lines: list[int] = []
        self._last = (0, 0, 1)
        """Line, offset and column that were asked for: the next is mostly behind them, in a long line too."""

    def place(self, at: int) -> tuple[int, int]:
        """Line and column, from 1."""
        if not self._lines:
            starts = [0]
            for line in self.octets.split(b"\n"):
                starts.append(starts[-1] + len(line) + 1)
            self._lines = starts[:-1]
        number = bisect_right(self._lines, at)
        last, begin, column = self._last
        if last != number or begin > at:
            begin, column = self._lines[number - 1], 1
        column += len(self.octets[begin:at].decode("utf-8", "replace"))
        self._last = (number, at, column)
        return number, column

    def error(self, text: str, at: int) -> ScriptError:
        """An error at an offset."""
        return ScriptError(text, *self.place(at))


def write(commands: Iterable[Node]) -> bytes:
    """A script, CRLF line ends, one command a line."""
    return b"".join(_command(each, b"") for each in commands)


def _command(node: Node, indent: bytes) -> bytes:
    head = indent + _words(node)
    if node.block is None:
        return head + b";\r\n"
    inner = b"".join(_command(each, indent + _INDENT) for each in node.block)
    return head + b" {\r\n" + inner + indent + b"}\r\n"


def _words(node: Node) -> bytes:
    words = [node.name.encode(), *map(_argument, node.arguments)]
    tests = b", ".join(map(_words, node.tests))
    if node.listed:
        words.append(b"(" + tests + b")")
    elif tests:
        words.append(tests)
    return b" ".join(words)


def _argument(value: Argument) -> bytes:
    if isinstance(value, Tag):
        return b":" + value.name.encode()
    if isinstance(value, Number):
        return b"%d" % value.value
    inner = b", ".join(map(quoted, value.values))
    return b"[" + inner + b"]" if value.listed else inner


def quoted(value: bytes) -> bytes:
    """A quoted-string."""
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
