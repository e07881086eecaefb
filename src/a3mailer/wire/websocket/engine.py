"""Frames of a client to messages (RFC 6455 section 5), and messages of ours to frames.

    engine.receive(octets); while (event := engine.next_event()) is not None: ...

    frame = FIN RSV1-3 opcode, MASK length [extended length] masking-key payload

A message is Text, or a control frame; what breaks a rule is one Broken with the status code to close with
(section 7.4.1), and then nothing more. Nothing is compressed (no extension is ever agreed on), so no octets
grow here; a message is bounded, and so is the number of frames it may come in (attack row 25).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import deque
from typing import Final, NamedTuple

MAX_FRAMES: Final = 4096
"""Frames of one message."""
MAX_CONTROL: Final = 125
"""Octets of a control frame's payload."""
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_KNOWN: Final = frozenset((_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG))

GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED: Final = 1003
NOT_UTF8: Final = 1007
POLICY: Final = 1008
TOO_BIG: Final = 1009


class Text(NamedTuple):
    """A whole message, valid UTF-8."""

    octets: bytes


class Ping(NamedTuple):
    """To be answered by ``pong``."""

    octets: bytes


class Pong(NamedTuple):
    """The client is there."""

    octets: bytes


class Close(NamedTuple):
    """The client wants to end: answer with ``close(code)`` and end."""

    code: int


class Broken(NamedTuple):
    """The client broke a rule: send ``close(code)`` and end."""

    code: int
    text: str


Event = Text | Ping | Pong | Close | Broken


class _Bad(Exception):
    """A rule is broken."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class WebSocketEngine:
    """What one client sends."""

    __slots__ = ("_done", "_events", "_frames", "_input", "_message", "_most", "_size")

    def __init__(self, most: int) -> None:
        """``most``: octets of a message."""
        self._most = most
        self._input = bytearray()
        self._events: deque[Event] = deque()
        self._message: list[bytes] | None = None
        """The frames of a message that is not whole yet."""
        self._frames = 0
        self._size = 0
        self._done = False

    @property
    def idle(self) -> bool:
        """No frame and no message is half read."""
        return not self._input and self._message is None

    def next_event(self) -> Event | None:
        """The next one, None until more octets came."""
        return self._events.popleft() if self._events else None

    def receive(self, octets: bytes) -> None:
        """Octets of the client, cut anywhere."""
        if self._done:
            return
        self._input += octets
        try:
            while not self._done and self._frame():
                pass
        except _Bad as error:
            self._done = True
            self._input.clear()
            self._events.append(Broken(error.code, str(error)))

    def _frame(self) -> bool:
        """Read one frame; False where it is not whole yet."""
        data = self._input
        if len(data) < 2:
            return False
        final, opcode, length = bool(data[0] & 0x80), data[0] & 0x0F, data[1] & 0x7F
        if data[0] & 0x70 or opcode not in _KNOWN:
            raise _Bad(PROTOCOL_ERROR, "a reserved bit or opcode")
        if not data[1] & 0x80:
            raise _Bad(PROTOCOL_ERROR, "a frame without a mask")
        at = 2 + {126: 2, 127: 8}.get(length, 0)
        if len(data) < at:
            return False
        if length > MAX_CONTROL:
            length = int.from_bytes(data[2:at], "big")
        self._check(opcode, final, length, at)
        end = at + 4 + length
        if len(data) < end:
            return False
        payload = unmasked(bytes(data[at + 4 : end]), bytes(data[at : at + 4]))
        del data[:end]
        self._take(opcode, final, payload)
        return True

    def _check(self, opcode: int, final: bool, length: int, at: int) -> None:
        """As soon as the head is there: nothing is gathered that will be refused."""
        if (at == 4 and length < 126) or (at == 10 and length < 65536) or length >> 63:
            raise _Bad(PROTOCOL_ERROR, "a length that is not minimal")
        if opcode >= _CLOSE:
            if not final or length > MAX_CONTROL:
                raise _Bad(PROTOCOL_ERROR, "a control frame that is long or in pieces")
            return
        if opcode == _BINARY:
            raise _Bad(UNSUPPORTED, "only text is spoken here")
        if (opcode == _CONTINUATION) != (self._message is not None):
            raise _Bad(PROTOCOL_ERROR, "a frame that does not go on where the last one ended")
        if self._size + length > self._most:
            raise _Bad(TOO_BIG, f"at most {self._most} octets")
        if self._frames >= MAX_FRAMES:
            raise _Bad(POLICY, f"at most {MAX_FRAMES} frames")

    def _take(self, opcode: int, final: bool, payload: bytes) -> None:
        if opcode == _PING:
            self._events.append(Ping(payload))
        elif opcode == _PONG:
            self._events.append(Pong(payload))
        elif opcode == _CLOSE:
            self._done = True
            self._events.append(_closing(payload))
        else:
            self._append(payload, final)

    def _append(self, payload: bytes, final: bool) -> None:
        if self._message is None:
            self._message = []
        self._message.append(payload)
        self._frames += 1
        self._size += len(payload)
        if not final:
            return
        whole = b"".join(self._message)
        self._message, self._frames, self._size = None, 0, 0
        try:
            whole.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _Bad(NOT_UTF8, "text that is not UTF-8") from error
        self._events.append(Text(whole))


def unmasked(payload: bytes, key: bytes) -> bytes:
    """Section 5.3; linear in C."""
    size = len(payload)
    mask = key * (-(-size // 4))
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask[:size], "big")).to_bytes(size, "big")


# close-frame-body = [ status-code reason ]; codes of section 7.4
def _closing(payload: bytes) -> Event:
    if not payload:
        return Close(1000)
    code = int.from_bytes(payload[:2], "big")
    known = 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
    try:
        payload[2:].decode("utf-8")
    except UnicodeDecodeError:
        return Broken(NOT_UTF8, "a reason that is not UTF-8")
    return Close(code) if known and len(payload) != 1 else Broken(PROTOCOL_ERROR, "no status code")


def _framed(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size <= MAX_CONTROL:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def text(octets: bytes) -> bytes:
    """A message of ours."""
    return _framed(_TEXT, octets)


def ping() -> bytes:
    """Ask whether the client is there."""
    return _framed(_PING, b"")


def pong(octets: bytes) -> bytes:
    """The answer to a Ping."""
    return _framed(_PONG, octets)


def close(code: int, reason: str = "") -> bytes:
    """The last frame."""
    return _framed(_CLOSE, code.to_bytes(2, "big") + reason.encode()[: MAX_CONTROL - 2])


def accept(key: str) -> str | None:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key (section 4.2.2); None where that is none."""
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            return None
    except (binascii.Error, ValueError):
        return None
    digest = hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")
