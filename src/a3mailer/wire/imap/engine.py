"""Framing (RFC 9051 section 2.2 and 4.3, RFC 7888): octets in, whole commands out; no I/O.

A command is handed over as the octets the client sent, literals in place, without the final CRLF.
Messages of APPEND are not collected: they come out piece by piece, after the caller took them.
What is too large, too many or wrongly ended comes out as ``Refused`` and never as a command.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from msgspec import Struct

from a3mailer.wire.imap import limits
from a3mailer.wire.imap.errors import LocalProtocolError

_CR: Final = 13
BEFORE_MAILBOX: Final = 48
"""Octets of ``UID REPLACE n`` behind a tag, and their spaces."""
_BRACE: Final = 125


class Command(Struct, frozen=True, gc=False):
    """A whole command."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class ContinuationLine:
    """The line asked for with ``expect_line`` (AUTHENTICATE, IDLE)."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class GoAhead:
    """A synchronising literal is welcome: send a continuation request."""


@dataclass(frozen=True, slots=True)
class MessageStart:
    """APPEND: ``octets`` is the command (or its continuation) up to the literal of a message.

    The engine waits for ``take_message`` or ``skip_message``."""

    octets: bytes
    size: int
    binary: bool
    synchronising: bool


@dataclass(frozen=True, slots=True)
class MessageData:
    """A piece of a taken message; after the last the message is complete."""

    octets: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class AppendEnd:
    """The rest of an APPEND command after its last message: empty if well-formed."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Skipped:
    """A refused APPEND has been read to its end: answer it now."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not a command. ``fatal``: say BYE and close; else answer BAD to ``tag``."""

    tag: bytes
    text: bytes
    fatal: bool


Event = Command | ContinuationLine | GoAhead | MessageStart | MessageData | AppendEnd | Skipped | Refused

GO_AHEAD: Final = GoAhead()
SKIPPED: Final = Skipped()
_AGAIN: Final = Skipped()
"""Inside the engine only: the mode changed, look again."""


class Mode(Enum):
    """What the next octets are."""

    COMMAND = 1
    CONTINUATION = 2
    DECIDE = 3
    MESSAGE = 4
    APPEND = 5
    """The rest of an APPEND line, after a message."""
    SKIP = 6
    SKIP_LINE = 7
    CLOSED = 8


@dataclass(frozen=True, slots=True)
class _Literal:
    size: int
    synchronising: bool
    binary: bool
    start: int
    """Where its header begins."""


class Engine:
    """One connection's framing state. ``receive`` octets, then ask ``next_event`` until None."""

    __slots__ = ("_buffer", "_line", "_literal_octets", "_literals", "_mode", "_pending", "_remaining",
                 "_scan", "_skipped", "_start", "authenticated")  # fmt: skip

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0
        """Where the command in hand begins."""
        self._line = 0
        """Where its last line begins: after the last literal."""
        self._scan = 0
        """Nothing before this is an unseen line end."""
        self._literals = 0
        self._literal_octets = 0
        self._mode = Mode.COMMAND
        self._pending: _Literal | None = None
        self._remaining = 0
        self._skipped = 0
        self.authenticated = False

    def receive(self, octets: bytes) -> None:
        """Take what came from the client."""
        if self._start:
            del self._buffer[: self._start]
            self._line -= self._start
            self._scan -= self._start
            self._start = 0
        self._buffer += octets

    def shrink(self) -> None:
        """Give back the room of what was read; for a connection that rests."""
        self._buffer = self._buffer[self._start :]
        self._line -= self._start
        self._scan -= self._start
        self._start = 0

    @property
    def pending(self) -> bool:
        """Whether octets wait that are not yet part of an event (STARTTLS must find none)."""
        return len(self._buffer) > self._start

    def take_back(self) -> bytes:
        """What came and is not part of an event: it belongs to a layer that begins before it."""
        rest = bytes(self._buffer[self._start :])
        self._buffer.clear()
        self._start = self._line = self._scan = 0
        return rest

    def expect_line(self) -> None:
        """The next line belongs to the command in progress (AUTHENTICATE, IDLE)."""
        if self._mode is not Mode.COMMAND:
            raise LocalProtocolError(f"a line is not expected in {self._mode.name}")
        self._mode = Mode.CONTINUATION

    def take_message(self) -> bool:
        """Read the message announced by MessageStart; True when the client waits for a go-ahead."""
        literal = self._decided()
        self._mode = Mode.MESSAGE
        self._remaining = literal.size
        return literal.synchronising

    @property
    def appending(self) -> bool:
        """Whether an APPEND is being read: ``skip_message`` is possible."""
        return self._mode in {Mode.DECIDE, Mode.MESSAGE, Mode.APPEND}

    def skip_message(self) -> None:
        """Read over the rest of this APPEND; ``Skipped`` comes when the answer is due."""
        if self._mode is Mode.APPEND:
            self._mode = Mode.SKIP_LINE
            return
        if self._mode is not Mode.MESSAGE:
            literal = self._decided()
            self._remaining = 0 if literal.synchronising else literal.size
            if literal.synchronising:
                self._pending = literal
        self._skipped = self._remaining
        self._mode = Mode.SKIP

    def _decided(self) -> _Literal:
        literal = self._pending
        if self._mode is not Mode.DECIDE or literal is None:
            raise LocalProtocolError("no message was announced")
        self._pending = None
        return literal

    def close(self) -> None:
        """No more events."""
        self._mode = Mode.CLOSED
        self._buffer.clear()
        self._start = self._line = self._scan = 0

    # --- events ------------------------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """The next event, or None until more octets (or a decision) came."""
        if self._mode is Mode.COMMAND and self._scan == self._start:
            start, buffer = self._start, self._buffer
            if start == len(buffer):
                return None
            at = buffer.find(b"\n", start)
            short = start + 1 < at <= start + limits.PRE_LOGIN_COMMAND
            if short and buffer[at - 1] == _CR and buffer[at - 2] != _BRACE:  # most commands are one line
                self._start = self._line = self._scan = at + 1
                return Command(bytes(buffer[start : at - 1]))
        return self._next()

    def _next(self) -> Event | None:
        while True:
            mode = self._mode
            if mode is Mode.COMMAND or mode is Mode.APPEND or mode is Mode.SKIP_LINE:
                event = self._command()
            elif mode is Mode.MESSAGE:
                event = self._message()
            elif mode is Mode.CONTINUATION:
                event = self._continuation()
            elif mode is Mode.SKIP:
                event = self._skip()
            else:
                return None
            if event is not _AGAIN:
                return event

    def _command(self) -> Event | None:
        while True:
            end = self._line_end(self._limit())
            if not isinstance(end, int):
                return end
            if self._buffer[end - 1] == _BRACE and (literal := self._literal(end)) is not None:
                event = self._begin(literal, end + 2)
                if event is not None:
                    return event
                continue
            octets = self._cut(end)
            if self._mode is Mode.COMMAND:
                return Command(octets)
            appended = self._mode is Mode.APPEND
            self._mode = Mode.COMMAND
            return AppendEnd(octets) if appended else SKIPPED

    def _line_end(self, limit: int) -> int | Refused | None:
        """Where the CRLF of the line in hand is; None when it has not come; Refused."""
        if self._scan > len(self._buffer):  # inside a literal
            return None
        at = self._buffer.find(b"\n", self._scan)
        octets = (at if at >= 0 else len(self._buffer)) - self._start
        if self.authenticated:  # before login what literals hold counts too
            octets -= self._literal_octets
        if octets > limit:
            return self._violation(b"command line too long")
        if at < 0:
            self._scan = len(self._buffer)
            return None
        if at == self._line or self._buffer[at - 1] != _CR:
            return self._bare_newline(at)
        return at - 1

    def _bare_newline(self, at: int) -> Refused:
        tag = self._tag()
        self._move(at + 1)
        if self._mode is not Mode.COMMAND:
            return self._violation(b"a line must end in CRLF")
        return Refused(tag, b"a line must end in CRLF", fatal=False)

    def _limit(self) -> int:
        return limits.COMMAND_LINE if self.authenticated else limits.PRE_LOGIN_COMMAND

    def _cut(self, end: int) -> bytes:
        octets = bytes(self._buffer[self._start : end])
        self._move(end + 2)
        return octets

    def _move(self, to: int) -> None:
        self._start = self._line = self._scan = to
        self._literals = self._literal_octets = 0

    def _tag(self) -> bytes:
        """The tag of the command in hand, or ``*`` where there is none to answer to."""
        window = bytes(self._buffer[self._start : self._start + limits.TAG_LENGTH])
        tag = window.split(None, 1)[0] if window.strip() else b""
        return tag if tag.isalnum() else b"*"

    def _violation(self, text: bytes) -> Refused:
        tag = self._tag()
        self.close()
        return Refused(tag, text, fatal=True)

    # --- literals ----------------------------------------------------------------------------------

    # literal = "{" number64 ["+"] "}" CRLF *CHAR8      literal8 = "~{" number64 ["+"] "}" CRLF *OCTET
    def _literal(self, end: int) -> _Literal | None:
        """The literal header that ends the line in hand, if it is one."""
        brace = self._buffer.rfind(b"{", self._line, end)
        if brace < 0:
            return None
        digits = bytes(self._buffer[brace + 1 : end - 1])
        synchronising = not digits.endswith(b"+")
        if not synchronising:
            digits = digits[:-1]
        if not digits.isdigit():
            return None
        binary = brace > self._line and self._buffer[brace - 1] == 0x7E
        size = int(digits) if len(digits) <= limits.LITERAL_DIGITS else limits.NUMBER64
        return _Literal(size, synchronising, binary, brace - binary)

    def _begin(self, literal: _Literal, body: int) -> Event | None:
        """A literal header was read, its octets begin at ``body``."""
        if self._mode is Mode.SKIP_LINE:
            return self._skip_another(literal, body)
        if self._mode is Mode.APPEND or self._is_message(literal):
            self._pending = literal
            octets = bytes(self._buffer[self._start : literal.start])
            self._move(body)
            self._mode = Mode.DECIDE
            return MessageStart(octets, literal.size, literal.binary, literal.synchronising)
        if (refusal := self._too_much(literal, body)) is not None:
            return refusal
        self._literals += 1
        self._literal_octets += literal.size
        self._line = self._scan = body + literal.size
        return GO_AHEAD if literal.synchronising else None

    def _too_much(self, literal: _Literal, body: int) -> Refused | None:
        if not self.authenticated:
            if body - self._start + literal.size > limits.PRE_LOGIN_COMMAND:
                return self._violation(b"command too large before login")
            if not literal.synchronising and literal.size > limits.LITERAL_MINUS:
                return self._violation(b"literal too large, LITERAL- allows 4096")
        if self._literals >= limits.LITERAL_COUNT:
            return self._violation(b"too many literals in one command")
        if self._literal_octets + literal.size <= limits.COMMAND_LITERALS:
            return None
        if not literal.synchronising:
            return self._violation(b"literal too large")
        tag = self._tag()
        self._move(body)
        return Refused(tag, b"literal too large", fatal=False)

    def _is_message(self, literal: _Literal) -> bool:
        """Whether this literal of the command in hand is a message of APPEND or REPLACE, no mailbox name."""
        if not self.authenticated:
            return False
        window = bytes(self._buffer[self._start : self._start + limits.TAG_LENGTH + BEFORE_MAILBOX])
        words = window.split(b" ", 4)
        name = words[1].upper() if len(words) > 2 else b""
        before = {b"APPEND": 2, b"REPLACE": 3}.get(name, 0)
        if name == b"UID" and words[2].upper() == b"REPLACE":
            before = 4
        if not 0 < before < len(words):
            return False
        return literal.start > self._start + sum(len(word) + 1 for word in words[:before])

    # --- messages of APPEND ------------------------------------------------------------------------

    def _message(self) -> Event | None:
        have = len(self._buffer) - self._start
        if have == 0 and self._remaining:
            return None
        size = min(have, self._remaining)
        octets = bytes(memoryview(self._buffer)[self._start : self._start + size])
        self._move(self._start + size)
        self._remaining -= size
        if self._remaining == 0:
            self._mode = Mode.APPEND
        return MessageData(octets, self._remaining == 0)

    def _skip_another(self, literal: _Literal, body: int) -> Event:
        self._move(body)
        self._mode = Mode.SKIP
        if literal.synchronising:
            self._pending = literal
        else:
            self._remaining = literal.size
            self._skipped += literal.size
        return _AGAIN

    def _skip(self) -> Event | None:
        if self._pending is not None:  # the client waits: nothing follows
            self._pending = None
            self._mode = Mode.COMMAND
            return SKIPPED
        if self._skipped > limits.SKIPPED_OCTETS:
            return self._violation(b"message too large")
        size = min(len(self._buffer) - self._start, self._remaining)
        self._move(self._start + size)
        self._remaining -= size
        if self._remaining:
            return None
        self._mode = Mode.SKIP_LINE
        return _AGAIN

    # --- lines inside a command --------------------------------------------------------------------

    def _continuation(self) -> Event | None:
        end = self._line_end(limits.CONTINUATION_LINE)
        if not isinstance(end, int):
            return end
        self._mode = Mode.COMMAND
        return ContinuationLine(self._cut(end))
