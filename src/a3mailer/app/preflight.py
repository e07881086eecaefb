"""What has to be so before a mail server is set up on a machine, each with words for what to do.

Nothing is changed: the disk is tried with a file that is removed, ports are bound and let go. What cannot be
found out is said to be unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import ipaddress
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from a3mailer.app.listeners import PORTS, CannotListen, bind_all
from a3mailer.config.syntax import host_port
from a3mailer.config.tree import Settings
from a3mailer.edge.connection import Connection, ConnectionLost
from a3mailer.ops.domain_check import Examination, check
from a3mailer.ops.domain_records import Facts
from a3mailer.ops.record_state import host_addresses
from a3mailer.runtime.dnssec import who_validates
from a3mailer.runtime.resolver import ResolverFailure, StubResolver

OK: Final = "ok"
WARNING: Final = "warning"
"""The server can be started and works in part, or will when somebody else has done something."""
ERROR: Final = "error"
UNKNOWN: Final = "unknown"

GIB: Final = 1 << 30
FREE_LEAST: Final = GIB // 4
"""Octets beyond the reserve (``store.reserve_*``) below which there is no use in beginning."""
FREE_GOOD: Final = 5 * GIB
SYNC_TRIES: Final = 3
SYNC_SLOW: Final = 0.2
"""Seconds of one sync; every batch of mails waits for one."""
DIAL_SECONDS: Final = 10.0
TIME_ERROR: Final = 5
"""What adjtimex(2) says of a clock that nothing keeps right."""
FOREIGN: Final = ("192.0.2.1", "2001:db8::1")
"""Addresses of nobody: routes to them tell our own address, nothing is sent."""
DISCARD: Final = 9
_LISTENING: Final = re.compile(r"^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F:]+ 0A (?:\S+\s+){5}(\d+)", re.M)

Dial = Callable[[str, int, float], Awaitable[Connection]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence, and what to do about it."""

    subject: str
    verdict: str
    text: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class Aim:
    """What is to be set up."""

    directory: Path
    settings: Settings
    addresses: tuple[str, ...]
    """Under which the world reaches this machine; none: not known."""
    privileged: bool
    """Will the server be allowed ports below 1024, whoever runs this now?"""
    probe: str
    """HOST:PORT of a mail server elsewhere, to see whether mail gets out."""
    blocklists: Sequence[str]
    now: float


def local(aim: Aim) -> Iterator[Finding]:
    """What can be seen without asking anybody."""
    yield place(aim.directory)
    yield from disk(aim.directory, aim.settings)
    yield from ports(aim.settings, aim.privileged)
    yield clock()


# --- the directory and its disk -------------------------------------------------------------------------


def nearest(directory: Path) -> Path:
    """The directory itself, or the closest one above it that is there."""
    return next(path for path in (directory, *directory.parents) if path.exists())


def place(directory: Path) -> Finding:
    """Is there room for a data directory, or nothing yet?"""
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        return Finding("directory", ERROR, f"{directory} is no directory.", "Name another one.")
    if directory.is_dir() and any(directory.iterdir()):
        do = "Name another one, or look at it: a3mailer status DIR"
        return Finding("directory", ERROR, f"{directory} is not empty.", do)
    above = nearest(directory)
    if not os.access(above, os.W_OK | os.X_OK):
        do = "Run this as root, or name a directory that is yours."
        return Finding("directory", ERROR, f"{above} cannot be written.", do)
    return Finding("directory", OK, f"{directory} can be made.")


def disk(directory: Path, settings: Settings) -> Iterator[Finding]:
    """Space and syncs of the disk the mail will be on."""
    above = nearest(directory)
    total, _, free = shutil.disk_usage(above)
    reserve = min(int(total * settings.store.reserve_percent / 100), settings.store.reserve_octets)
    text = f"{above} has {free / GIB:.1f} GiB free"
    if free < reserve + FREE_LEAST:
        do = "Free some, or choose another disk: below the reserve mail is answered 452."
        yield Finding("disk", ERROR, f"{text}; {reserve / GIB:.1f} GiB are kept in reserve.", do)
    elif free < reserve + FREE_GOOD:
        yield Finding("disk", WARNING, f"{text}: enough to begin.", "Mail grows; see store.reserve_percent.")
    else:
        yield Finding("disk", OK, f"{text}.")
    try:
        seconds = _sync(above)
    except OSError as error:
        yield Finding(
            "disk", ERROR, f"{above}: {error.strerror}.", "Mail must reach the disk before its 250."
        )
        return
    slow = seconds > SYNC_SLOW
    do = "Use a disk of this machine, not one of the network." if slow else ""
    yield Finding("disk", WARNING if slow else OK, f"A sync takes {seconds * 1000:.1f} ms.", do)


def _sync(folder: Path) -> float:
    """Seconds of the quickest of some syncs. Errors: OSError."""
    found = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNC_TRIES):
            file.write(bytes(4096))
            file.flush()
            begun = time.monotonic()
            os.fsync(file.fileno())
            found.append(time.monotonic() - begun)
    return min(found)


# --- ports ----------------------------------------------------------------------------------------------


def ports(settings: Settings, privileged: bool) -> Iterator[Finding]:
    """Can every listener be bound?"""
    bad = False
    for port in PORTS:
        number = settings.server.port_base + port.number
        try:
            bound = bind_all(settings, (port,))
        except CannotListen as error:
            refused = isinstance(error.__cause__, PermissionError)
            if refused and privileged:
                continue
            bad = True
            do = "Run this as root, or add --port-base 20000 to try it out."
            if not refused:
                who = holder(number)
                do = (
                    f"Port {number} is held by {who}: stop it."
                    if who
                    else f"Find out who holds port {number}."
                )
            yield Finding("ports", ERROR, f"{port.name}: {error}.", do)
        else:
            for each in bound[port.name]:
                each.close()
    if not bad:
        numbers = ", ".join(str(settings.server.port_base + port.number) for port in PORTS)
        yield Finding("ports", OK, f"Free and allowed: {numbers}.")


def holder(port: int) -> str:
    """``name (pid N)`` of who listens on a TCP port; empty when that cannot be seen."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            text = Path("/proc/net", table).read_text("ascii")
            inodes |= {f"socket:[{inode}]" for at, inode in _LISTENING.findall(text) if int(at, 16) == port}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for each in (process / "fd").iterdir():
                if str(each.readlink()) in inodes:
                    name = (process / "comm").read_text("utf-8", "replace").strip()
                    return f"{name} (pid {process.name})"
    return ""


# --- clock ----------------------------------------------------------------------------------------------


def clock() -> Finding:
    """Does something keep the clock right? The kernel knows whether NTP set it (adjtimex(2))."""
    try:
        said = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        said = -1
    if said < 0:
        return Finding("clock", UNKNOWN, "Whether the clock is right cannot be found out here.")
    if said == TIME_ERROR:
        do = "Install chrony, or: timedatectl set-ntp true"
        return Finding("clock", WARNING, "Nothing keeps the clock right; signatures and DNSSEC need it.", do)
    return Finding("clock", OK, "The clock is kept right.")


# --- the network ----------------------------------------------------------------------------------------


def own_addresses() -> tuple[str, ...]:
    """Those this machine sends from, IPv4 first."""
    found = []
    for foreign in FOREIGN:
        family = socket.AF_INET6 if ":" in foreign else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((foreign, DISCARD))
            found.append(probe.getsockname()[0])
    return tuple(found)


def public(addresses: Sequence[str]) -> tuple[str, ...]:
    """Those of them that the world can reach."""
    return tuple(each for each in addresses if ipaddress.ip_address(each).is_global)


async def network(aim: Aim, resolver: StubResolver, dial: Dial) -> list[Finding]:
    """What others say of this machine, all asked at the same time."""
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task(each)
            for each in (
                _resolver(aim, resolver),
                _names(aim, resolver),
                _mx(aim, resolver),
                outbound(aim.settings.queue.relay or aim.probe, resolver, dial),
            )
        ]
    return [finding for task in asked for finding in task.result()]


async def _resolver(aim: Aim, resolver: StubResolver) -> list[Finding]:
    domain = aim.settings.server.domain
    above = domain.partition(".")[2] or domain
    try:
        await resolver.lookup(above, "NS")
    except ResolverFailure as error:
        do = "Put a name server into /etc/resolv.conf, or name one: --dns ADDRESS:PORT"
        return [Finding("resolver", ERROR, f"The name server does not answer: {error}.", do)]
    found = [Finding("resolver", OK, "The name server answers.")]
    validator = await who_validates(resolver)
    if validator.startswith("nobody"):
        do = "Install libunbound8, or run a validating resolver here; until then mail leaves without DANE."
        return [*found, Finding("dnssec", WARNING, f"Answers are validated by {validator}.", do)]
    return [*found, Finding("dnssec", OK, f"Answers are validated by {validator}.")]


async def _names(aim: Aim, resolver: StubResolver) -> list[Finding]:
    """Hostname, PTR and blocklists, as ``domain check`` has them; records may still come, so none is an
    error."""
    server = aim.settings.server
    facts = Facts(server.domain, server.hostname.lower(), aim.addresses)
    exam = Examination(facts, resolver, aim.now, (), aim.blocklists)
    found = []
    if not aim.addresses:
        do = "Name the public one: --address ADDRESS"
        found.append(Finding("address", UNKNOWN, "This machine does not know its public address.", do))
    for section in await check(exam, ("address", "blocklists")):
        do = " ".join(section.instructions)
        wrong = (*section.errors, *section.warnings)
        found += [Finding(section.subject, WARNING, text, do) for text in wrong]
        found += [Finding(section.subject, UNKNOWN, text) for text in section.not_checked]
        if not wrong and not section.not_checked:
            good = "The name and the address of this machine fit." if section.subject == "address" else ""
            found.append(Finding(section.subject, OK, good or "This machine is on no blocklist."))
    return found


async def _mx(aim: Aim, resolver: StubResolver) -> list[Finding]:
    domain, hostname = aim.settings.server.domain, aim.settings.server.hostname.lower()
    try:
        exchanges = [
            mx.exchange.lower().rstrip(".") for mx in (await resolver.lookup(domain, "MX")).exchanges
        ]
    except ResolverFailure as error:
        return [Finding("mx", UNKNOWN, f"Where mail for {domain} goes now is not known: {error}.")]
    if exchanges and hostname not in exchanges:
        text = f"Mail for {domain} goes to {', '.join(filter(None, exchanges)) or 'nobody'} now."
        do = "It comes here when you change the MX record; until then nothing moves."
        return [Finding("mx", WARNING, text, do)]
    return []


async def outbound(server: str, resolver: StubResolver, dial: Dial) -> list[Finding]:
    """Does a mail server elsewhere greet us?"""
    host, port = host_port(server)
    do = "Ask your provider to open port 25 for mail out, or name a smart host: --relay HOST:PORT"
    why = "it has no address"
    try:
        addresses = (host,) if _is_address(host) else await host_addresses(host, resolver)
    except ResolverFailure as error:
        return [Finding("outbound", UNKNOWN, f"{host} cannot be looked up: {error}.")]
    for address in addresses[:2]:
        try:
            connection = await dial(address, port, DIAL_SECONDS)
        except ConnectionLost as error:
            why = str(error)
            continue
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                greeting = await connection.read()
        except (ConnectionLost, TimeoutError):
            greeting = b""
        finally:
            connection.close()
        if greeting.startswith(b"220"):
            return [Finding("outbound", OK, f"{server} greets this machine: mail gets out.")]
        why = f"{address} greets with {greeting[:80].decode('ascii', 'replace').strip() or 'nothing'}"
    return [Finding("outbound", WARNING, f"Mail does not get out to {server}: {why}.", do)]


def _is_address(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(text))
    return False
