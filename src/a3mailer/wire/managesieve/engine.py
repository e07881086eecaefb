"""Framing (RFC 5804 sections 1.2 and 4): octets in, whole commands out; no I/O.

Literals of clients are never synchronising. One that is too large for a script is read over, as far as that
is sensible, so that a refusal is an answer and no end. What strangers send is bounded in all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from a3mailer.wire.managesieve import limits
from a3mailer.wire.managesieve.commands import Arguments, BadSyntax, Command, parse

_LITERAL: Final = re.compile(rb"\{(\d{1,20})\+?\}")


@dataclass(frozen=True, slots=True)
class Response:
    """The client's turn in a SASL exchange, still Base64; ``*`` cancels it."""

    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Not a command: NO, or where ``fatal`` BYE and the end. In a SASL exchange it has ended."""

    text: str
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A literal beyond ``largest`` was read over; ``keyword`` of its command, upper case."""

    keyword: bytes


Event = Command | Response | Refused | TooLarge


class Engine:
    """One connection's framing. ``receive`` octets, then ask ``next_event`` until None."""

    __slots__ = ("_buffer", "_closed", "_line", "_literals", "_responding", "_scan", "_skip", "_skipped",
                 "authenticated", "largest")  # fmt: skip

    def __init__(self, largest: int) -> None:
        """``largest``: octets of a script."""
        self._buffer = bytearray()
        self._line = 0
        """Where the line in hand begins: after the last literal."""
        self._scan = 0
        """No line end is before this."""
        self._literals = 0
        """Of the command in hand: how many."""
        self._skip = 0
        """Octets of a literal that are still to be read over."""
        self._skipped: bytes | None = None
        """The keyword of a command of which a literal was read over."""
        self._responding = False
        self._closed = False
        self.authenticated = False
        self.largest = largest

    def receive(self, octets: bytes) -> None:
        """Take what came from the client."""
        if self._closed:
            return
        if self._skip:
            take = min(self._skip, len(octets))
            self._skip -= take
            octets = octets[take:]
        self._buffer += octets

    @property
    def pending(self) -> bool:
        """Whether octets wait that are not yet part of an event (STARTTLS must find none)."""
        return bool(self._buffer) or bool(self._skip)

    def expect_response(self) -> None:
        """A challenge was sent: the next line answers it."""
        self._responding = True

    def close(self) -> None:
        """No more events."""
        self._closed = True
        self._buffer.clear()
        self._line = self._scan = 0

    def next_event(self) -> Event | None:
        """The next event, or None until more octets came."""
        while not (self._closed or self._skip):
            if self._scan > len(self._buffer):  # inside a literal
                return self._too_much(len(self._buffer))
            end = self._buffer.find(b"\n", self._scan)
            if (refused := self._too_much(end if end >= 0 else len(self._buffer))) is not None:
                return refused
            if end < 0:
                self._scan = len(self._buffer)
                return None
            line = bytes(self._buffer[self._line : end])
            if not line.endswith(b"\r"):
                self._cut(end + 1)
                return Refused("a line ends in CRLF")
            if line.endswith(b"}\r") and (literal := _LITERAL.search(line, line.rfind(b"{"))) is not None:
                if (refused := self._literal(literal, end + 1)) is not None:
                    return refused
                continue
            return self._whole(end)
        return None

    def _too_much(self, end: int) -> Refused | None:
        """Does what there is up to an offset go beyond the limits?"""
        if self._responding:
            over = end > limits.RESPONSE
        elif not self.authenticated:
            over = end > limits.STRANGER
        else:
            over = end - self._line > limits.LINE
        if not over:
            return None
        self.close()
        return Refused("the command is too long", fatal=True)

    def _literal(self, found: re.Match[bytes], body: int) -> Refused | None:
        """The header of a literal was read, its octets begin at ``body``."""
        if not found[0].endswith(b"+}"):
            self._cut(body)
            return Refused("literals of clients are written {number+}")
        size = int(found[1])
        most = limits.STRANGER - body if not self.authenticated else limits.SKIPPED
        self._literals += 1
        if size > most or self._literals > limits.LITERALS:
            self.close()
            return Refused("the literal is too large", fatal=True)
        if self.authenticated and size > self.largest:
            have = min(size, len(self._buffer) - body)
            self._skipped = self._skipped or bytes(self._buffer[:body]).partition(b" ")[0].upper()
            del self._buffer[self._line : body + have]
            self._skip = size - have
            self._scan = self._line
        else:
            self._line = self._scan = body + size
        return None

    def _whole(self, end: int) -> Event:
        octets = bytes(self._buffer[: end - 1])
        skipped = self._skipped
        self._cut(end + 1)
        if skipped is not None:
            return TooLarge(skipped)
        try:
            if self._responding:
                self._responding = False
                return Response(_response(octets))
            return parse(octets, authenticated=self.authenticated)
        except BadSyntax as error:
            return Refused(str(error))

    def _cut(self, to: int) -> None:
        del self._buffer[:to]
        self._line = self._scan = self._literals = 0
        self._skipped = None


def _response(octets: bytes) -> bytes:
    """A string alone on its line. Errors: BadSyntax."""
    arguments = Arguments(octets, 0)
    found = arguments.bare_string()
    arguments.end()
    return found
