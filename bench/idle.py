"""What memory does an idle IMAP connection hold in the server, plain and over TLS, 15,000 at once?

Proportional set size of all processes with the connections in IDLE, less that without them, by connection;
the kernel's own memory is told apart.  At the end one mail is delivered, and every connection idling on that
mailbox must hear of it: a parked connection that is deaf costs nothing.
"""

import contextlib
import pathlib
import resource
import select
import smtplib
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from typing import Final

from bench import processes
from bench.load import Load, run
from bench.ours import ON, instance
from bench.peers.rig import PeerRig
from bench.report import Options, Report, Row, below, main
from bench.server import Server

ACCOUNTS: Final = tuple((f"user{n}@example.test", "secret-a") for n in range(100))
PEER_CONNECTIONS: Final = 100
MAILS_A_BOX: Final = 20
SETTLE_SECONDS: Final = 5.0
HEAR_SECONDS: Final = 30.0
PLAIN_GOAL: Final = 2.0
TLS_GOAL: Final = 25.0


def idle_one(port: int, source: str, login: tuple[str, str], tls: ssl.SSLContext | None) -> socket.socket:
    """Connect, LOGIN, SELECT INBOX, IDLE."""
    sock = socket.socket()
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    if tls is not None:
        sock = tls.wrap_socket(sock)
    _until(sock, b"* OK")
    for tag, command in (
        (b"a", b'LOGIN "%b" "%b"' % (login[0].encode(), login[1].encode())),
        (b"b", b"SELECT INBOX"),
    ):
        sock.sendall(tag + b" " + command + b"\r\n")
        _until(sock, b"\r\n" + tag + b" OK")
    sock.sendall(b"c IDLE\r\n")
    _until(sock, b"\r\n+ ")
    return sock


def _until(sock: socket.socket, mark: bytes) -> None:
    seen = b"\r\n"
    while mark not in seen:
        octets = sock.recv(8192)
        if not octets:
            raise ConnectionError(f"closed before {mark!r}: {seen!r}")
        seen += octets


@contextlib.contextmanager
def held(server: Server, count: int, tls: ssl.SSLContext | None) -> Iterator[list[socket.socket]]:
    """``count`` idle connections, spread over the accounts and over source addresses."""
    port = server.port("imap" if tls is None else "imaps")
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        for n in range(count):
            login = server.accounts[n % len(server.accounts)]
            sockets.append(stack.enter_context(idle_one(port, f"127.0.0.{2 + n // 10_000}", login, tls)))
        time.sleep(SETTLE_SECONDS)
        yield sockets


def slab() -> int:
    """The kernel's slab in octets, whole machine."""
    text = pathlib.Path("/proc/meminfo").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Slab:"))


def warm_up(server: Server, tls: ssl.SSLContext | None) -> None:
    """The first connections bring modules and arenas in (not for a peer that keeps a process for each)."""
    with held(server, len(server.accounts), tls):
        pass
    time.sleep(SETTLE_SECONDS)


def a_connection(server: Server, count: int, tls: ssl.SSLContext | None) -> tuple[float, float, int]:
    """KiB of user space a connection, KiB of slab (both ends), connections that heard of a new mail."""
    before, kernel = processes.pss_bytes(server.pids()), slab()
    with held(server, count, tls) as sockets:
        after, kernel_after = processes.pss_bytes(server.pids()), slab()
        heard = listen(server, sockets)
    return (after - before) / count / 1024, (kernel_after - kernel) / count / 1024, heard


def listen(server: Server, sockets: list[socket.socket]) -> int:
    """Deliver one mail to the first account; how many of its connections are told."""
    mine = sockets[:: len(server.accounts)]
    address = server.accounts[0][0]
    with smtplib.SMTP("127.0.0.1", server.port("smtp")) as client:
        client.sendmail("bench@load.test", [address], b"Subject: wake up\r\n\r\nnow\r\n")
    heard = 0
    waiting = {sock.fileno(): sock for sock in mine}
    deadline = time.monotonic() + HEAR_SECONDS
    while waiting and time.monotonic() < deadline:
        ready, _, _ = (
            select.select(list(waiting), [], [], 1.0) if max(waiting) < 1024 else (_poll(waiting), [], [])
        )
        for fd in ready:
            heard += b"EXISTS" in waiting.pop(fd).recv(8192)
    return heard


def _poll(waiting: dict[int, socket.socket]) -> list[int]:
    poll = select.poll()
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll(1000)]


def fill(server: Server, seed: int) -> None:
    """Some mails in every INBOX."""
    count = MAILS_A_BOX * len(server.accounts)
    run(
        Load(
            server.port("smtp"), count, recipients=tuple(a for a, _ in server.accounts), size=2000, seed=seed
        )
    )
    server.drain()


def measure(chosen: Options, report: Report) -> None:
    """Plain, then TLS; the peer with as many as it can hold without exhausting the machine."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = 300 if chosen.smoke else 15_000
    count = min(count, hard - 500)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    peer = None
    if chosen.peer:
        with PeerRig(accounts=ACCOUNTS) as server:
            fill(server, chosen.seed)
            peer = a_connection(server, PEER_CONNECTIONS, None)[0]
    report.count(connections=count, accounts=len(ACCOUNTS), peer_connections=PEER_CONNECTIONS)
    with instance(chosen.directory, ON, ACCOUNTS) as server:
        fill(server, chosen.seed)
        for name, tls, goal in (("plain", None, PLAIN_GOAL), ("TLS", context, TLS_GOAL)):
            warm_up(server, tls)
            user, kernel, heard = a_connection(server, count, tls)
            report.add(below(f"idle {name} connection, user space", "KiB", user, goal))
            if peer and tls is None:
                report.add(Row("idle plain connection, user space, Dovecot", "KiB", user, peer))
            report.add(Row(f"idle {name} connection, kernel slab, both ends", "KiB", kernel))
            wanted = -(-count // len(ACCOUNTS))
            report.add(
                Row(
                    f"idle {name}: told of a new mail, of {wanted}",
                    "connections",
                    heard,
                    None,
                    f"{wanted}",
                    heard == wanted,
                )
            )


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, rounds=1))
