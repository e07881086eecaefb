"""What CPU does POP3 cost the server, against Dovecot's pop3?

Works on one INBOX of 10,000 mails, the same mails in both servers. Each work is done on a new connection;
what is read once of a maildrop (LIST) is read before.
"""

import contextlib
import dataclasses
import pathlib
import secrets
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Final

from bench import ports
from bench.load import Load, run
from bench.ours import BOTH, instance
from bench.peers import packages
from bench.peers.dovecot import Dovecot
from bench.report import Options, Report, Row, at_most, main
from bench.server import wait_banner

ACCOUNTS: Final = (("alice@example.test", "secret-a"),)
PACKAGES: Final = ("dovecot-core", "dovecot-imapd", "dovecot-lmtpd", "dovecot-pop3d")
POP3: Final = """
service pop3-login {{
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""
CHUNK: Final = 1 << 18
AT_ONCE: Final = 200
"""Commands sent in one piece."""


class Client:
    """One connection; answers are counted, not kept."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 120)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.octets = 0
        self.line()

    def line(self) -> bytes:
        """An answer of one line."""
        said = b""
        while not said.endswith(b"\r\n"):
            said += self.sock.recv(CHUNK)
        assert said.startswith(b"+OK"), said[:200]
        return said

    def login(self) -> None:
        for command in (f"USER {ACCOUNTS[0][0]}", f"PASS {ACCOUNTS[0][1]}"):
            self.sock.sendall(command.encode() + b"\r\n")
            self.line()

    def command(self, command: bytes) -> bytes:
        self.sock.sendall(command + b"\r\n")
        return self.line()

    def many(self, command: bytes) -> None:
        """A multi-line answer."""
        self.sock.sendall(command + b"\r\n")
        tail = b""
        while not tail.endswith(b"\r\n.\r\n"):
            got = self.sock.recv(CHUNK)
            self.octets += len(got)
            tail = (tail + got)[-5:]

    def pipelined(self, commands: list[bytes]) -> None:
        """Many commands, some at a time in one piece; a RSET says where their answers end."""
        for start in range(0, len(commands), AT_ONCE):
            mark = secrets.token_hex(8).encode()
            piece = [*commands[start : start + AT_ONCE], b"XX" + mark]
            self.sock.sendall(b"\r\n".join(piece) + b"\r\n")
            tail = b""
            while b"\r\n-ERR" not in tail or not tail.endswith(b"\r\n"):
                got = self.sock.recv(CHUNK)
                assert got
                self.octets += len(got)
                tail = (tail + got)[-300:]

    def close(self) -> None:
        self.sock.close()


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """A name, what to do, and the goal against the peer, if there is one."""

    name: str
    act: Callable[[Client, int], None]
    goal: float | None = None


def each(command: bytes, most: int) -> Callable[[Client, int], None]:
    """One command a message, each answered before the next."""

    def act(client: Client, count: int) -> None:
        for number in range(1, min(most, count) + 1):
            client.many(command % number)

    return act


WORKS: Final = (
    Work("LIST of all", lambda client, count: client.many(b"LIST")),
    Work("UIDL of all", lambda client, count: client.many(b"UIDL")),
    Work("1,000 TOP n 0, one after the other", each(b"TOP %d 0", 1000)),
    Work("1,000 RETR, one after the other", each(b"RETR %d", 1000)),
    Work(
        "RETR of all, pipelined",
        lambda client, count: client.pipelined([b"RETR %d" % n for n in range(1, count + 1)]),
    ),
)


class Peer:
    """Dovecot with POP3 and LMTP."""

    name = "dovecot"

    def __init__(self, directory: pathlib.Path) -> None:
        self._ports = ports.reserve()
        self._folder = tempfile.TemporaryDirectory(dir=directory, prefix="a3mailer-pop3-peer-")
        folder = pathlib.Path(self._folder.name)
        folder.chmod(0o755)
        prefix = packages.prefix(PACKAGES)
        prefix.check_inside()
        extra = POP3.format(port=self.port("pop3"))
        self.dovecot = Dovecot(
            prefix, folder, imap_port=self.port("imap"), lmtp_port=self.port("lmtp"), protocols="pop3",
            passdb=f"password={ACCOUNTS[0][1]}", extra=extra,
        )  # fmt: skip
        self.dovecot.start()
        wait_banner(self.port("imap"), time.monotonic() + 30)

    def port(self, listener: str) -> int:
        return self._ports.port(listener)

    def cpu_seconds(self) -> float:
        return self.dovecot.cpu_seconds()

    def close(self) -> None:
        self.dovecot.stop()
        self._folder.cleanup()
        self._ports.release()


@contextlib.contextmanager
def servers(chosen: Options) -> Iterator[dict[str, object]]:
    """The servers of one round: the peer, and ours with rest off and on."""
    with contextlib.ExitStack() as stack:
        found: dict[str, object] = {}
        if chosen.peer:
            found["dovecot"] = stack.enter_context(contextlib.closing(Peer(chosen.directory)))
        for name, settings in BOTH:
            found[name] = stack.enter_context(instance(chosen.directory, settings, ACCOUNTS))
        yield found


def cost(server: Peer, work: Work, count: int) -> tuple[float, int]:
    """(CPU seconds, octets) of one work on a fresh connection."""
    client = Client(server.port("pop3"))
    client.login()
    client.many(b"LIST")
    client.octets, before = 0, server.cpu_seconds()
    work.act(client, count)
    cpu = server.cpu_seconds() - before
    client.command(b"QUIT")
    client.close()
    return cpu, client.octets


def polls(server: Peer, count: int) -> float:
    """Connect, log in, STAT, QUIT: what clients do every few minutes."""
    before = server.cpu_seconds()
    for _ in range(count):
        client = Client(server.port("pop3"))
        client.login()
        client.command(b"STAT")
        client.command(b"QUIT")
        client.close()
    time.sleep(0.2)  # a process that ends after its client is counted too
    return server.cpu_seconds() - before


def measure(chosen: Options, report: Report) -> None:
    """Each work on each server in turn, so that a slow moment of the machine hits all alike."""
    size, logins = (300, 20) if chosen.smoke else (10_000, 200)
    found: dict[tuple[str, str], list[tuple[float, int]]] = {}
    report.count(mails=size, rounds=chosen.rounds)
    for number in range(chosen.rounds):
        with servers(chosen) as running:
            for server in running.values():
                load = Load(server.port("lmtp"), size, recipients=(ACCOUNTS[0][0],), lmtp=True, corpus=3000)  # type: ignore[attr-defined]
                run(dataclasses.replace(load, seed=chosen.seed + number, sessions=1, per_session=size))
            for name, server in running.items():
                polls(server, 3)  # type: ignore[arg-type]
                found.setdefault((name, "poll"), []).append((polls(server, logins), 0))  # type: ignore[arg-type]
            for work in WORKS:
                for name, server in running.items():
                    found.setdefault((name, work.name), []).append(cost(server, work, size))  # type: ignore[arg-type]
    title = f"{logins} times log in, STAT, QUIT"
    for work in (Work("poll", WORKS[0].act, 0.5), *WORKS):
        costs = {name: values for (name, what), values in found.items() if what == work.name}
        peer = statistics.median(cpu for cpu, _ in costs["dovecot"]) * 1e3 if "dovecot" in costs else None
        for rest in ("off", "on"):
            ours = statistics.median(cpu for cpu, _ in costs[rest]) * 1e3
            name = f"{title if work.name == 'poll' else work.name}: CPU, at rest {rest}"
            goal = work.goal if rest == "off" else None
            report.add(Row(name, "ms", ours, peer) if goal is None else at_most(name, "ms", ours, peer, goal))
        report.note(f"    ({', '.join(f'{name} {values[0][1]} octets' for name, values in costs.items())})")


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
