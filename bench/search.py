"""What CPU does SEARCH cost in 10,000 mails, with our index and without, against Dovecot without one?

The same real mails in one INBOX of each server. Dovecot looks through all of them each time, as it does where
no plug-in for full text is installed. Each search is done several times on one connection; the first is not
counted, so every cache is warm.
"""

import contextlib
import dataclasses
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Final

from bench.imap import ACCOUNTS, fill
from bench.imap_client import Imap
from bench.ours import PLAIN, instance
from bench.peers.rig import PeerRig
from bench.report import Options, Report, Row, at_most, main
from bench.server import Server
from tests.rig import Rig

INDEXED_SECONDS: Final = 600.0
REPEATS: Final = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """One search, and the goals for its CPU against the peer's, with the index and without."""

    name: str
    keys: bytes
    indexed: float | None
    read: float | None = None


WORKS: Final = (
    Work("TEXT, a word that is nowhere", b'TEXT "zzqxvw"', 1 / 100),
    Work("TEXT, a rare word", b'TEXT "invoice"', 1 / 40),
    Work("TEXT, a usual word", b'TEXT "meeting"', 1 / 20),
    Work("TEXT, a word of nearly all", b'TEXT "the"', 1 / 5),
    Work("TEXT, part of a word", b'TEXT "ationa"', 1 / 5),
    Work("TEXT, two letters", b'TEXT "xq"', 1 / 5),
    Work("BODY, a rare word", b'BODY "invoice"', 1 / 40),
    Work("HEADER, a field that is nowhere", b'HEADER X-Nowhere ""', None),
    Work("SUBJECT, a word that is nowhere", b'SUBJECT "zzqxvw"', None),
    Work("FROM, a name that is nowhere", b'FROM "zzqxvw"', None),
)


@contextlib.contextmanager
def servers(chosen: Options) -> Iterator[dict[str, Server]]:
    """The servers of one round: peers (two storages), ours with an index and without."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Server] = {}
        if chosen.peer:
            for storage in ("maildir", "mdbox"):
                found[storage] = stack.enter_context(PeerRig(storage=storage, accounts=ACCOUNTS))
        for name, index in (("indexed", "true"), ("read", "false")):
            settings = (*PLAIN, f"store.text_index={index}")
            found[name] = stack.enter_context(instance(chosen.directory, settings, ACCOUNTS))
        yield found


def index(server: Server, report: Report, mails: int) -> None:
    """Wait until our index has every mail, and say what that cost."""
    assert isinstance(server, Rig)
    until = time.monotonic() + INDEXED_SECONDS
    while (state := server.verb("search", "status"))["indexed"] < mails:
        assert time.monotonic() < until, state
        time.sleep(0.5)
    report.note(f"    (the index: {state['octets'] / mails:.0f} octets a mail)")


def cost(server: Server, keys: bytes) -> float:
    """CPU seconds of one search."""
    client = Imap(server.port("imap"))
    client.login(*ACCOUNTS[0])
    client.select()
    client.command(b"SEARCH " + keys)
    before = server.cpu_seconds()
    for _ in range(REPEATS):
        client.command(b"SEARCH " + keys)
    spent = server.cpu_seconds() - before
    client.close()
    return spent / REPEATS


def measure(chosen: Options, report: Report) -> None:
    """Each search on each server in turn, so that a slow moment of the machine hits all alike."""
    size = 500 if chosen.smoke else 10_000
    found: dict[tuple[str, str], list[float]] = {}
    report.count(mails=size, rounds=chosen.rounds)
    for number in range(chosen.rounds):
        with servers(chosen) as running:
            for server in running.values():
                fill(server, size, chosen.seed + number)
            index(running["indexed"], report, size)
            for work in WORKS:
                for name, server in running.items():
                    found.setdefault((name, work.name), []).append(cost(server, work.keys))
    for work in WORKS:
        costs = {
            name: statistics.median(spent) * 1e3 for (name, what), spent in found.items() if what == work.name
        }
        peer = min((costs[name] for name in ("maildir", "mdbox") if name in costs), default=None)
        for name, goal in (("indexed", work.indexed), ("read", work.read)):
            title = f"SEARCH {work.name}, {name}: CPU"
            row = Row(title, "ms", costs[name], peer)
            report.add(row if goal is None else at_most(title, "ms", costs[name], peer, goal))


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
