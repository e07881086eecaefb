"""An IMAP client on a blocking socket: quick for bulk (it can throw octets away), exact where asked.

``Imap.command`` reads until the tagged reply without looking at what passes; ``Imap.fetch_bodies`` parses
literals and returns octets.  The tag is random, so that no mail can contain it.
"""

import re
import secrets
import socket
import ssl
from collections.abc import Iterator
from typing import Final

CHUNK: Final = 1 << 18
TAIL: Final = 4096
LITERAL: Final = re.compile(rb"\{(\d+)\}\r\n\Z")
UID: Final = re.compile(rb"\bUID (\d+)")


class Failed(RuntimeError):
    """A tagged reply that is not OK."""


class Imap:
    """One connection; ``tls`` is a context for implicit TLS."""

    def __init__(
        self, port: int, *, host: str = "127.0.0.1", timeout: float = 120, tls: ssl.SSLContext | None = None
    ) -> None:
        self.sock: socket.socket = socket.create_connection((host, port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=host)
        self._prefix = secrets.token_hex(6).encode()
        self._count = 0
        self._buffer = bytearray(CHUNK)
        self.octets = 0
        try:
            self.greeting = self._line_now()
        except OSError:
            self.close()
            raise

    def _line_now(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            octets = self.sock.recv(4096)
            if not octets:
                raise ConnectionError(f"closed after {line!r}")
            line += octets
        return line

    def login(self, user: str, password: str) -> None:
        """LOGIN with quoted strings."""
        self.command(f'LOGIN "{user}" "{password}"'.encode())

    def tag(self) -> bytes:
        """A fresh tag."""
        self._count += 1
        return b"%b%d" % (self._prefix, self._count)

    def send(self, command: bytes) -> bytes:
        """Send a command without waiting; its tag."""
        tag = self.tag()
        self.sock.sendall(tag + b" " + command + b"\r\n")
        return tag

    def command(self, command: bytes, *, keep: bool = False) -> bytes:
        """Send, read to the tagged reply; all octets with ``keep``, else their tail; ``Failed`` unless OK."""
        return self.wait(self.send(command), keep=keep, what=command)

    def wait(self, tag: bytes, *, keep: bool = False, what: bytes = b"") -> bytes:
        """Read to the reply with this tag."""
        view = memoryview(self._buffer)
        kept: list[bytes] = []
        tail = b"\r\n"
        mark = b"\r\n" + tag + b" "
        while True:
            count = self.sock.recv_into(view)
            if not count:
                raise ConnectionError(f"closed during {what[:60]!r}")
            self.octets += count
            if keep:
                kept.append(bytes(view[:count]))
            tail = (tail + bytes(view[max(0, count - TAIL) : count]))[-TAIL:]
            if tail.endswith(b"\r\n") and (at := tail.rfind(mark)) >= 0:
                if tail[at + len(mark) : at + len(mark) + 2] != b"OK":
                    raise Failed(f"{what[:60]!r}: {tail[at + 2 :]!r}")
                return b"".join(kept) if keep else tail[2:]

    def begin_idle(self) -> None:
        """IDLE, to its continuation request."""
        self.send(b"IDLE")
        while not self._line_now().startswith(b"+"):
            pass

    def wait_for(self, what: bytes) -> None:
        """Read until what was said holds this; what follows it at once is taken with it."""
        said = b""
        while what not in said:
            octets = self.sock.recv(CHUNK)
            if not octets:
                raise ConnectionError(f"closed before {what!r}")
            said += octets

    def append(self, mailbox: bytes, mail: bytes, flags: bytes = b"") -> bytes:
        """APPEND with a synchronising literal."""
        tag = self.send(b'APPEND "%b" %b{%d}' % (mailbox, flags, len(mail)))
        line = self._line_now()
        if not line.startswith(b"+"):
            raise Failed(line.decode(errors="replace"))
        self.sock.sendall(mail + b"\r\n")
        return self.wait(tag, what=b"APPEND")

    def select(self, mailbox: bytes = b"INBOX") -> dict[str, int]:
        """SELECT; EXISTS, UIDVALIDITY and UIDNEXT."""
        answer = self.command(b'SELECT "%b"' % mailbox, keep=True)
        patterns = {
            "exists": rb"\* (\d+) EXISTS",
            "uid_validity": rb"UIDVALIDITY (\d+)",
            "uid_next": rb"UIDNEXT (\d+)",
        }
        found = {name: re.search(pattern, answer) for name, pattern in patterns.items()}
        return {name: int(match[1]) for name, match in found.items() if match}

    def fetch_bodies(self, exists: int, batch: int = 500) -> Iterator[tuple[int, bytes]]:
        """(UID, octets) of messages 1 to ``exists``, in the order of sequence numbers."""
        for first in range(1, exists + 1, batch):
            last = min(exists, first + batch - 1)
            answer = self.command(b"FETCH %d:%d (UID BODY.PEEK[])" % (first, last), keep=True)
            yield from bodies(answer)

    def close(self) -> None:
        """Drop the connection."""
        self.sock.close()


def bodies(answer: bytes) -> Iterator[tuple[int, bytes]]:
    """(UID, literal) of every FETCH response that has one literal."""
    at = 0
    while at < len(answer):
        end = answer.index(b"\r\n", at) + 2
        line = answer[at:end]
        at = end
        literal = LITERAL.search(line)
        if literal is None:
            continue
        content = answer[at : at + int(literal[1])]
        at += len(content)
        end = answer.index(b"\r\n", at) + 2
        uid = UID.search(line) or UID.search(answer[at:end])
        at = end
        if uid is None:
            raise Failed(f"no UID in {line!r}")
        yield int(uid[1]), content
