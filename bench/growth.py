"""Do delivery, SELECT and delta sync cost the same with 1,000 messages and with 1,000,000 in the mailbox?

One mailbox grows by LMTP; at each size some deliveries, SELECTs and delta syncs (what changed since a
MODSEQ, after one flag was set: RFC 7162) are measured.  The first SELECT after so many new messages is told
apart, and so is the first FETCH: then the worker reads what it does not know of a large mailbox.  Flat is at
most FLAT times the first size's cost.
"""

import re
import statistics
import sys
import time
from collections.abc import Callable
from typing import Final

from bench.imap_client import Imap
from bench.load import Load, run
from bench.ours import ON, instance
from bench.report import Options, Report, Row, main
from bench.server import Server

ACCOUNTS: Final = (("alice@example.test", "secret-a"),)
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
SMOKE_SIZES: Final = (200, 1_000)
FLAT: Final = 1.5
REPEATS: Final = 20
PROBES: Final = 500
OCTETS: Final = 700


def grow(server: Server, by: int, seed: int) -> float:
    """Deliver ``by`` mails; server CPU seconds a mail."""
    before = server.cpu_seconds()
    run(
        Load(
            server.port("lmtp"),
            by,
            recipients=(ACCOUNTS[0][0],),
            lmtp=True,
            size=OCTETS,
            seed=seed,
            per_session=1000,
        )
    )
    server.drain()
    return (server.cpu_seconds() - before) / by


def timed(server: Server, act: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float]:
    """Median wall seconds and mean server CPU seconds of ``act``, repeated."""
    walls: list[float] = []
    before = server.cpu_seconds()
    for _ in range(repeats):
        begun = time.perf_counter()
        act()
        walls.append(time.perf_counter() - begun)
    return statistics.median(walls), (server.cpu_seconds() - before) / repeats


def connect(server: Server) -> Imap:
    """A logged-in connection."""
    client = Imap(server.port("imap"))
    client.login(*ACCOUNTS[0])
    return client


def select_costs(server: Server) -> tuple[tuple[float, float], ...]:
    """SELECT on one connection, the mailbox left each time: the first after it grew, and those after it.

    And the first command that names a message, for which the mailbox's columns are loaded."""
    client = connect(server)

    def act() -> None:
        client.select()
        client.command(b"UNSELECT")

    first = timed(server, act, repeats=1)
    again = timed(server, act)
    client.select()
    fetch = timed(server, lambda: client.command(b"FETCH 1 FLAGS"), repeats=1)
    client.close()
    return first, again, fetch


def delta_cost(server: Server) -> tuple[float, float]:
    """One flag changes, and FETCH CHANGEDSINCE tells it."""
    client = connect(server)
    client.command(b"ENABLE CONDSTORE")
    answer = client.command(b"SELECT INBOX", keep=True)
    last = re.search(rb"HIGHESTMODSEQ (\d+)", answer)
    if last is None:
        raise ValueError("no HIGHESTMODSEQ")
    modseq = int(last[1])
    turn = 0
    client.command(b"FETCH 1 FLAGS")  # the columns are loaded, if this is another worker

    def act() -> None:
        nonlocal modseq, turn
        turn += 1
        client.command(b"STORE 1 %bFLAGS.SILENT (\\Flagged)" % (b"+" if turn % 2 else b"-"))
        found = client.command(b"FETCH 1:* (UID FLAGS) (CHANGEDSINCE %d)" % modseq, keep=True)
        modseq = max(map(int, re.findall(rb"MODSEQ \((\d+)\)", found)))

    cost = timed(server, act)
    client.close()
    return cost


def measure(chosen: Options, report: Report) -> None:
    """Grow from size to size, measure at each."""
    sizes = SMOKE_SIZES if chosen.smoke else SIZES
    probes = 100 if chosen.smoke else PROBES
    report.count(sizes=sizes, probes=probes)
    first: dict[str, float] = {}
    with instance(chosen.directory, ON, ACCOUNTS) as server:
        held = 0
        for number, size in enumerate(sizes):
            grow(server, size - held - probes, chosen.seed + number)
            figures = {"delivery: CPU a mail, ms": grow(server, probes, chosen.seed + 100 + number) * 1e3}
            held = size
            first_select, select, first_fetch = select_costs(server)
            costs = (
                ("first SELECT of a worker", first_select),
                ("SELECT", select),
                ("first FETCH of a worker", first_fetch),
                ("delta sync", delta_cost(server)),
            )
            for name, cost in costs:
                figures[f"{name}: wall, ms"], figures[f"{name}: CPU, ms"] = cost[0] * 1e3, cost[1] * 1e3
            for name, value in figures.items():
                base = first.setdefault(name, value)
                goal = f"flat: <= {FLAT:g}x of {sizes[0]}"
                report.add(Row(f"{name}, at {size}", "ms", value, base, goal, value <= FLAT * base))
    report.note("    (peer: ours at the first size)")


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, rounds=1))
