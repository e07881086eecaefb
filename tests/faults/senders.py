"""Threads that send mails of the ledger over SMTP, and go on whatever happens to the server."""

import hashlib
import random
import socket
import threading
import time
from typing import Final

from bench import mails
from bench.server import Server
from tests.faults import ledger

TIMEOUT: Final = 15.0
PAUSE: Final = 0.02
SIZES: Final = (400, 3_000, 12_000, 90_000)
WEIGHTS: Final = (30, 50, 18, 2)


class Lost(ConnectionError):
    """The connection ended where a reply was due."""


class Wire:
    """A plain SMTP client that knows when a mail's fate is open."""

    def __init__(self, port: int, timeout: float = TIMEOUT) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._sock.makefile("rb")
        try:
            self.reply()
            self.ask(b"EHLO ledger.test")
        except OSError:
            self.close()
            raise

    def reply(self) -> int:
        """Read one reply; its code."""
        while True:
            line = self._file.readline(4096)
            if not line.endswith(b"\n"):
                raise Lost("no reply")
            if line[3:4] != b"-":
                return int(line[:3])

    def ask(self, command: bytes) -> int:
        """Send a command line, read its reply."""
        self._sock.sendall(command + b"\r\n")
        return self.reply()

    def send(self, recipient: str, mail: bytes) -> tuple[ledger.Outcome, int]:
        """Try to deliver one mail; never raises after the first octet of the content: the fate is open."""
        for command in (b"MAIL FROM:<ledger@load.test>", b"RCPT TO:<%b>" % recipient.encode(), b"DATA"):
            code = self.ask(command)
            if code >= 400:
                self.ask(b"RSET")
                return ledger.Outcome.REFUSED, code
        try:
            self._sock.sendall(mails.dot_stuffed(mail) + b".\r\n")
            code = self.reply()
        except OSError:
            return ledger.Outcome.UNKNOWN, 0
        return (ledger.Outcome.ACKNOWLEDGED if code == 250 else ledger.Outcome.REFUSED), code

    def close(self) -> None:
        """Drop the connection."""
        self._file.close()
        self._sock.close()


class Senders:
    """``count`` threads; ``start`` to ``stop``, every attempt goes to the ledger."""

    def __init__(
        self, server: Server, book: ledger.Ledger, seed: int, count: int = 6, name: str = ""
    ) -> None:
        self._server = server
        self._book = book
        self._name = name
        self._halt = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(n, random.Random(seed * 1000 + n)), name=f"sender-{n}")
            for n in range(count)
        ]
        self.codes: dict[int, int] = {}

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each finish the mail in hand, and join."""
        self._halt.set()
        for thread in self._threads:
            thread.join(TIMEOUT * 4)
            if thread.is_alive():
                raise RuntimeError(f"{thread.name} does not end")

    def _run(self, number: int, draw: random.Random) -> None:
        wire: Wire | None = None
        serial = 0
        while not self._halt.is_set():
            try:
                wire = wire or Wire(self._server.port("smtp"))
                serial += 1
                outcome = self._attempt(wire, f"{self._name}{number}.{serial}", draw)
            except (OSError, ValueError):  # nothing of the content was sent
                outcome = ledger.Outcome.REFUSED
                time.sleep(PAUSE)
            if outcome is not ledger.Outcome.ACKNOWLEDGED and wire is not None:
                wire.close()
                wire = None
        if wire is not None:
            wire.close()

    def _attempt(self, wire: Wire, name: str, draw: random.Random) -> ledger.Outcome:
        recipient = draw.choice(self._server.accounts)[0]
        body = mails.crlf(
            draw.randbytes(draw.choices(SIZES, WEIGHTS)[0] // 2).hex(" ", -36).replace(" ", "\n").encode()
        )
        mail = ledger.content(name, body)
        outcome, code = wire.send(recipient, mail)
        self.codes[code] = self.codes.get(code, 0) + 1
        self._book.write(
            ledger.Attempt(name, recipient, hashlib.sha256(mail).digest(), outcome, time.monotonic())
        )
        return outcome
