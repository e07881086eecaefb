"""What do logins and addresses cost, and does the time of an answer tell which names exist?"""

import asyncio
import contextlib
import imaplib
import math
import random
import statistics
import sys
import time
from collections.abc import Sequence

from a3mailer.config.tree import Server, Settings
from a3mailer.identity.directory import Directory, parse_stored
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import CreateAccount, PutAlias, PutDomain
from a3mailer.store.ports import Transaction
from bench import processes
from bench.ours import ON, instance
from bench.report import Options, Report, Row, below, main
from tests.rig import Rig

ACCOUNTS = tuple((f"user{n}@example.test", "secret-a") for n in range(8))
IMPORT_PLAIN, IMPORT_HASHED = 60.0, 3.0
SIGNIFICANT = 0.01


def kolmogorov_smirnov(a: Sequence[float], b: Sequence[float]) -> float:
    """The p value of the two-sample test (asymptotic): small means that the two can be told apart."""
    a, b = sorted(a), sorted(b)
    i = j = 0
    distance = 0.0
    while i < len(a) and j < len(b):
        value = min(a[i], b[j])
        while i < len(a) and a[i] <= value:
            i += 1
        while j < len(b) and b[j] <= value:
            j += 1
        distance = max(distance, abs(i / len(a) - j / len(b)))
    root = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    x = (root + 0.12 + 0.11 / root) * distance
    return min(1.0, max(0.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * x) ** 2) for k in range(1, 101))))


def refused_seconds(imap: imaplib.IMAP4, name: str, password: str) -> float:
    """How long it takes to be refused."""
    begun = time.perf_counter()
    with contextlib.suppress(imaplib.IMAP4.error):
        imap.login(name, password)
    return time.perf_counter() - begun


def tell_apart(server: Rig, count: int, rng: random.Random) -> tuple[list[float], list[float]]:
    """Times of refused IMAP logins: names that exist, and names that do not, in random order."""
    known: list[float] = []
    unknown: list[float] = []
    turns = [True, False] * count
    rng.shuffle(turns)
    port = server.port("imap")
    imap = imaplib.IMAP4("127.0.0.1", port)
    for number, exists in enumerate(turns):
        if number % 3 == 0:  # as long as one session lets a client guess
            imap.shutdown()
            imap = imaplib.IMAP4("127.0.0.1", port)
        name = ACCOUNTS[rng.randrange(8)][0] if exists else f"nobody{rng.randrange(8)}@example.test"
        (known if exists else unknown).append(refused_seconds(imap, name, f"wrong{number}"))
    imap.shutdown()
    return known, unknown


def login_cost(server: Rig, count: int) -> tuple[float, float]:
    """CPU ms of the first login with a password, and of one that is remembered."""
    port = server.port("imap")
    costs = []
    for accounts, rounds in ((ACCOUNTS, 1), (ACCOUNTS[:1], count)):
        before = processes.cpu_seconds(server.pids())
        for _ in range(rounds):
            for address, password in accounts:
                with imaplib.IMAP4("127.0.0.1", port) as imap:
                    imap.login(address, password)
        spent = processes.cpu_seconds(server.pids()) - before
        costs.append(spent * 1000 / (rounds * len(accounts)))
    return costs[0], costs[1]


async def resolve_cost(count: int) -> tuple[float, float]:
    """us a forward-path: asked for the first time, and remembered."""
    store = MemoryStore()
    await store.commit(Transaction((PutDomain(DEFAULT_TENANT, "example.test"),)))
    for n in range(1000):
        made = CreateAccount(DEFAULT_TENANT, f"user{n}@example.test")
        alias = PutAlias(DEFAULT_TENANT, f"alias{n}@example.test", (f"user{n}@example.test", "x@out.test"))
        await store.commit(Transaction((made, alias)))
    directory = Directory(store, Settings(server=Server(domain="example.test")))
    addresses = [parse_stored(f"{kind}{n}@example.test") for n in range(1000) for kind in ("user", "alias")]
    costs = []
    for rounds in (1, count):
        before = time.process_time()
        for _ in range(rounds):
            for address in addresses:
                await directory.resolve(address)
        costs.append((time.process_time() - before) * 1e6 / (rounds * len(addresses)))
    return costs[0], costs[1]


def import_seconds(server: Rig, count: int, form: str) -> float:
    """Wall seconds of ``account import``; ``form`` makes the line of account n."""
    lines = "".join(form.format(n=n) + "\n" for n in range(count)).encode()
    begun = time.monotonic()
    server.run("account", "import", "-", "--dir", str(server.directory), stdin=lines)
    return time.monotonic() - begun


def measure(chosen: Options, report: Report) -> None:
    """Everything once."""
    count = 20 if chosen.smoke else 1000
    guesses = 20 if chosen.smoke else 400
    report.count(imported=count, guesses=guesses)
    first, hot = asyncio.run(resolve_cost(2 if chosen.smoke else 100))
    report.add(Row("resolve a forward-path, first time", "us", first))
    report.add(below("resolve a forward-path, remembered", "us", hot, 5.0))
    with instance(chosen.directory, ON, ACCOUNTS, workers=2) as server:
        fresh, remembered = login_cost(server, guesses)
        report.add(Row("login, password hashed", "ms CPU", fresh))
        report.add(Row("login, password remembered", "ms CPU", remembered))
        known, unknown = tell_apart(server, guesses, random.Random(chosen.seed))
        report.add(Row("refused login, known name (median)", "ms", statistics.median(known) * 1000))
        report.add(Row("refused login, unknown name (median)", "ms", statistics.median(unknown) * 1000))
        p = kolmogorov_smirnov(known, unknown)
        report.add(Row("told apart: p of Kolmogorov-Smirnov", "", p, goal="> 0.01", met=p > SIGNIFICANT))
        plain = import_seconds(server, count, "plain{n}@example.test:password-{n}")
        report.add(below(f"import {count} plain passwords", "s", plain, IMPORT_PLAIN))
        hashed = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$" + "A" * 43
        quick = import_seconds(server, count, "hashed{n}@example.test:" + hashed)
        report.add(below(f"import {count} hashed passwords", "s", quick, IMPORT_HASHED))


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, rounds=1))
