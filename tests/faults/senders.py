"""Threads that send mails of the ledger over SMTP, and go on whatever happens to the server."""

import dataclasses
import hashlib
import random
import socket
import threading
import time
from collections.abc import Iterable
from typing import Final

from bench import mails
from bench.server import Server
from tests.faults import ledger
from tests.faults.ledger import Outcome

TIMEOUT: Final = 15.0
LAST_SECONDS: Final = 30.0
PAUSE: Final = 0.02
SIZES: Final = (400, 3_000, 12_000, 90_000)
WEIGHTS: Final = (30, 50, 18, 2)
GIVE_UP: Final = 0.2


class Lost(ConnectionError):
    """The connection ended where a reply was due."""


class Wire:
    """A plain SMTP client that knows when a mail's fate is open."""

    def __init__(self, port: int, timeout: float = TIMEOUT) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout)
        self._file = self._sock.makefile("rb")
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.reply()
            self.ask(b"EHLO ledger.test")
        except (OSError, ValueError):
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

    def send(self, recipient: str, mail: bytes) -> tuple[Outcome, int]:
        """Try to deliver one mail; never raises after the first octet of the content: the fate is open."""
        for command in (b"MAIL FROM:<ledger@load.test>", b"RCPT TO:<%b>" % recipient.encode(), b"DATA"):
            code = self.ask(command)
            if code >= 400:
                self.ask(b"RSET")
                return Outcome.REFUSED, code
        try:
            self._sock.sendall(mails.dot_stuffed(mail) + b".\r\n")
            code = self.reply()
        except OSError:
            return Outcome.UNKNOWN, 0
        if code == 250:
            return Outcome.ACKNOWLEDGED, code
        return (Outcome.DEFERRED if code < 500 else Outcome.REFUSED), code

    def close(self) -> None:
        """Drop the connection."""
        self._file.close()
        self._sock.close()


@dataclasses.dataclass(slots=True)
class Mail:
    """One mail of the ledger on its way; ``outcome`` is what its sender knows so far."""

    name: str
    recipient: str
    octets: bytes
    outcome: Outcome = Outcome.REFUSED
    sends: int = 0
    over: bool = False

    def hear(self, outcome: Outcome) -> None:
        """What one try told; an open fate stays open until the mail is acknowledged."""
        self.sends += 1
        if outcome is Outcome.REFUSED and self.outcome is not Outcome.REFUSED:
            return
        if outcome is Outcome.DEFERRED and self.outcome is Outcome.UNKNOWN:
            return
        self.outcome = outcome

    def attempt(self) -> ledger.Attempt:
        """The line of the ledger."""
        digest = hashlib.sha256(self.octets).digest()
        return ledger.Attempt(self.name, self.recipient, digest, self.outcome, self.sends)


class Senders:
    """``count`` threads; ``start`` to ``stop``, every mail whose content went out goes to the ledger.

    A mail with an open fate is sent again, until it is acknowledged or (one of five) given up.  After
    ``suspend`` it is left in ``unfinished``, for the senders of the server's next life; a reply that is read
    after it binds nobody: that mail is over, its fate unknown.
    """

    def __init__(
        self,
        server: Server,
        book: ledger.Ledger,
        seed: int,
        count: int = 6,
        name: str = "",
        unfinished: Iterable[Mail] = (),
    ) -> None:
        self._server = server
        self._book = book
        self._name = name
        self._halt = threading.Event()
        self._suspended = threading.Event()
        self._last = 0.0
        self.unfinished = list(unfinished)
        self._threads = [
            threading.Thread(target=self._run, args=(n, random.Random(seed * 1000 + n)), name=f"sender-{n}")
            for n in range(count)
        ]
        self.codes: dict[int, int] = {}

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def suspend(self) -> None:
        """From now on no reply counts, and nothing is sent again."""
        self._suspended.set()

    def stop(self) -> None:
        """Let each finish the mail in hand, and join."""
        self._last = time.monotonic() + LAST_SECONDS
        self._halt.set()
        for thread in self._threads:
            thread.join(LAST_SECONDS + TIMEOUT * 2)
            if thread.is_alive():
                raise RuntimeError(f"{thread.name} does not end")

    def _run(self, number: int, draw: random.Random) -> None:
        wire: Wire | None = None
        mail: Mail | None = None
        serial = 0
        while mail is not None or not self._halt.is_set():
            if mail is None:
                serial += 1
                mail = self._take() or self._make(f"{self._name}{number}.{serial}", draw)
            outcome: Outcome | None = None
            try:
                wire = wire or Wire(self._server.port("smtp"))
                outcome = self._send(wire, mail)
            except (OSError, ValueError):  # nothing of the content was sent this time
                time.sleep(PAUSE)
            if outcome is not Outcome.ACKNOWLEDGED and wire is not None:
                wire.close()
                wire = None
            if self._settled(mail, given_up=outcome is not None and draw.random() < GIVE_UP):
                mail = None
        if wire is not None:
            wire.close()

    def _take(self) -> Mail | None:
        try:
            return self.unfinished.pop()
        except IndexError:
            return None

    def _make(self, name: str, draw: random.Random) -> Mail:
        recipient = draw.choice(self._server.accounts)[0]
        body = mails.crlf(
            draw.randbytes(draw.choices(SIZES, WEIGHTS)[0] // 2).hex(" ", -36).replace(" ", "\n").encode()
        )
        return Mail(name, recipient, ledger.content(name, body))

    def _send(self, wire: Wire, mail: Mail) -> Outcome:
        outcome, code = wire.send(mail.recipient, mail.octets)
        self.codes[code] = self.codes.get(code, 0) + 1
        if self._suspended.is_set() and outcome is Outcome.ACKNOWLEDGED:
            mail.hear(Outcome.UNKNOWN)
            mail.over = True
        else:
            mail.hear(outcome)
            mail.over = outcome is Outcome.ACKNOWLEDGED
        return outcome

    def _settled(self, mail: Mail, *, given_up: bool) -> bool:
        """Whether this mail is over, written to the ledger or left for the next life."""
        if not mail.over:
            if self._suspended.is_set():
                self.unfinished.append(mail)
                return True
            stopped = self._halt.is_set() and (
                mail.outcome is Outcome.REFUSED or time.monotonic() > self._last
            )
            if not (stopped or given_up):
                return False
        if mail.sends:
            self._book.write(mail.attempt())
        return True
