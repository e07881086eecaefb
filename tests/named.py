"""BIND on loopback with signed zones, as a real validator's peer: good ones, and each kind that is not.

``test`` is the anchored zone. Below it: ``good.test`` signed, ``nsec3.test`` signed with NSEC3,
``plain.test`` delegated without DS, ``forged.test`` changed after it was signed, ``stale.test`` with expired
signatures, ``stripped.test`` with a DS record and no signatures.
"""

from __future__ import annotations

import pathlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

PROGRAMS = ("named", "dnssec-keygen", "dnssec-signzone", "dnssec-dsfromkey")
SIGNED = ("good.test", "nsec3.test", "forged.test", "stale.test", "stripped.test")
ADDRESS, FORGED = "127.0.0.1", "127.0.0.66"
START_SECONDS = 20.0
ANSWER_SECONDS = 5.0

HEAD = "$TTL 300\n@ IN SOA ns.test. root.test. 1 3600 600 86400 60\n@ IN NS ns.test.\n"
CONF = """options {{ directory "{folder}"; pid-file none; listen-on port {port} {{ 127.0.0.1; }};
 listen-on-v6 {{ none; }}; dnssec-validation no; recursion yes; allow-recursion {{ 127.0.0.1; }};
 session-keyfile none; forwarders {{ }}; empty-zones-enable no; }};
controls {{ }};
zone "." {{ type hint; file "nothing"; }};
{zones}
"""
VALIDATING = """options {{ directory "{folder}"; pid-file none; listen-on port {port} {{ 127.0.0.1; }};
 listen-on-v6 {{ none; }}; recursion yes; dnssec-validation yes; forward only; session-keyfile none;
 forwarders port {of} {{ 127.0.0.1; }}; max-cache-size 8M; empty-zones-enable no; minimal-responses yes; }};
controls {{ }};
trust-anchors {{ test. static-ds {anchor}; }};
"""
ZONE = 'zone "{name}" {{ type primary; file "{name}.zone"; }};'


@dataclass(frozen=True)
class SignedServer:
    """Where it listens, and the file with the trust anchor of ``test``."""

    port: int
    anchor: pathlib.Path


@contextmanager
def signed_server(folder: pathlib.Path, records: dict[str, str]) -> Iterator[SignedServer]:
    """``records``: more lines of a zone's file, by zone. Skips where Debian's bind9 is not installed."""
    tools = {name: shutil.which(name) or shutil.which(name, path="/usr/sbin") for name in PROGRAMS}
    if missing := [name for name, path in tools.items() if path is None]:
        pytest.skip(f"absent: bind9 ({', '.join(missing)})")
    for name in (*SIGNED, "plain.test"):
        zone = HEAD + f"host IN A {ADDRESS}\n" + records.get(name, "")
        (folder / f"{name}.zone").write_text(zone)
    for name in SIGNED:
        _sign(folder, tools, name)
    for name, change in (("forged.test", (ADDRESS, FORGED)),):
        path = folder / f"{name}.zone"
        path.write_text(path.read_text().replace(*change))
    (folder / "stripped.test.zone").write_text(HEAD + f"host IN A {ADDRESS}\n")
    cuts = "".join(f"{name}. IN NS ns.test.\n" for name in (*SIGNED, "plain.test"))
    (folder / "test.zone").write_text(HEAD + f"ns IN A {ADDRESS}\n" + cuts + records.get("test", ""))
    anchor = _sign(folder, tools, "test", "-g")
    port = _free_port()
    zones = "\n".join(ZONE.format(name=name) for name in ("test", "plain.test", *SIGNED))
    (folder / "nothing").write_text(". 3600 IN NS ns.test.\nns.test. 3600 IN A 127.0.0.1\n")
    (folder / "named.conf").write_text(CONF.format(folder=folder, port=port, zones=zones))
    with _running(folder, tools["named"] or "", "named", port):
        yield SignedServer(port, anchor)


@contextmanager
def validating(folder: pathlib.Path, of: SignedServer) -> Iterator[str]:
    """The address of a resolver in front of it, on port 53, that sets the AD bit: for peers that want both.

    Skips as ``forbidden`` where port 53 is. The address is one of 127.0.0.0/8 that nobody else here has;
    BIND listens only on an interface's own, so datagrams are passed on to it."""
    port = _free_port()
    named = shutil.which("named") or shutil.which("named", path="/usr/sbin") or ""
    key, algorithm, kind, digest = of.anchor.read_text().split("DS", 1)[1].split(None, 3)
    anchor = f'{key} {algorithm} {kind} "{"".join(digest.split())}"'
    config = VALIDATING.format(folder=folder, port=port, of=of.port, anchor=anchor)
    (folder / "validating.conf").write_text(config)
    with _running(folder, named, "validating", port), at_port_53(port) as address:
        yield address


@contextmanager
def at_port_53(port: int) -> Iterator[str]:
    """An address where what answers datagrams on ``port`` answers on port 53 too; skips as ``forbidden``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as front:
        address = f"127.53.{port >> 8}.{port & 255}"
        try:
            front.bind((address, 53))
        except PermissionError as error:
            pytest.skip(f"forbidden: port 53 of {address} ({error})")
        thread = threading.Thread(target=_pass_on, args=(front, port))
        thread.start()
        try:
            yield address
        finally:
            front.sendto(b"", (address, 53))
            thread.join()


def _pass_on(front: socket.socket, port: int) -> None:
    """Questions to the port, and what comes of them back, one after the other; an empty one is the end."""
    while (found := front.recvfrom(65_535))[0]:
        question, client = found
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.settimeout(ANSWER_SECONDS)
            back.connect(("127.0.0.1", port))
            back.send(question)
            with suppress(OSError):
                front.sendto(back.recv(65_535), client)


@contextmanager
def _running(folder: pathlib.Path, named: str, name: str, port: int) -> Iterator[None]:
    path = folder / f"{name}.log"
    with path.open("wb") as log:
        command = [named, "-g", "-n", "1", "-c", str(folder / f"{name}.conf")]
        server = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _wait(server, port, path)
        yield
    finally:
        server.kill()
        server.wait()


def _sign(folder: pathlib.Path, tools: dict[str, str | None], name: str, *more: str) -> pathlib.Path:
    """Sign a zone's file in place; the file with its DS record."""
    key = _run(folder, tools["dnssec-keygen"], "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", name).strip()
    public = (folder / f"{key}.key").read_text()
    with (folder / f"{name}.zone").open("a") as zone:
        zone.write(public)
    if name == "nsec3.test":
        more = (*more, "-3", "-")
    if name == "stale.test":
        more = (*more, "-s", "20200101000000", "-e", "20200201000000")
    _run(
        folder,
        tools["dnssec-signzone"],
        "-z",
        "-P",
        *more,
        "-o",
        name,
        "-f",
        f"{name}.out",
        f"{name}.zone",
        key,
    )
    (folder / f"{name}.out").rename(folder / f"{name}.zone")
    anchor = folder / f"{name}.anchor"
    anchor.write_text(_run(folder, tools["dnssec-dsfromkey"], "-2", f"{key}.key"))
    return anchor


def _run(folder: pathlib.Path, *command: str | None) -> str:
    done = subprocess.run([c or "" for c in command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _free_port() -> int:
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        return int(tcp.getsockname()[1])


def _wait(server: subprocess.Popen[bytes], port: int, log: pathlib.Path) -> None:
    begun = time.monotonic()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert server.poll() is None and time.monotonic() - begun < START_SECONDS, log.read_text()
            time.sleep(0.05)
        else:
            return
