"""A scripted SMTP peer: the other server of a relay test, speaking from a transcript.

``ScriptedPeer`` is a ``transfer.session.Dialer``. The n-th connection plays the transcript's steps of
connection n: ``S:`` lines are what the peer says, ``C:`` lines what it must hear before it says more,
``CLOSED`` is where it hangs up. Options (``% name=value`` lines)::

    % refuse=1 3       dialling connections 1 and 3 fails
    % tls=fail         handshakes fail (they succeed otherwise)

``<word>`` and ``<...>`` in ``C:`` lines stand for anything.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from a3mailer.testing.transcript import Step, Transcript, TranscriptMismatch, whole

_ANYTHING = re.compile(rb"<(?:[a-z][a-z0-9_]*|\.\.\.)>")


def _pattern(line: bytes) -> re.Pattern[bytes]:
    return re.compile(b".*".join(re.escape(piece) for piece in _ANYTHING.split(line)), re.DOTALL)


class PeerWire:
    """One connection of the client under test; satisfies ``transfer.session.Wire``."""

    def __init__(
        self, path: Path, steps: Iterable[Step], tls: bool, split: Callable[[bytes], Iterable[bytes]]
    ) -> None:
        self._path = path
        self._steps = deque(steps)
        self._tls_works = tls
        self._split = split
        self._saying: deque[bytes] = deque()
        self._heard = bytearray()
        self.local = ("192.0.2.250", 40000)
        self.certificates: tuple[bytes, ...] = ()
        self.secure = False
        self.closed = False

    @property
    def tls(self) -> str:
        return "TLSv1.3 TLS_AES_256_GCM_SHA384" if self.secure else ""

    async def read(self) -> bytes:
        """What the script says next; b"" where it hangs up or ends."""
        if self.closed:
            raise ConnectionResetError("closed")
        if self._saying:
            return self._saying.popleft()
        self._hear()
        said = bytearray()
        while self._steps and self._steps[0].kind == "S":
            step = self._steps.popleft()
            said += step.octets if step.exact else step.octets + b"\r\n"
        if said:
            self._saying.extend(self._split(bytes(said)))
            return self._saying.popleft()
        if self._steps and self._steps[0].kind == "CLOSED":
            self._steps.popleft()
        return b""

    def write(self, octets: bytes | memoryview) -> None:
        """The client says something; judged when the script comes to it."""
        self._heard += octets

    def expire(self) -> None:
        """No wait is ever in progress."""

    async def drain(self) -> None:
        """Nothing ever waits; a peer that has hung up shows here, too."""
        if self.closed:
            raise ConnectionResetError("closed")

    async def flushed(self) -> None:
        """All of it is heard."""

    tls_ticket = None

    async def start_tls_client(self, context: object, name: str, ticket: object = None) -> None:
        """As the transcript's options have it."""
        if not self._tls_works:
            raise ConnectionAbortedError("TLS: scripted failure")
        self.secure = True

    def close(self) -> None:
        """The client hangs up."""
        self.closed = True

    def _hear(self) -> None:
        """Take what the script expects to be said now. Raises TranscriptMismatch."""
        while self._steps and self._steps[0].kind == "C":
            step = self._steps.popleft()
            end = len(step.octets) if step.exact else self._heard.find(b"\r\n")
            got = bytes(self._heard[: max(end, 0)])
            same = got == step.octets if step.exact else _pattern(step.octets).fullmatch(got) is not None
            if end < 0 or not same:
                rest = bytes(self._heard[:1000])
                raise TranscriptMismatch(
                    f"{self._path}:{step.line}: expected {step.octets!r}, heard {rest!r}"
                )
            del self._heard[: end if step.exact else end + 2]

    def finish(self) -> None:
        """The play is over. Raises TranscriptMismatch when something was not said, or too much."""
        self._hear()
        if self._heard:
            raise TranscriptMismatch(f"{self._path}: it also said {bytes(self._heard[:1000])!r}")
        left = [step for step in self._steps if step.kind != "CLOSED"]
        if left:
            raise TranscriptMismatch(f"{self._path}:{left[0].line}: never came to {left[0].octets!r}")


class ScriptedPeer:
    """Dial it. ``dialled`` is every (address, port) in order, those refused included."""

    def __init__(self, path: Path, split: Callable[[bytes], Iterable[bytes]] = whole) -> None:
        self.transcript = Transcript.load(path)
        self.dialled: list[tuple[str, int]] = []
        self.wires: list[PeerWire] = []
        options = self.transcript.options
        self._refused = {int(word) for word in options.get("refuse", "").split()}
        self._tls = options.get("tls") != "fail"
        self._split = split
        self._connections = 0

    async def __call__(self, address: str, port: int, seconds: float) -> PeerWire:
        self.dialled.append((address, port))
        if len(self.dialled) in self._refused:
            raise ConnectionRefusedError(f"{address}:{port}: connection refused")
        self._connections += 1
        steps = [step for step in self.transcript.steps if step.connection == self._connections]
        if not steps:
            raise TranscriptMismatch(
                f"{self.transcript.path}: connection {self._connections} is not expected"
            )
        wire = PeerWire(self.transcript.path, steps, self._tls, self._split)
        self.wires.append(wire)
        return wire

    def finish(self) -> None:
        """Every line was played. Raises TranscriptMismatch."""
        for wire in self.wires:
            wire.finish()
        expected = max(step.connection for step in self.transcript.steps)
        if self._connections != expected:
            raise TranscriptMismatch(
                f"{self.transcript.path}: {self._connections} connections instead of {expected}"
            )
