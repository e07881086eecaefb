"""How many mails a second go through, in by SMTP and out to a server that answers at once, against Postfix?

Ours takes them as submissions (a login a session, and the sender is checked mail by mail), Postfix from its
networks; both keep each mail durably before they answer and relay all of them to one next hop, without TLS,
DNS and filters. The time is from the first connection in until the last mail has left.
"""

import contextlib
import dataclasses
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Final, Protocol

from bench import ports
from bench.load import Load, run
from bench.ours import BOTH, instance
from bench.peers import packages
from bench.peers.postfix import Postfix
from bench.report import Options, Report, Row, at_least, at_most, main
from bench.server import wait_banner
from bench.sink import Sink

SIZE: Final = 4096
SENDER: Final = ("alice@example.test", "secret-a")
RECIPIENTS: Final = tuple(f"user{n}@far{n}.test" for n in range(20))
RATE: Final = 3.0
CPU: Final = 1 / 4
MAILS: Final = {"ours": 10_000, "peer": 3_000}
WAIT_SECONDS: Final = 300.0
WARM_UP: Final = 100


class Relay(Protocol):
    """What is measured of either."""

    def cpu_seconds(self) -> float: ...
    def port(self, listener: str) -> int: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """One run."""

    rate: float
    accepted: float
    """Mails a second that were taken in, while others left."""
    cpu: float
    p99: float


class PostfixRelay:
    """Postfix alone."""

    def __init__(self, directory: pathlib.Path, sink: int) -> None:
        self._ports = ports.reserve()
        settings = {"smtp_destination_concurrency_limit": "20", "smtp_tls_security_level": "none"}
        self.postfix = Postfix(
            packages.prefix(),
            directory,
            smtp_port=self.port("smtp"),
            transport=f"smtp:[127.0.0.1]:{sink}",
            settings={"virtual_mailbox_domains": "", **settings},
        )

    def __enter__(self) -> "PostfixRelay":
        self.postfix.start()
        wait_banner(self.port("smtp"), time.monotonic() + 30)
        return self

    def __exit__(self, *exc: object) -> None:
        self.postfix.stop()
        self._ports.release()

    def port(self, listener: str) -> int:
        return self._ports.port("smtp" if listener == "submission" else listener)

    def cpu_seconds(self) -> float:
        return self.postfix.cpu_seconds()


def measure_one(server: Relay, sink: Sink, mails: int, seed: int, password: str) -> Measured:
    """Some mails to start everything, then the run."""
    port, before = server.port("submission"), sink.taken()
    common = {"recipients": RECIPIENTS, "sender": SENDER[0], "password": password, "size": SIZE}
    run(Load(port, WARM_UP, per_session=10, seed=seed + 1_000_000, **common))  # type: ignore[arg-type]
    sink.wait(before + WARM_UP, WAIT_SECONDS)
    cpu = server.cpu_seconds()
    sent = run(Load(port, mails, seed=seed, **common))  # type: ignore[arg-type]
    accepted = time.perf_counter()
    sink.wait(before + WARM_UP + mails, WAIT_SECONDS)
    seconds = sent.seconds + time.perf_counter() - accepted
    return Measured(
        mails / seconds,
        mails / sent.seconds,
        (server.cpu_seconds() - cpu) / mails,
        sent.percentile(99),
    )


@contextlib.contextmanager
def peer(directory: pathlib.Path, sink: int) -> Iterator[PostfixRelay]:
    """Postfix in a directory that other users reach."""
    with tempfile.TemporaryDirectory(dir=directory, prefix="a3mailer-peer-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        with PostfixRelay(folder, sink) as relay:
            yield relay


def measure(chosen: Options, report: Report) -> None:
    """Rounds of peer, ours off, ours on."""
    shrink = 20 if chosen.smoke else 1
    report.count(rounds=chosen.rounds, size=SIZE, **{name: n // shrink for name, n in MAILS.items()})
    found: dict[str, list[Measured]] = {"peer": [], "off": [], "on": []}
    with tempfile.TemporaryDirectory(dir=chosen.directory) as name, Sink(pathlib.Path(name)) as sink:
        for number in range(chosen.rounds):
            seed = chosen.seed + number
            if chosen.peer:
                with peer(chosen.directory, sink.port) as postfix:
                    found["peer"].append(measure_one(postfix, sink, MAILS["peer"] // shrink, seed, ""))
            for name, settings in BOTH:
                relayed = (*settings, f"queue.relay=127.0.0.1:{sink.port}")
                with instance(chosen.directory, relayed, (SENDER,)) as ours:
                    mails = MAILS["ours"] // shrink
                    found[name].append(measure_one(ours, sink, mails, seed, SENDER[1]))
    tell(report, {name: middle(runs) for name, runs in found.items() if runs})


def middle(runs: list[Measured]) -> Measured:
    """The median of each figure."""
    names = [field.name for field in dataclasses.fields(Measured)]
    return Measured(**{name: statistics.median(getattr(r, name) for r in runs) for name in names})


def tell(report: Report, found: dict[str, Measured]) -> None:
    """The rows."""
    other = found.get("peer")
    for name in ("off", "on"):
        one = found[name]
        report.add(
            at_least(f"through, at rest {name}", "mails/s", one.rate, other and other.rate, RATE),
        )
        report.add(at_most(f"CPU, at rest {name}", "s/1000", one.cpu * 1e3, other and other.cpu * 1e3, CPU))
    on = found["on"]
    report.add(Row("taken in, while others leave", "mails/s", on.accepted, other and other.accepted))
    report.add(Row("end of DATA to 250, p99", "ms", on.p99 * 1e3, other and other.p99 * 1e3))


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
