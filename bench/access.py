"""What does each way of access cost as a mailbox grows, against Dovecot, and against ourselves when small?

The same mails of threads go by MULTIAPPEND into an INBOX of each server, which grows from size to size; at
each, every work is done once uncounted and then some times. Dovecot is measured up to PEER_SIZE. What must
not grow with the mailbox is held against its cost at the first size.
"""

import contextlib
import dataclasses
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from bench.imap import ACCOUNTS, again, append, logins
from bench.imap_client import Imap
from bench.jmap_client import Jmap
from bench.ours import instance
from bench.peers.rig import PeerRig
from bench.report import Options, Report, Row, at_most, main
from bench.search import index
from bench.server import Server

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
SMOKE_SIZES: Final = (500, 1_000)
PEER_SIZE: Final = 100_000
SETTINGS: Final = ("profile=plain", "limits.profile=off", "store.encryption=off", "store.compression=off")
"""At rest nothing is compressed and encrypted, as with the peer (``bench/imap.py`` has both)."""
BATCH: Final = 200
REPEATS: Final = 5
SHOWN: Final = 50
CHANGED: Final = 10
LOGINS: Final = 200
SHORT: Final = 50
"""How often what takes microseconds is done in one go."""
FLAT: Final = 1.5
WORDS: Final = (
    "lunch",
    "plan",
    "report",
    "harbour",
    "train",
    "letter",
    "garden",
    "mirror",
    "copper",
    "river",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """One kind of work: a name, what is done on a selected connection, the goal against the peer."""

    name: str
    act: Callable[[Imap], object]
    goal: float | None = None
    flat: bool = False
    """Whether it must not grow with the mailbox."""
    most: int = SIZES[-1]
    """The largest mailbox in which it is done."""


def once(command: bytes) -> Callable[[Imap], object]:
    return lambda client: client.command(command)


def times(act: Callable[[Imap, int], None], count: int) -> Callable[[Imap], object]:
    return lambda client: act(client, count)


def anew(client: Imap, count: int) -> None:
    """The mailbox is left and entered."""
    for _ in range(count):
        client.command(b"UNSELECT")
        client.select()


TEXTS: Final = {
    "a rare word": {"text": "qzx17"},
    "a word of nearly all": {"text": "harbour"},
    "a subject that is nowhere": {"subject": "zzqxvw"},
}
CHANGES: Final = ("Email/changes", "Email/queryChanges", "Thread/changes", "Mailbox/changes")

WORKS: Final = (
    Work("50 x UNSELECT, SELECT", times(anew, SHORT), flat=True),
    Work("50 x STATUS", times(again(lambda _n: b"STATUS INBOX (MESSAGES UNSEEN UIDNEXT)"), SHORT), flat=True),
    Work(
        "50 x LIST with STATUS",
        times(again(lambda _n: b'LIST "" "*" RETURN (STATUS (MESSAGES UNSEEN))'), SHORT),
        flat=True,
    ),
    Work("50 x NOOP", times(again(lambda _n: b"NOOP"), SHORT), flat=True),
    Work("FETCH of 50", once(b"FETCH 101:150 (UID FLAGS ENVELOPE)"), flat=True),
    Work("FETCH FLAGS of all", once(b"FETCH 1:* (UID FLAGS)"), 1.0, most=100_000),
    Work("FETCH ENVELOPE of all", once(b"FETCH 1:* (UID ENVELOPE)"), 1 / 4, most=100_000),
    Work("FETCH BODY[] of 500", once(b"FETCH 1:500 BODY.PEEK[]"), 1.0, flat=True),
    Work("200 x FETCH BODY[]", times(again(lambda n: b"FETCH %d BODY.PEEK[]" % n), 200), 1 / 2, flat=True),
    Work("SEARCH TEXT, a rare word", once(b'SEARCH TEXT "qzx17"'), 1 / 100),
    Work("SEARCH SUBJECT, a word that is nowhere", once(b'SEARCH SUBJECT "zzqxvw"'), 1 / 20),
    Work("SEARCH UNSEEN", once(b"SEARCH UNSEEN")),
    Work("SORT by date", once(b"SORT (REVERSE DATE) UTF-8 ALL")),
    Work("SORT by subject", once(b"SORT (SUBJECT) UTF-8 ALL")),
    Work("THREAD by references", once(b"THREAD REFERENCES UTF-8 ALL")),
    Work("100 x APPEND", times(append, 100), flat=True),
)


def mail(number: int, draw: random.Random) -> bytes:
    """One of a thread of about ten, sometimes with a rare word."""
    root = number - number % 10
    above = [b"<%d@load.test>" % n for n in range(root, number)]
    body = "\r\n".join(" ".join(draw.choices(WORDS, k=12)) for _ in range(8))
    rare = "qzx17" if number % 500 == 17 else ""
    return (
        b"From: %b <%b@load.test>\r\nTo: <alice@example.test>\r\n" % ((draw.choice(WORDS).encode(),) * 2)
        + b"Subject: %b%b\r\n" % (b"Re: " if above else b"", WORDS[root // 10 % len(WORDS)].encode())
        + b"Message-ID: <%d@load.test>\r\n" % number
        + (b"References: %b\r\n" % b" ".join(above) if above else b"")
        + b"Date: Mon, %d Nov 2026 %02d:%02d:00 +0000\r\n\r\n"
        % (draw.randrange(1, 29), number % 24, number % 60)
        + f"{body}\r\n{rare}\r\n".encode()
    )


def grow(server: Server, low: int, high: int, seed: int) -> None:
    """Mails ``low`` to ``high``, in batches."""
    draw = random.Random(seed)
    client = connect(server)
    for first in range(low, high, BATCH):
        letters = [mail(number, draw) for number in range(first, min(high, first + BATCH))]
        client.command(b"APPEND INBOX %b" % b" ".join(b"{%d+}\r\n%b" % (len(one), one) for one in letters))
    client.close()


def connect(server: Server) -> Imap:
    client = Imap(server.port("imap"), timeout=1200)
    client.login(*ACCOUNTS[0])
    return client


def cost(server: Server, act: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float]:
    """CPU and median wall milliseconds of ``act``, the first time not counted."""
    act()
    walls: list[float] = []
    before = server.cpu_seconds()
    for _ in range(repeats):
        begun = time.perf_counter()
        act()
        walls.append(time.perf_counter() - begun)
    return (server.cpu_seconds() - before) / repeats * 1e3, statistics.median(walls) * 1e3


def resync(server: Server) -> tuple[float, float]:
    """SELECT with QRESYNC after ten changes, which are not counted; medians: an index may be at work."""
    other = connect(server)
    other.select()
    cpus: list[float] = []
    walls: list[float] = []
    for turn in range(REPEATS + 1):
        client = connect(server)
        client.command(b"ENABLE QRESYNC")
        answer = client.command(b"SELECT INBOX", keep=True)
        known = tuple(
            int(found[1])
            for name in (rb"UIDVALIDITY (\d+)", rb"HIGHESTMODSEQ (\d+)")
            if (found := re.search(name, answer))
        )
        client.command(b"UNSELECT")
        sign = b"-" if turn % 2 else b"+"
        for number in range(CHANGED):
            other.command(b"STORE %d %bFLAGS.SILENT (\\Flagged)" % (number * 7 + 1, sign))
        before, begun = server.cpu_seconds(), time.perf_counter()
        answer = client.command(b"SELECT INBOX (QRESYNC (%d %d))" % known, keep=True)
        if turn:
            walls.append(time.perf_counter() - begun)
            cpus.append(server.cpu_seconds() - before)
        if answer.count(b" FETCH (") != CHANGED:
            raise ValueError(f"{answer.count(b' FETCH (')} changes were told")
        client.close()
    other.close()
    return statistics.median(cpus) * 1e3, statistics.median(walls) * 1e3


@contextlib.contextmanager
def servers(chosen: Options) -> Iterator[dict[str, Server]]:
    """Dovecot and ours, both running."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Server] = {}
        if chosen.peer:
            found["peer"] = stack.enter_context(PeerRig(storage="mdbox", accounts=ACCOUNTS))
        found["ours"] = stack.enter_context(instance(chosen.directory, SETTINGS, ACCOUNTS))
        yield found


def at_size(running: dict[str, Server], size: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Every work in turn on every server that has the mailbox: work -> server -> CPU and wall."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for name, server in running.items():
        spent = logins(server, LOGINS)
        found.setdefault(f"{LOGINS} x LOGIN", {})[name] = spent.cpu * 1e3, spent.seconds * 1e3
    clients = {name: connect(server) for name, server in running.items()}
    for client in clients.values():
        client.select()
        client.command(b"FETCH 1 FLAGS")
    for work in WORKS:
        for name, server in running.items():
            if size <= work.most:
                client = clients[name]
                found.setdefault(work.name, {})[name] = cost(server, partial(work.act, client))
    for client in clients.values():
        client.close()
    for name, server in running.items():
        found.setdefault("SELECT with QRESYNC after 10 changes", {})[name] = resync(server)
    for name, server in running.items():
        found.setdefault("50 x APPEND with a session in IDLE", {})[name] = idle(server)
    for title, spent in jmap(running["ours"]):
        found[title] = {"ours": spent}
    return found


def idle(server: Server) -> tuple[float, float]:
    """Somebody appends, somebody else is told of it; nobody has looked into the mailbox."""
    letter = mail(1, random.Random(1))
    told, other = connect(server), connect(server)
    told.select()
    told.begin_idle()

    def one() -> None:
        for _ in range(SHORT):
            other.append(b"INBOX", letter)
            told.wait_for(b" EXISTS\r\n")

    found = cost(server, one, 1)
    told.close()
    other.close()
    return found


def jmap(server: Server) -> Iterator[tuple[str, tuple[float, float]]]:
    """What a mail program asks by JMAP, on one connection; and what it asks after ten changes of flags."""
    client = Jmap(server.port("http"), *ACCOUNTS[0])

    def newest() -> None:
        if (shown := len(client.newest(SHOWN))) != SHOWN:
            raise ValueError(f"{shown} were shown, not {SHOWN}")

    yield "JMAP: query and get of 50", cost(server, newest)
    yield "JMAP: Mailbox/get", cost(server, lambda: client.ask("Mailbox/get", ids=None))
    for title, sought in TEXTS.items():
        yield (
            f"JMAP: query, {title}",
            cost(server, partial(client.ask, "Email/query", filter=sought, limit=SHOWN)),
        )
    other = connect(server)
    other.select()
    spent: dict[str, list[tuple[float, float]]] = {}
    for turn in range(REPEATS + 1):
        states = client.states()
        sign = b"-" if turn % 2 else b"+"
        for number in range(CHANGED):
            other.command(b"STORE %d %bFLAGS.SILENT (\\Answered)" % (number * 7 + 1, sign))
        for method in CHANGES:
            before, begun = server.cpu_seconds(), time.perf_counter()
            told = client.changes(method, states)
            walls = (server.cpu_seconds() - before) * 1e3, (time.perf_counter() - begun) * 1e3
            if turn:
                spent.setdefault(method, []).append(walls)
            if method.startswith("Email/") and len(told) != CHANGED:
                raise ValueError(f"{method}: {len(told)} changes were told")
    for method, each in spent.items():
        cpu, wall = (statistics.median(column) for column in zip(*each, strict=True))
        yield f"JMAP: {method} after 10 changes", (cpu, wall)
    other.close()
    client.close()


GOALS: Final = {f"{LOGINS} x LOGIN": 1 / 4, **{work.name: work.goal for work in WORKS}}
FLAT_NAMES: Final = frozenset(
    (
        "SELECT with QRESYNC after 10 changes",
        "50 x APPEND with a session in IDLE",
        "JMAP: query and get of 50",
        "JMAP: Mailbox/get",
        *(f"JMAP: {method} after 10 changes" for method in CHANGES),
        f"{LOGINS} x LOGIN",
    )
) | {work.name for work in WORKS if work.flat}


def measure(chosen: Options, report: Report) -> None:
    """Grow from size to size; at each, all works on both."""
    sizes = SMOKE_SIZES if chosen.smoke else SIZES
    report.count(sizes=sizes, repeats=REPEATS)
    first: dict[str, tuple[float, float]] = {}
    with servers(chosen) as running:
        held = dict.fromkeys(running, 0)
        for size in sizes:
            if size > PEER_SIZE:
                running.pop("peer", None)
            for name, server in running.items():
                grow(server, held[name], size, chosen.seed)
                held[name] = size
            index(running["ours"], report, size)
            for name, costs in at_size(running, size).items():
                tell(report, name, size, costs, first.setdefault(name, costs["ours"]))


def tell(
    report: Report,
    name: str,
    size: int,
    costs: dict[str, tuple[float, float]],
    small: tuple[float, float],
) -> None:
    """CPU and wall against the peer, and against our own at the first size."""
    ours, peer, goal = costs["ours"], costs.get("peer"), GOALS.get(name)
    for at, what in enumerate(("CPU", "wall")):
        title = f"{name}, of {size}: {what}"
        against = None if peer is None else peer[at]
        aimed = goal is not None and what == "CPU"
        report.add(
            at_most(title, "ms", ours[at], against, goal or 1.0)
            if aimed
            else Row(title, "ms", ours[at], against)
        )
    if ours is not small:
        met = ours[0] <= FLAT * small[0] if name in FLAT_NAMES else None
        told = f"flat: <= {FLAT:g}x" if met is not None else ""
        report.add(Row(f"{name}, of {size}: CPU, peer: ours when small", "ms", ours[0], small[0], told, met))


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, rounds=1))
