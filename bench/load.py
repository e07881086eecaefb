"""An SMTP/LMTP load generator on raw epoll, cheap enough to drive a fast server from the same machine.

``run(Load(...))`` sends ``mails`` mails over ``sessions`` connections at a time, ``per_session`` mails on
each, from child processes of its own, so that its CPU is told apart from the server's.  Latencies are the
time from the last octet of the data handed to the kernel to the 250; with a ``rate`` they begin at the moment
that was planned for the data, whether a session was free to send it then or not.

    python -m bench.load --port 20025 --mails 1000 --sessions 20 --per-session 100 --size 4096
"""

import argparse
import array
import base64
import collections
import dataclasses
import json
import pathlib
import random
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from bench import mails

ROOT: Final = pathlib.Path(__file__).parents[1]
RECEIVE: Final = 65536
IDLE_SECONDS: Final = 60.0
SETTLE_SECONDS: Final = 0.1  # from the first connection to the first planned moment


class Refused(RuntimeError):
    """The server answered something a load run does not expect."""


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """What to send; ``corpus`` > 0 sends that many real mails over and over instead of made ones."""

    port: int
    mails: int
    sessions: int = 20
    per_session: int = 100  # 0: as long as there are mails
    size: int = 4096
    recipients: tuple[str, ...] = ("alice@example.test", "bob@example.test")
    pipelining: bool = True
    lmtp: bool = False
    seed: int = 1
    corpus: int = 0
    processes: int = 1
    host: str = "127.0.0.1"
    rate: float = 0.0  # contents a second, at random moments planned beforehand; 0: as fast as answers come
    sender: str = "bench@load.test"
    password: str = ""  # log in as the sender with it


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """What happened; ``latencies`` in seconds, ascending."""

    accepted: int
    octets: int
    seconds: float
    client_cpu: float
    latencies: tuple[float, ...]

    def percentile(self, percent: float) -> float:
        """The latency that ``percent`` of the mails do not exceed."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * percent / 100))]

    def __str__(self) -> str:
        """One line for people."""
        rate, megabytes = self.accepted / self.seconds, self.octets / self.seconds / 1e6
        p50, p99 = self.percentile(50) * 1e3, self.percentile(99) * 1e3
        return (
            f"{self.accepted} accepted in {self.seconds:.2f} s = {rate:.0f}/s, {megabytes:.1f} MB/s; "
            f"end of data to 250: p50 {p50:.2f} ms, p99 {p99:.2f} ms; "
            f"client CPU {self.client_cpu / self.accepted * 1e6:.0f} us a mail"
        )


class Source:
    """Hands out (recipient, octets with the final dot), ``count`` times."""

    def __init__(self, load: Load, count: int, seed: int) -> None:
        self.left = count
        self.octets = 0
        self._recipients = [r.encode() for r in load.recipients]
        self._maker = mails.Maker(seed, load.sender)
        self._size = load.size
        self._ready = [mails.dot_stuffed(mails.crlf(m)) for _, m in mails.corpus(load.corpus, load.seed)]
        self._at = 0

    def next_mail(self) -> tuple[bytes, bytes]:
        self.left -= 1
        self._at += 1
        recipient = self._recipients[self._at % len(self._recipients)]
        content = self._ready[self._at % len(self._ready)] if self._ready else None
        octets = (content or self._maker.mail(recipient, self._size)) + b".\r\n"
        self.octets += len(octets)
        return recipient, octets


class Pace:
    """Planned moments, the gaps of a Poisson process; ``ready`` sessions have their 354 and wait for one."""

    def __init__(self, rate: float, seed: int) -> None:
        self.ready: collections.deque[Session] = collections.deque()
        self._rate = rate
        self._draw = random.Random(seed)
        self._planned = time.perf_counter() + SETTLE_SECONDS

    def wait(self, poll: select.epoll) -> None:
        """Until something happens or the next moment has come, finer than the milliseconds of epoll."""
        if self.ready:
            select.select([poll.fileno()], [], [], max(0.0, self._planned - time.perf_counter()))

    def due(self) -> "Iterator[tuple[Session, float]]":
        """Whose moment has come, with that moment; one that found no session ready is still first."""
        while self.ready and self._planned <= time.perf_counter():
            yield self.ready.popleft(), self._planned
            self._planned += self._draw.expovariate(self._rate)


class Session:
    """One connection: a greeting, mails, QUIT.  ``want`` counts the final reply lines still to come."""

    __slots__ = (
        "_began",
        "_from",
        "_load",
        "_mail",
        "_mails",
        "_out",
        "_pace",
        "_part",
        "_source",
        "_state",
        "_to",
        "_want",
        "sock",
    )

    def __init__(self, load: Load, source: Source, pace: Pace | None) -> None:
        self.sock = socket.socket()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect((load.host, load.port))
        self.sock.setblocking(False)
        self._load = load
        self._from = b"MAIL FROM:<%b>\r\n" % load.sender.encode()
        self._source = source
        self._pace = pace
        self._state = "greeting"
        self._part = b""
        self._out: memoryview | None = None
        self._mail = b""
        self._to = b""
        self._want = 1
        self._mails = 0
        self._began = 0.0

    def send(self, octets: bytes) -> bool:
        """Send as much as goes now; True when all went."""
        sent = self.sock.send(octets)
        if sent == len(octets):
            return True
        self._out = memoryview(octets)[sent:]
        return False

    def writable(self) -> bool:
        """Go on with what did not go before; True when all went."""
        if self._out is not None:
            self._out = self._out[self.sock.send(self._out) :]
            if len(self._out):
                return False
            self._out = None
            if self._state == "content" and self._pace is None:
                self._began = time.perf_counter()
        return True

    def readable(self, latencies: "array.array[float]") -> tuple[bool, bool]:
        """Read replies, take the next step; (still open, all output went)."""
        octets = self.sock.recv(RECEIVE)
        if not octets:
            if self._state != "quit":
                raise Refused(f"closed in state {self._state}")
            return False, True
        if octets[-1] != 10:
            self._part += octets
            return True, True
        lines = (self._part + octets).split(b"\r\n")
        self._part = b""
        for line in lines:
            if line[3:4] == b" ":
                self._want -= 1
                if line[0] not in b"23":
                    raise Refused(f"state {self._state}: {line!r}")
        return (True, True) if self._want > 0 else self._step(latencies)

    def _step(self, latencies: "array.array[float]") -> tuple[bool, bool]:
        if self._state == "quit":
            return False, True
        if self._state == "content":
            latencies.append(time.perf_counter() - self._began)
            self._mails += 1
        self._want = 1
        if self._state == "hello" and self._load.password:
            self._state = "auth"
            said = f"\0{self._load.sender}\0{self._load.password}".encode()
            return True, self.send(b"AUTH PLAIN %b\r\n" % base64.b64encode(said))
        if self._state in ("hello", "auth", "content"):
            return True, self._next_mail()
        if self._state == "greeting":
            self._state = "hello"
            return True, self.send(b"LHLO load.test\r\n" if self._load.lmtp else b"EHLO load.test\r\n")
        if self._state == "mail":
            self._state = "rcpt"
            return True, self.send(b"RCPT TO:<%b>\r\n" % self._to)
        if self._state == "rcpt":
            self._state = "data"
            return True, self.send(b"DATA\r\n")
        if self._state != "data":
            raise Refused(f"an answer nobody asked for, in state {self._state}")
        self._state = "content"
        if self._pace is not None:
            self._pace.ready.append(self)
            return True, True
        went = self.send_content()
        self._began = time.perf_counter()
        return True, went

    def send_content(self, planned: float = 0.0) -> bool:
        """The data the server waits for; True when all went."""
        mail, self._mail = self._mail, b""
        self._began = planned
        return self.send(mail)

    def _next_mail(self) -> bool:
        if self._source.left <= 0 or 0 < self._load.per_session <= self._mails:
            self._state, self._want = "quit", 1
            return self.send(b"QUIT\r\n")
        self._to, self._mail = self._source.next_mail()
        if self._load.pipelining:
            self._state, self._want = "data", 3
            return self.send(b"%bRCPT TO:<%b>\r\nDATA\r\n" % (self._from, self._to))
        self._state, self._want = "mail", 1
        return self.send(self._from)


def drive(load: Load, source: Source, seed: int) -> "array.array[float]":
    """Send all mails of the source from this process; the latencies."""
    latencies = array.array("d")
    poll = select.epoll()
    pace = Pace(load.rate / load.processes, seed) if load.rate else None
    open_sessions: dict[int, Session] = {}

    def open_one() -> None:
        session = Session(load, source, pace)
        open_sessions[session.sock.fileno()] = session
        poll.register(session.sock, select.EPOLLIN)

    sessions = min(load.sessions, -(-source.left // (load.per_session or 1)))
    for _ in range(sessions):
        open_one()
    while open_sessions:
        if pace is not None:
            pace.wait(poll)
        held = pace is not None and pace.ready
        events = poll.poll(0 if held else IDLE_SECONDS)
        if not events and not held:
            raise Refused(f"nothing happened for {IDLE_SECONDS} s, {source.left} mails to send")
        for fd, event in events:
            session = open_sessions[fd]
            if event & select.EPOLLOUT:
                if session.writable():
                    poll.modify(fd, select.EPOLLIN)
                continue
            still_open, went = session.readable(latencies)
            if not still_open:
                poll.unregister(fd)
                session.sock.close()
                del open_sessions[fd]
                if source.left > 0:
                    open_one()
            elif not went:
                poll.modify(fd, select.EPOLLIN | select.EPOLLOUT)
        for session, planned in pace.due() if pace is not None else ():
            if not session.send_content(planned):
                poll.modify(session.sock, select.EPOLLIN | select.EPOLLOUT)
    return latencies


def run(load: Load) -> Sent:
    """Send it all from ``load.processes`` child processes and add up; ``Refused`` when one failed."""
    shares = [load.mails // load.processes + (n < load.mails % load.processes) for n in range(load.processes)]
    command = [sys.executable, "-m", "bench.load", "--child", json.dumps(dataclasses.asdict(load))]
    children = [
        subprocess.Popen(
            [*command, str(share), str(load.seed * 1000 + n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        for n, share in enumerate(shares)
    ]
    for child in children:  # all are ready (mails made, modules loaded) before the first one sends
        assert child.stdout is not None
        child.stdout.readline()
    begun = time.perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
    outputs = [child.communicate()[0] for child in children]
    seconds = time.perf_counter() - begun
    if any(child.returncode for child in children):
        raise Refused("a load process failed; its error is above")
    results = [json.loads(out) for out in outputs]
    latencies = array.array("d")
    for result in results:
        latencies.frombytes(base64.b64decode(result["latencies"]))
    return Sent(
        accepted=len(latencies),
        octets=sum(r["octets"] for r in results),
        seconds=seconds,
        client_cpu=sum(r["cpu"] for r in results),
        latencies=tuple(sorted(latencies)),
    )


def _child(arguments: str, count: int, seed: int) -> None:
    load = Load(**json.loads(arguments))
    source = Source(load, count, seed)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    before = time.process_time()
    latencies = drive(load, source, seed)
    cpu = time.process_time() - before
    packed = base64.b64encode(latencies.tobytes()).decode()
    sys.stdout.write(json.dumps({"latencies": packed, "cpu": cpu, "octets": source.octets}))


def main() -> None:
    """The command line of the module's docstring."""
    if sys.argv[1:2] == ["--child"]:
        _child(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for field in dataclasses.fields(Load):
        name = "--" + field.name.replace("_", "-")
        if field.type in ("bool", bool):
            parser.add_argument(name, action=argparse.BooleanOptionalAction, default=field.default)
        elif field.name == "recipients":
            parser.add_argument(name, nargs="+", default=field.default)
        else:
            default = None if field.default is dataclasses.MISSING else field.default
            kind = {"host": str, "rate": float}.get(field.name, int)
            parser.add_argument(name, type=kind, default=default, required=default is None)
    chosen: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in vars(parser.parse_args()).items()
    }
    sys.stdout.write(f"{run(Load(**chosen))}\n")


if __name__ == "__main__":
    main()
