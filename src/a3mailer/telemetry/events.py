"""Structured events: one line of JSON an event, one event a state change, one trace id a mail's way.

``emit`` is the only door. Field values that are secrets or addresses come in ``Redacted`` types, so that
a log line cannot leak what its writer did not mean to say.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from typing import Final

import msgspec

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
FLUSH_AT: Final = 32 * 1024
"""Octets buffered before a write; the process's loop flushes what is left once a second."""
TRACES_DRAWN: Final = 64
"""Trace ids made of one question for random octets."""

_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


class Secret:
    """A value that never shows itself: ``repr``, ``str`` and the log say ``***``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value; every call site is a place to review."""
        return self._value

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__


def redact_address(address: str) -> str:
    """``alice@example.test`` as ``a***@example.test``: enough to follow a mail, not enough to harvest."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}***{at}{domain}" if at else "***"


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


_traces: Final[list[str]] = []
os.register_at_fork(after_in_child=_traces.clear)  # no two processes hand out the same


def new_trace() -> str:
    """A trace id: 16 hexadecimal digits, unique enough to follow one mail through every log."""
    if not _traces:
        drawn = secrets.token_hex(8 * TRACES_DRAWN)
        _traces.extend([drawn[at : at + 16] for at in range(0, len(drawn), 16)])
    return _traces.pop()


class EventLog:
    """Collects events and writes them in large pieces to a file descriptor."""

    __slots__ = ("_buffer", "_fd", "_level", "_process", "_write")

    def __init__(self, fd: int = 2, level: str = "info", process: str = "main") -> None:
        self._fd = fd
        self._level = LEVELS[level]
        self._process = process
        self._buffer = bytearray()
        self._write: Callable[[int, bytes | memoryview], int] = os.write

    def configure(
        self, *, fd: int | None = None, level: str | None = None, process: str | None = None
    ) -> None:
        """Change where and what is written; None leaves a thing as it is."""
        self.flush()
        self._fd = self._fd if fd is None else fd
        self._level = self._level if level is None else LEVELS[level]
        self._process = self._process if process is None else process

    def emit(self, name: str, *, level: str = "info", trace: str = "", **fields: object) -> None:
        """Write one event. ``name`` is ``room.thing.happened``; fields are plain values."""
        severity = LEVELS[level]
        if severity < self._level:
            return
        record: dict[str, object] = {"time": round(time.time(), 3), "level": level, "event": name}
        if trace:
            record["trace"] = trace
        record["process"] = self._process
        record.update(fields)
        try:
            self._buffer += _encode(record)
        except UnicodeEncodeError:  # half a surrogate pair in a stranger's text must not end his session
            self._buffer += _encode(
                {k: _whole(v) if isinstance(v, str) else repr(v) for k, v in record.items()}
            )
        self._buffer += b"\n"
        if severity >= 30 or len(self._buffer) >= FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered. A log that cannot be written must not stop mail: the loss is counted."""
        if not self._buffer:
            return
        octets, self._buffer = bytes(self._buffer), bytearray()
        view = memoryview(octets)
        try:
            while view:
                view = view[self._write(self._fd, view) :]
        except OSError as error:
            self._buffer += _encode(
                {"level": "error", "event": "log.lost", "octets": len(view), "errno": error.errno}
            )
            self._buffer += b"\n"


LOG: Final = EventLog()
emit: Final = LOG.emit
"""The process's log."""
