"""How soon does a change reach the sessions of other workers: from the answer that it is durable to EXISTS?

Sessions idle in every worker, parked, some over TLS. A mail is delivered; the time runs from its 250 to the
EXISTS of each session (negative where a session was told before the sender, counted as 0).
"""

import math
import selectors
import smtplib
import socket
import ssl
import sys
import time
from typing import Any, Final

from bench.ours import ON, instance
from bench.report import Options, Report, Row, below, main

ACCOUNTS: Final = (("reader@example.test", "secret-a"),)
LIMIT_MS: Final = 50.0
WAIT_SECONDS: Final = 30.0


def idle(port: int, tls: bool) -> socket.socket:
    """A session in IDLE on INBOX."""
    sock: Any = socket.create_connection(("127.0.0.1", port))
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = context.wrap_socket(sock)
    reader = sock.makefile("rb", buffering=0)
    sock.sendall(b"a LOGIN reader@example.test secret-a\r\nb SELECT INBOX\r\nc IDLE\r\n")
    while not reader.readline().startswith(b"+"):
        pass
    sock.setblocking(False)
    return sock  # type: ignore[no-any-return]


def told(sessions: list[socket.socket]) -> list[float]:
    """When each session was told, on the monotonic clock."""
    times: list[float] = []
    with selectors.DefaultSelector() as selector:
        for sock in sessions:
            selector.register(sock, selectors.EVENT_READ)
        until = time.monotonic() + WAIT_SECONDS
        while selector.get_map() and time.monotonic() < until:
            for key, _ in selector.select(0.5):
                heard = key.fileobj
                assert isinstance(heard, socket.socket)
                try:
                    octets = heard.recv(4096)
                except (BlockingIOError, ssl.SSLWantReadError):
                    continue
                if b"EXISTS" in octets:
                    times.append(time.monotonic())
                    selector.unregister(heard)
    return times


def measure(chosen: Options, report: Report) -> None:
    """Deliver one mail after the other; all sessions must hear of each."""
    plain, secure, mails = (6, 2, 20) if chosen.smoke else (40, 10, 400)
    lateness: list[float] = []
    with instance(chosen.directory, ON, ACCOUNTS, workers=2) as server:
        sessions = [idle(server.port("imap"), tls=False) for _ in range(plain)]
        sessions += [idle(server.port("imaps"), tls=True) for _ in range(secure)]
        with smtplib.SMTP("127.0.0.1", server.port("smtp")) as client:
            for number in range(mails):
                client.sendmail("a@b.test", ["reader@example.test"], b"Subject: %d\r\n\r\nx\r\n" % number)
                answered = time.monotonic()
                times = told(sessions)
                if len(times) < len(sessions):
                    raise RuntimeError(
                        f"{len(sessions) - len(times)} sessions were not told of mail {number}"
                    )
                lateness += [max(0.0, at - answered) * 1e3 for at in times]
        for sock in sessions:
            sock.close()
    lateness.sort()
    report.count(mails=mails, sessions=len(sessions), workers=2)
    report.add(Row("from 250 to EXISTS in another session, p50", "ms", lateness[len(lateness) // 2]))
    report.add(below("... p99", "ms", lateness[math.ceil(len(lateness) * 0.99) - 1], LIMIT_MS))


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, rounds=1))
