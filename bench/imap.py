"""What CPU does each kind of IMAP work cost the server, against Dovecot?

Works on one INBOX of 10,000 mails, the same mails in both servers.  Cold is the first time after the
server's start on mails nobody has looked at; warm is the same command again on a new connection.
"""

import contextlib
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from bench import mails
from bench.imap_client import Imap
from bench.load import Load, run
from bench.ours import BOTH, instance
from bench.peers.rig import PeerRig
from bench.report import Options, Report, Row, at_least, at_most, main
from bench.server import Server

ACCOUNTS: Final = (("alice@example.test", "secret-a"),)
ENVELOPE: Final = b"FETCH 1:* (UID FLAGS ENVELOPE)"
STRUCTURE: Final = b"FETCH 1:* (UID BODYSTRUCTURE RFC822.SIZE)"
FLAGS: Final = b"FETCH 1:* (UID FLAGS)"


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """Server CPU and wall time for the whole work, and the octets that came."""

    cpu: float
    seconds: float
    octets: int


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """One kind of work: a name, how many, what to do on a selected connection, the goal against the peer."""

    name: str
    count: int
    act: Callable[[Imap, int], None]
    goal_off: float | None
    goal_on: float | None = None
    rate: float | None = None


def again(command: Callable[[int], bytes]) -> Callable[[Imap, int], None]:
    """One command after the other, each answered before the next."""

    def act(client: Imap, count: int) -> None:
        for n in range(1, count + 1):
            client.command(command(n))

    return act


def once(command: bytes) -> Callable[[Imap, int], None]:
    """One command for the whole."""

    def act(client: Imap, count: int) -> None:
        client.command(command)

    return act


def append(client: Imap, count: int) -> None:
    """Durable APPENDs, each answered before the next."""
    maker = mails.Maker(count)
    for _ in range(count):
        client.append(b"INBOX", maker.mail(b"alice@example.test", 4096))


def works(scale: int) -> tuple[Work, ...]:
    """The table of the goals; ``scale`` shrinks the repeats of a smoke run."""
    thousand = 1000 // scale
    return (
        Work("FETCH ENVELOPE of all, cold", 1, once(ENVELOPE), 1 / 10),
        Work("FETCH ENVELOPE of all, warm", 1, once(ENVELOPE), 1 / 4),
        Work("FETCH BODYSTRUCTURE of all, cold", 1, once(STRUCTURE), None),
        Work("FETCH BODYSTRUCTURE of all, warm", 1, once(STRUCTURE), None),
        Work("FETCH FLAGS of all", 1, once(FLAGS), 1.0),
        Work("FETCH BODY[] of 1,000 in one command", thousand, _bulk, 1.0, 2.5),
        Work("1,000 x FETCH BODY[]", thousand, again(lambda n: b"FETCH %d BODY.PEEK[]" % n), 1 / 2),
        Work("1,000 x FETCH HEADER.FIELDS", thousand, again(_header), None),
        Work("3,000 x NOOP", 3 * thousand, again(lambda n: b"NOOP"), 1 / 2),
        Work("500 x STORE +FLAGS", thousand // 2, again(lambda n: b"STORE %d +FLAGS (\\Flagged)" % n), 1 / 2),
        Work("500 x APPEND", thousand // 2, append, None, rate=2.0),
    )


def _bulk(client: Imap, count: int) -> None:
    client.command(b"FETCH 1:%d BODY.PEEK[]" % count)


def _header(n: int) -> bytes:
    return b"FETCH %d BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE)]" % n


def fill(server: Server, count: int, seed: int) -> None:
    """Deliver ``count`` mails to the INBOX: real ones where there is a corpus."""
    load = Load(server.port("lmtp"), count, recipients=(ACCOUNTS[0][0],), lmtp=True, seed=seed, corpus=3000)
    run(dataclasses.replace(load, sessions=1, per_session=count))  # one: the same order everywhere
    server.drain()


def cost(server: Server, work: Work) -> Cost:
    """Do the work on a fresh connection with INBOX selected."""
    client = Imap(server.port("imap"))
    client.login(*ACCOUNTS[0])
    client.select()
    client.command(b"FETCH 1 FLAGS")  # what is read once of an open mailbox is read now
    octets = client.octets
    before, begun = server.cpu_seconds(), time.perf_counter()
    work.act(client, work.count)
    seconds = time.perf_counter() - begun
    cpu = server.cpu_seconds() - before
    octets = client.octets - octets
    client.close()
    return Cost(cpu, seconds, octets)


def logins(server: Server, count: int) -> Cost:
    """Connect, LOGIN, leave."""
    before, begun = server.cpu_seconds(), time.perf_counter()
    for _ in range(count):
        client = Imap(server.port("imap"))
        client.login(*ACCOUNTS[0])
        client.command(b"LOGOUT")
        client.close()
    time.sleep(0.2)  # a process that ends after its client is counted too
    return Cost(server.cpu_seconds() - before, time.perf_counter() - begun, 0)


@contextlib.contextmanager
def servers(chosen: Options) -> Iterator[dict[str, Server]]:
    """The servers of one round, all running: peers (two storages) and ours (at rest off and on)."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Server] = {}
        if chosen.peer:
            for storage in ("maildir", "mdbox"):
                found[storage] = stack.enter_context(PeerRig(storage=storage, accounts=ACCOUNTS))
        for name, settings in BOTH:
            found[name] = stack.enter_context(instance(chosen.directory, settings, ACCOUNTS))
        yield found


def measure(chosen: Options, report: Report) -> None:
    """Each work on each server in turn, so that a slow moment of the machine hits all alike."""
    size = 500 if chosen.smoke else 10_000
    table = works(20 if chosen.smoke else 1)
    found: dict[tuple[str, str], list[Cost]] = {}
    report.count(mails=size, rounds=chosen.rounds)
    for number in range(chosen.rounds):
        with servers(chosen) as running:
            for name, server in running.items():
                fill(server, size, chosen.seed + number)
                server.stop()
                server.start()
                found.setdefault((name, "LOGIN"), []).append(logins(server, 20 if chosen.smoke else 200))
            for work in table:
                for name, server in running.items():
                    found.setdefault((name, work.name), []).append(cost(server, work))
    for work in (Work("LOGIN", 20 if chosen.smoke else 200, _bulk, 1 / 2), *table):
        tell(
            report, work, {name: _median(costs) for (name, what), costs in found.items() if what == work.name}
        )


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median(c.cpu for c in costs),
        statistics.median(c.seconds for c in costs),
        int(statistics.median(c.octets for c in costs)),
    )


def tell(report: Report, work: Work, costs: dict[str, Cost]) -> None:
    """The rows of one work, against the better of the two peers."""
    peers = [costs[name] for name in ("maildir", "mdbox") if name in costs]
    best = min((peer.cpu for peer in peers), default=None)
    for name, goal in (("off", work.goal_off), ("on", work.goal_on)):
        title, ours = f"{work.name}: CPU, at rest {name}", costs[name].cpu * 1e3
        peer = None if best is None else best * 1e3
        report.add(Row(title, "ms", ours, peer) if goal is None else at_most(title, "ms", ours, peer, goal))
    if peers:
        told = ", ".join(f"{name} {c.cpu * 1e3:.1f} ms, {c.octets} octets" for name, c in costs.items())
        report.note(f"    ({told})")
    if work.rate is not None:
        rates = {name: work.count / c.seconds for name, c in costs.items()}
        for name, goal in (("maildir", 2.0), ("mdbox", 1.2)):
            report.add(
                at_least(f"{work.name}: rate, against {name}", "/s", rates["on"], rates.get(name), goal)
            )


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
