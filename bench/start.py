"""How long from start to ready, and how much memory at rest with two workers, beside Postfix+Dovecot?"""

import statistics
import sys
import time
from typing import Final

from bench import processes
from bench.ours import ON, instance
from bench.peers.rig import PeerRig
from bench.report import Options, Report, Row, below, main
from bench.server import Server, wait_banner

ACCOUNTS: Final = (("alice@example.test", "secret-a"), ("bob@example.test", "secret-a"))
REST_SECONDS: Final = 5.0
READY_SECONDS: Final = 30.0
READY_GOAL: Final = 1.5
RESIDENT_GOAL: Final = 150.0


def greeted(server: Server) -> None:
    """Both mail ports greet."""
    for listener in ("smtp", "imap"):
        wait_banner(server.port(listener), time.monotonic() + READY_SECONDS)


def at_rest(server: Server) -> tuple[float, float]:
    """PSS and RSS of all processes in MB, some seconds after the first greeting."""
    time.sleep(REST_SECONDS)
    pids = server.pids()
    return processes.pss_bytes(pids) / 1e6, processes.rss_bytes(pids) / 1e6


def measure(chosen: Options, report: Report) -> None:
    """Stop and start over and over; the median."""
    repeats = 2 if chosen.smoke else 15
    report.count(starts=repeats, workers=2)
    peer_ready: list[float] = []
    peer_rest = None
    if chosen.peer:
        with PeerRig(accounts=ACCOUNTS) as peer:
            peer_rest = at_rest(peer)
            for _ in range(repeats):
                peer.stop()
                peer_ready.append(peer.start())
    greetings: list[float] = []
    readies: list[float] = []
    with instance(chosen.directory, ON, ACCOUNTS, workers=2) as server:
        rest = at_rest(server)
        count = len(server.pids())
        for _ in range(repeats):
            server.stop()
            begun = time.monotonic()
            server.spawn()
            greeted(server)
            greetings.append(time.monotonic() - begun)
            server.wait_ready()
            readies.append(time.monotonic() - begun)
    peer_median = statistics.median(peer_ready) if peer_ready else None
    report.add(Row("start to first greetings", "s", statistics.median(greetings), peer_median))
    report.add(below("start to ready, as status says it", "s", statistics.median(readies), READY_GOAL))
    report.add(below(f"resident at rest, PSS of {count} processes", "MB", rest[0], RESIDENT_GOAL))
    report.add(Row("resident at rest, PSS", "MB", rest[0], peer_rest and peer_rest[0]))
    report.add(
        Row("resident at rest, RSS (shared pages counted again)", "MB", rest[1], peer_rest and peer_rest[1])
    )


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, rounds=1))
