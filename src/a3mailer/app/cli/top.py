"""top: what the running server does at this moment, from its metrics and its processes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from a3mailer.app.cli.exits import NOT_RUNNING, OK, USAGE, Failed
from a3mailer.app.cli.office import Remote, connect, data_directory
from a3mailer.app.cli.output import Output, size
from a3mailer.app.cli.server import state
from a3mailer.app.cli.verb import Arguments, Option, Verb

INTERVAL: Final = "2"
CLEAR: Final = "\x1b[H\x1b[2J"
TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_CPU: Final = slice(11, 13)
"""utime and stime among the fields of /proc/PID/stat behind the name."""
Numbers = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: metrics by name and label, processes by pid."""

    at: float
    kinds: Mapping[str, str]
    metrics: Numbers
    processes: Mapping[int, tuple[str, float, int]]
    """Name, seconds of CPU so far, octets resident."""


def look(directory: Path) -> Sample:
    """Ask the server. Errors: Failed (NOT_RUNNING)."""
    connection = connect(directory)
    found = state(directory)
    if connection is None or not found["pid"]:
        raise Failed(NOT_RUNNING, "the server is not running")
    with connection:
        metrics = Remote(connection).perform("server metrics", {})
    names = {found["pid"]: "supervisor", found.get("writer", 0): "writer"}
    names |= {pid: f"worker {number}" for number, pid in enumerate(found["workers"], 1)}
    processes = {pid: process for pid, name in names.items() if (process := _process(pid, name)) is not None}
    return Sample(time.monotonic(), metrics["kinds"], metrics["values"], processes)


def _process(pid: int, name: str) -> tuple[str, float, int] | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return name, sum(map(int, fields[_CPU])) / TICKS, pages * PAGE


def compare(before: Sample, now: Sample) -> dict[str, Any]:
    """What happened between two looks: counters a second, gauges as they are, means of durations."""
    seconds = max(now.at - before.at, 1e-9)
    shown: dict[str, Any] = {}
    for name, values in now.metrics.items():
        former = before.metrics.get(name, {})
        grown = {label: value - former.get(label, 0.0) for label, value in values.items()}
        if now.kinds[name] == "gauge":
            shown[name] = dict(values)
        elif now.kinds[name] == "histogram":
            shown[name] = {"mean": grown["sum"] / grown["count"] if grown["count"] else 0.0}
        else:
            shown[name] = {label: max(0.0, value) / seconds for label, value in grown.items()}
    processes = [
        {
            "name": name,
            "pid": pid,
            "cpu": max(0.0, cpu - before.processes.get(pid, (name, cpu, 0))[1]) / seconds,
            "resident": resident,
        }
        for pid, (name, cpu, resident) in now.processes.items()
    ]
    return {"seconds": seconds, "metrics": shown, "processes": processes}


def _all(metrics: Numbers, name: str) -> float:
    return sum(metrics[name].values())


def _each(metrics: Numbers, name: str, form: str = ".1f") -> str:
    found = [f"{label} {value:{form}}" for label, value in metrics[name].items() if value]
    return ", ".join(found) or "none"


def page(found: Mapping[str, Any]) -> str:
    """The comparison for people."""
    m: Numbers = found["metrics"]

    def mean(name: str) -> str:
        return f"{m[name]['mean'] * 1000:.1f} ms"

    lines = [
        f"connections  {_all(m, 'a3_connections_open'):.0f} open ({_each(m, 'a3_connections_open', '.0f')})",
        f"             {_all(m, 'a3_connections_total'):.1f}/s new, "
        f"{_all(m, 'a3_connections_refused_total'):.1f}/s refused, {_all(m, 'a3_imap_idle'):.0f} in IDLE",
        f"mail in      {_each(m, 'a3_smtp_mails_total')} a second, "
        f"{size(_all(m, 'a3_smtp_octets_total'))}/s, "
        f"end of data to reply {mean('a3_smtp_end_of_data_seconds')}",
        f"store        {_all(m, 'a3_deliveries_total'):.1f} deliveries/s, "
        f"{_all(m, 'a3_store_commits_total'):.1f} commits/s in "
        f"{_all(m, 'a3_store_batches_total'):.1f} batches/s, "
        f"batch {mean('a3_store_commit_seconds')}, segment sync {mean('a3_segment_sync_seconds')}",
        f"logins       {_each(m, 'a3_logins_total')} a second",
        f"IMAP         {_each(m, 'a3_imap_commands_total')} commands a second",
        f"queue        {_each(m, 'a3_queue_entries', '.0f')}; "
        f"attempts {_each(m, 'a3_relay_attempts_total')} a second",
        "",
        f"{'PROCESS':<12} {'PID':>8} {'CPU':>7} {'RESIDENT':>10}",
    ]
    for process in found["processes"]:
        cpu = f"{process['cpu'] * 100:.1f} %"
        lines.append(f"{process['name']:<12} {process['pid']:>8} {cpu:>7} {size(process['resident']):>10}")
    return "\n".join(lines)


def top(args: Arguments, out: Output) -> int:
    """top."""
    if args.interval < 1 or args.count < 0:
        raise Failed(USAGE, "--interval is at least 1 second, --count 0 or more")
    directory = data_directory(args.dir)
    live = sys.stdout.isatty() and not out.json
    left = args.count or (0 if live else 1)
    before = look(directory)
    while True:
        time.sleep(args.interval)
        now = look(directory)
        found = compare(before, now)
        before = now
        if live:
            sys.stdout.write(CLEAR)
        out.event(found, page(found))
        left -= 1
        if left == 0:
            return OK


VERBS: Final = (
    Verb(
        "top",
        "show what the server does at this moment",
        "server.status",
        top,
        (),
        (
            Option(
                "--interval", "seconds between two looks", metavar="SECONDS", number=True, default=INTERVAL
            ),
            Option(
                "--count",
                "how many times; 0 = until Ctrl-C on a terminal, else once",
                metavar="COUNT",
                number=True,
                default="0",
            ),
        ),
    ),
)
