"""How many mails a second reach their mailboxes durably, at what CPU each, against Postfix+Dovecot?

The peer has no TLS, no DNS, no filters, and static passwords; ours runs ``profile=plain``, once with what it
does at rest switched off (the same functions as the peer) and once with compression and encryption on.
"""

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable
from typing import Final

from bench.load import Load, run
from bench.ours import BOTH, instance
from bench.peers.rig import PeerRig
from bench.report import Options, Report, Row, at_least, at_most, main
from bench.server import Server

BULK: Final = 10_000  # octets; above it a rate is told in MB/s
WARM_UP_SEEDS: Final = 1_000_000
ACCOUNTS: Final = tuple((f"user{n}@example.test", "secret-a") for n in range(20))


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One kind of traffic with the goals it has."""

    name: str
    size: int
    per_session: int
    sessions: int
    ours: int  # mails sent to ours
    peer: int  # mails sent to the peer
    rate: float
    cpu_off: float
    cpu_on: float | None = None


CASES: Final = (
    Case("4 KB, many a session", 4096, 200, 20, 20_000, 2_000, 10, 1 / 15, 1 / 10),
    Case("4 KB, one a session", 4096, 1, 20, 10_000, 2_000, 8, 1 / 15, 1 / 10),
    Case("64 KB, many a session", 65_536, 100, 20, 6_000, 1_000, 5, 1 / 8),
    Case("1 MB, many a session", 1_048_576, 20, 8, 800, 200, 3, 1 / 3),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """One run of one case on one server."""

    rate: float  # mails a second, accepted and drained
    megabytes: float
    cpu: float  # server CPU seconds a mail
    p50: float
    p99: float
    client: float


def measure_one(server: Server, case: Case, mails: int, seed: int) -> Measured:
    """Send, wait until all are in mailboxes, and take the CPU of the whole time."""
    load = Load(
        server.port("smtp"),
        mails,
        sessions=case.sessions,
        per_session=case.per_session,
        size=case.size,
        recipients=tuple(address for address, _ in server.accounts),
        seed=seed,
    )
    before = server.cpu_seconds()
    sent = run(load)
    accepted = time.perf_counter()
    server.drain()
    seconds = sent.seconds + (time.perf_counter() - accepted)  # without the start of the load processes
    cpu = server.cpu_seconds() - before
    return Measured(
        rate=sent.accepted / seconds,
        megabytes=sent.octets / seconds / 1e6,
        cpu=cpu / sent.accepted,
        p50=sent.percentile(50),
        p99=sent.percentile(99),
        client=sent.client_cpu / sent.accepted,
    )


def warm_and_measure(server: Server, case: Case, mails: int, seed: int) -> Measured:
    """Some mails first, so that processes are started and files opened."""
    measure_one(server, case, min(100, max(20, mails // 10)), seed + WARM_UP_SEEDS)
    return measure_one(server, case, mails, seed)


def median(runs: list[Measured]) -> Measured:
    """The median of each figure."""
    names = [field.name for field in dataclasses.fields(Measured)]
    return Measured(**{name: statistics.median(getattr(r, name) for r in runs) for name in names})


def measure(chosen: Options, report: Report) -> None:
    """Rounds of peer, ours off, ours on, so that a slow moment of the machine hits all alike."""
    shrink = 20 if chosen.smoke else 1
    report.count(rounds=chosen.rounds, accounts=len(ACCOUNTS))
    for case in CASES[:: len(CASES) - 1] if chosen.smoke else CASES:
        found: dict[str, list[Measured]] = {"peer": [], "off": [], "on": []}
        for number in range(chosen.rounds):
            seed = chosen.seed + number
            if chosen.peer:
                with PeerRig(accounts=ACCOUNTS) as peer:
                    found["peer"].append(warm_and_measure(peer, case, max(20, case.peer // shrink), seed))
            for name, settings in BOTH:
                with instance(chosen.directory, settings, ACCOUNTS) as server:
                    found[name].append(warm_and_measure(server, case, max(20, case.ours // shrink), seed))
        tell(report, case, {name: median(runs) for name, runs in found.items() if runs})


def tell(report: Report, case: Case, found: dict[str, Measured]) -> None:
    """The rows of one case."""
    off, on = found["off"], found["on"]

    def peer(figure: Callable[[Measured], float]) -> float | None:
        return figure(found["peer"]) if "peer" in found else None

    def rate(m: Measured) -> float:
        return m.megabytes if case.size > BULK else m.rate

    def cpu(m: Measured) -> float:
        return m.cpu * 1e3

    unit = "MB/s" if case.size > BULK else "mails/s"
    report.count(**{case.name: f"{case.ours} ours, {case.peer} peer"})
    for name, m in (("off", off), ("on", on)):
        report.add(at_least(f"{case.name}: rate, at rest {name}", unit, rate(m), peer(rate), case.rate))
    for name, m, goal in (("off", off, case.cpu_off), ("on", on, case.cpu_on)):
        title = f"{case.name}: CPU, at rest {name}"
        if goal is None:
            report.add(Row(title, "s/1000", cpu(m), peer(cpu)))
        else:
            report.add(at_most(title, "s/1000", cpu(m), peer(cpu), goal))
    others: tuple[tuple[str, Callable[[Measured], float]], ...] = (
        ("end of DATA to 250, p50", lambda m: m.p50 * 1e3),
        ("end of DATA to 250, p99", lambda m: m.p99 * 1e3),
        ("client CPU, ms a mail", lambda m: m.client * 1e3),
    )
    for title, figure in others:
        report.add(Row(f"{case.name}: {title}", "ms", figure(on), peer(figure)))


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
