"""Framing and order (RFC 1939 section 3, RFC 2449 section 4): octets in, commands out; no I/O.

Lines end in CRLF. What is too long, unknown, out of its state or not of its form comes out as ``Refused``
and never as a command; PASS is valid right after a USER that was accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from a3mailer.wire.errors import LocalProtocolError
from a3mailer.wire.pop3 import limits
from a3mailer.wire.pop3.commands import TABLE, BadArguments, Command, Pass, State, decoded

_CR: Final = 13
_CONTROLS: Final = bytes((*range(32), 127))


class Wrong(Enum):
    """Why a line is no command."""

    LINE_END = "line_end"
    TOO_LONG = "too_long"
    OCTETS = "controls"
    UNKNOWN = "unknown"
    STATE = "state"
    ARGUMENTS = "arguments"
    BASE64 = "base64"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Response:
    """The client's turn in a SASL exchange, decoded."""

    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Answer -ERR; ``fatal``: and close. In a SASL exchange it has ended."""

    wrong: Wrong
    fatal: bool = False


Event = Command | Response | Refused


class Engine:
    """One connection's framing and state. ``receive`` octets, then ask ``next_event`` until None."""

    __slots__ = ("_buffer", "_named", "_responding", "_scan", "_start", "state")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0
        """Where the line in hand begins."""
        self._scan = 0
        """No line end is before this."""
        self._responding = False
        self._named = False
        """A USER was accepted and nothing came since."""
        self.state = State.AUTHORIZATION

    def receive(self, octets: bytes) -> None:
        """Take what came from the client."""
        if self.state is State.UPDATE:
            return
        if self._start:
            del self._buffer[: self._start]
            self._scan -= self._start
            self._start = 0
        self._buffer += octets

    @property
    def pending(self) -> bool:
        """Whether octets wait that are not yet part of an event (STLS must find none)."""
        return len(self._buffer) > self._start

    @property
    def complete(self) -> bool:
        """Whether a whole line waits."""
        return self._buffer.find(b"\n", self._scan) >= 0

    def accept_name(self) -> None:
        """USER was answered +OK: PASS may follow."""
        self._named = True

    def expect_response(self) -> None:
        """A challenge was sent: the next line answers it."""
        if self.state is not State.AUTHORIZATION:
            raise LocalProtocolError("a SASL exchange after the login")
        self._responding = True

    def authorized(self) -> None:
        """The maildrop is open."""
        if self.state is not State.AUTHORIZATION:
            raise LocalProtocolError("logged in twice")
        self.state = State.TRANSACTION

    def close(self) -> None:
        """No more events."""
        self.state = State.UPDATE
        self._buffer.clear()
        self._start = self._scan = 0

    def next_event(self) -> Event | None:
        """The next event, or None until more octets came."""
        if self.state is State.UPDATE:
            return None
        line = self._line(limits.RESPONSE_LINE if self._responding else limits.COMMAND_LINE)
        if line is None or isinstance(line, Refused):
            return line
        if self._responding:
            self._responding = False
            return _response(line)
        named, self._named = self._named, False
        if line.translate(None, _CONTROLS) != line:
            return Refused(Wrong.OCTETS)
        return self._command(line, named=named)

    def _line(self, limit: int) -> bytes | Refused | None:
        """The next line without its CRLF."""
        end = self._buffer.find(b"\n", self._scan)
        if (end if end >= 0 else len(self._buffer)) - self._start >= limit:
            self.close()
            return Refused(Wrong.TOO_LONG, fatal=True)
        if end < 0:
            self._scan = len(self._buffer)
            return None
        line = bytes(self._buffer[self._start : end])
        self._start = self._scan = end + 1
        if not line or line[-1] != _CR:
            self._responding = self._named = False
            return Refused(Wrong.LINE_END)
        return line[:-1]

    def _command(self, line: bytes, *, named: bool) -> Command | Refused:
        keyword, space, argument = line.partition(b" ")
        known = TABLE.get(keyword.upper())
        if known is None:
            return Refused(Wrong.UNKNOWN)
        states, parse = known
        if self.state not in states:
            return Refused(Wrong.STATE)
        try:
            command = parse(argument if space else None)
        except BadArguments:
            return Refused(Wrong.ARGUMENTS)
        if isinstance(command, Pass) and not named:
            return Refused(Wrong.STATE)
        return command


def _response(line: bytes) -> Response | Refused:
    """``*`` cancels (RFC 5034 section 4)."""
    if line == b"*":
        return Refused(Wrong.CANCELLED)
    try:
        return Response(decoded(line))
    except BadArguments:
        return Refused(Wrong.BASE64)
