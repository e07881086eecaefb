"""What every test shares: skips that are counted aloud, loopback only, one printed seed.

A skip's reason begins with ``absent:`` (a program is not installed) or ``forbidden:`` (the kernel or the
container refuses).  Both are printed with their count; with ``A3_NO_ABSENT=1``, as in CI, a skip of kind
``absent`` is a failure.
"""

import collections
import ipaddress
import os
import random
import sys
from collections.abc import Generator, Iterator
from typing import Any

import hypothesis
import pytest

from a3mailer.telemetry.events import LOG

hypothesis.settings.register_profile("house", deadline=None)  # no test asserts a wall time
hypothesis.settings.load_profile("house")
pytest.register_assert_rewrite("a3mailer.testing")  # compliance suites explain their failures as tests do

KINDS = ("absent", "forbidden")
UMASK = os.umask(0o022)
os.umask(UMASK)
_skips: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)


class NotLoopback(RuntimeError):
    """A test tried to reach a machine other than this one."""


def _loopback_only(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        return
    address = arguments[1]
    if not isinstance(address, tuple):  # a Unix socket, or a connected datagram socket
        return
    if not _is_local(str(address[0]).partition("%")[0]):
        raise NotLoopback(f"{event} {address}")


def _is_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in ("", "localhost")
    return address.is_loopback or address.is_unspecified


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """A verb run in this process narrows the umask: servers started later could not read their files."""
    yield
    os.umask(UMASK)


def pytest_configure(config: pytest.Config) -> None:
    """Install the loopback guard (it sees Python sockets; uvloop's own connects pass it by)."""
    sys.addaudithook(_loopback_only)


def _kind(longrepr: object) -> tuple[str, str]:
    reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    reason = reason.removeprefix("Skipped: ")
    kind = reason.partition(":")[0]
    return (kind if kind in KINDS else "unnamed"), reason


def _account(report: Any) -> None:
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    kind, reason = _kind(report.longrepr)
    _skips[kind].append((report.nodeid, reason))
    if kind == "absent" and os.environ.get("A3_NO_ABSENT") == "1":
        report.outcome = "failed"
        report.longrepr = f"{reason} (A3_NO_ABSENT=1: CI installs every program)"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, None]:
    """Count the skip; turn an absent program into a failure where nothing may be absent."""
    outcome = yield
    _account(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, None]:
    """The same for a module skipped as a whole."""
    outcome = yield
    _account(outcome.get_result())


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say aloud what did not run and why; pytest's own summary line stays the last one."""
    for kind, found in sorted(_skips.items()):
        terminalreporter.section(f"NOT RUN, kind {kind}: {len(found)}", sep="!")
        for reason, count in sorted(collections.Counter(reason for _, reason in found).items()):
            terminalreporter.line(f"{count:5}  {reason}")


@pytest.fixture(autouse=True)
def log_level() -> Generator[None, None, None]:
    """A test that asks for more or less of the log asks for itself alone."""
    yield
    LOG.configure(level="info")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this test's randomness, printed; ``A3_SEED`` or ``-p randomly`` repeats a run."""
    chosen = os.environ.get("A3_SEED") or request.config.getoption("randomly_seed", None)
    value = int(chosen) if str(chosen).isdigit() else random.SystemRandom().randrange(2**32)
    print(f"seed {value} (repeat with A3_SEED={value})")
    return value


@pytest.fixture
def rng(seed: int) -> random.Random:
    """A generator from the printed seed."""
    return random.Random(seed)
