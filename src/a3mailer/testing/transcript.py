"""The transcript player: a conversation written as a file is a specification and a test at once.

One line, one thing::

    # a comment
    % name=value      an option for the test that plays it; ``% whole`` forbids one-octet-at-a-time
    C: text           the client sends the line and CRLF; ``2C:`` on the second connection
    C! text           exactly these octets, no CRLF; escapes \\r \\n \\0 \\t \\xHH \\\\
    S: text           the server must have said this line
    S! text           the server must have said exactly these octets
    CLOSED            the server has closed (``2CLOSED`` the second connection)

In an ``S:`` line ``<name>`` (lower case) stands for one word that is remembered; later it stands for the
same word, in ``S:`` and ``C:`` lines. ``<...>`` stands for anything. Lines of the client in a row are sent
in one piece (pipelined), or one octet at a time: both must give the same answers. Literals need nothing:
their lines are lines like any other. What the server said and no line expected is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

_LINE: Final = re.compile(r"(\d*)([CS])([:!])(?: (.*))?")
_CLOSED: Final = re.compile(r"(\d*)CLOSED")
_CAPTURE: Final = re.compile(rb"<([a-z][a-z0-9_]*|\.\.\.)>")
_ESCAPE: Final = re.compile(rb"\\(?:([rn0t\\])|x([0-9a-fA-F]{2}))")
_ESCAPES: Final = {b"r": b"\r", b"n": b"\n", b"0": b"\0", b"t": b"\t", b"\\": b"\\"}


class Session(Protocol):
    """One connection to the thing under test."""

    @property
    def closed(self) -> bool:
        """Whether the server has closed."""
        ...

    async def greeting(self) -> bytes:
        """What the server says first."""
        ...

    async def feed(self, octets: bytes) -> bytes:
        """Send; return what the server said until it waits again. With b"": what it said by itself."""
        ...


class TranscriptMismatch(AssertionError):
    """What was said is not what the transcript says."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line: ``kind`` is C, S or CLOSED."""

    line: int
    connection: int
    kind: str
    octets: bytes
    exact: bool


@dataclass(frozen=True, slots=True)
class Transcript:
    """A parsed file."""

    path: Path
    steps: tuple[Step, ...]
    options: dict[str, str]

    @classmethod
    def load(cls, path: Path) -> Transcript:
        """Parse. Raises ValueError that names file and line."""
        steps: list[Step] = []
        options: dict[str, str] = {}
        for number, text in enumerate(path.read_text("utf-8").split("\n"), 1):
            if text.startswith("% "):
                name, _, value = text[2:].partition("=")
                options[name.strip()] = value.strip()
            elif text.strip() and not text.startswith("#"):
                steps.append(_step(path, number, text))
        if not steps:
            raise ValueError(f"{path}: no step")
        return cls(path, tuple(steps), options)


def _step(path: Path, number: int, text: str) -> Step:
    if match := _LINE.fullmatch(text):
        octets = (match[4] or "").encode()
        exact = match[3] == "!"
        return Step(number, int(match[1] or 1), match[2], unescape(octets) if exact else octets, exact)
    if match := _CLOSED.fullmatch(text):
        return Step(number, int(match[1] or 1), "CLOSED", b"", exact=True)
    raise ValueError(f"{path}:{number}: not a transcript line: {text!r}")


def unescape(octets: bytes) -> bytes:
    return _ESCAPE.sub(lambda m: _ESCAPES[m[1]] if m[1] else bytes([int(m[2], 16)]), octets)


def whole(octets: bytes) -> Iterable[bytes]:
    """All the client's lines in one segment."""
    yield octets


def one_octet_at_a_time(octets: bytes) -> Iterable[bytes]:
    """Each octet in its own segment."""
    for i in range(len(octets)):
        yield octets[i : i + 1]


MODES: Final[dict[str, Callable[[bytes], Iterable[bytes]]]] = {
    "whole": whole,
    "octets": one_octet_at_a_time,
}


def cases(folder: Path) -> list[tuple[Path, str]]:
    """Every (transcript, mode) below ``folder``, for pytest.mark.parametrize. Raises ValueError if none."""
    found = [
        (path, mode)
        for path in sorted(folder.rglob("*.transcript"))
        for mode in MODES
        if mode == "whole" or "whole" not in Transcript.load(path).options
    ]
    if not found:
        raise ValueError(f"no transcript in {folder}")
    return found


def case_id(value: object) -> str:
    """Readable parametrize ids."""
    return value.stem if isinstance(value, Path) else str(value)


@dataclass(slots=True)
class _Talk:
    """One connection during a play: what was not sent yet, what was said and not expected yet."""

    session: Session
    pending: bytearray = field(default_factory=bytearray)
    said: bytearray = field(default_factory=bytearray)


class Player:
    """Plays transcripts. ``open_session(number)`` is called at the first line of each connection."""

    def __init__(
        self,
        open_session: Callable[[int], Session],
        split: Callable[[bytes], Iterable[bytes]] = whole,
        tested: str = "S",
    ) -> None:
        """``tested`` "C": the client is under test, and what is fed are the server's lines."""
        self._open = open_session
        self._tested = tested
        self._split = split
        self._talks: dict[int, _Talk] = {}
        self.captured: dict[bytes, bytes] = {}

    async def play(self, path: Path) -> None:
        """Play one file. Raises TranscriptMismatch."""
        transcript = Transcript.load(path)
        sending: _Talk | None = None
        for step in transcript.steps:
            talk = await self._talk(step.connection)
            fed = step.kind not in (self._tested, "CLOSED")
            if sending is not None and not (fed and talk is sending):
                await self._send(sending)
                sending = None
            if fed:
                if sending is None:
                    self._nothing_left(talk, path, step.line)
                talk.pending += self._filled(step)
                sending = talk
            elif step.kind == self._tested:
                await self._expect(talk, step, path)
            else:
                self._nothing_left(talk, path, step.line)
                if not talk.session.closed:
                    raise TranscriptMismatch(f"{path}:{step.line}: the connection is not closed")
        if sending is not None:
            await self._send(sending)
        for talk in self._talks.values():
            talk.said += await talk.session.feed(b"")
            self._nothing_left(talk, path, transcript.steps[-1].line)

    async def _talk(self, number: int) -> _Talk:
        if number not in self._talks:
            session = self._open(number)
            talk = self._talks[number] = _Talk(session)
            talk.said += await session.greeting()
        return self._talks[number]

    async def _send(self, talk: _Talk) -> None:
        octets = bytes(talk.pending)
        talk.pending.clear()
        for piece in self._split(octets):
            talk.said += await talk.session.feed(piece)

    def _nothing_left(self, talk: _Talk, path: Path, line: int) -> None:
        if talk.said:
            raise TranscriptMismatch(f"{path}:{line}: it also said {bytes(talk.said)!r}")

    def _filled(self, step: Step) -> bytes:
        if step.exact:
            return step.octets
        filled = _CAPTURE.sub(lambda m: self.captured.get(m[1], m[0]), step.octets)
        return filled + b"\r\n"

    async def _expect(self, talk: _Talk, step: Step, path: Path) -> None:
        if not talk.said:
            talk.said += await talk.session.feed(b"")
        if step.exact:
            got = bytes(talk.said[: len(step.octets)])
            if got != step.octets:
                raise TranscriptMismatch(f"{path}:{step.line}: expected {step.octets!r}, got {got!r}")
            del talk.said[: len(got)]
            return
        end = talk.said.find(b"\r\n")
        if end < 0:
            raise TranscriptMismatch(
                f"{path}:{step.line}: expected {step.octets!r}, got no line: {bytes(talk.said)!r}"
            )
        got = bytes(talk.said[:end])
        match = self._pattern(step.octets).fullmatch(got)
        if match is None:
            rest = bytes(talk.said[:2000])
            raise TranscriptMismatch(
                f"{path}:{step.line}: expected {step.octets!r}, got {got!r}; all that was said: {rest!r}"
            )
        self.captured.update({k.encode(): v for k, v in match.groupdict().items()})
        del talk.said[: end + 2]

    def _pattern(self, octets: bytes) -> re.Pattern[bytes]:
        out, at, new = [], 0, set()
        for match in _CAPTURE.finditer(octets):
            out.append(re.escape(octets[at : match.start()]))
            at = match.end()
            name = match[1]
            if name == b"...":
                out.append(b".*")
            elif name in self.captured:
                out.append(re.escape(self.captured[name]))
            elif name in new:
                out.append(b"(?P=%s)" % name)
            else:
                new.add(name)
                out.append(rb"(?P<%s>\S+?)" % name)
        out.append(re.escape(octets[at:]))
        return re.compile(b"".join(out), re.DOTALL)
