"""The listeners: names, ports, and binding them once in the supervisor so that workers inherit them."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from a3mailer.config.tree import Settings

BACKLOG: Final = 4096


@dataclass(frozen=True, slots=True)
class Port:
    """One line of the table: ``tls`` is ``none``, ``start`` (STARTTLS) or ``implicit``."""

    name: str
    number: int
    tls: str
    private: bool = False
    local: bool = False
    """Neither TLS nor a login: bound on loopback addresses only, whatever the others are bound to."""


PORTS: Final[tuple[Port, ...]] = (
    Port("lmtp", 24, "none", local=True),
    Port("smtp", 25, "start"),
    Port("submissions", 465, "implicit"),
    Port("submission", 587, "start"),
    Port("imap", 143, "start"),
    Port("imaps", 993, "implicit"),
    Port("pop3", 110, "start"),
    Port("pop3s", 995, "implicit"),
    Port("managesieve", 4190, "start"),
    Port("http", 80, "none"),
    Port("https", 443, "implicit"),
    Port("metrics", 9090, "none", private=True),
)


class CannotListen(Exception):
    """An address or port cannot be bound; the text says which and why."""


def bind_all(settings: Settings, ports: Sequence[Port] = PORTS) -> dict[str, list[socket.socket]]:
    """Bind these listeners on every address. Errors: CannotListen, with what to do about it."""
    bound: dict[str, list[socket.socket]] = {}
    try:
        for port in ports:
            number = settings.server.port_base + port.number
            bound[port.name] = []
            for address in addresses_of(port, settings):
                bound[port.name].append(_bind(address, number))
    except CannotListen:
        for each in (sock for sockets in bound.values() for sock in sockets):
            each.close()
        raise
    return bound


def addresses_of(port: Port, settings: Settings) -> tuple[str, ...]:
    """Where a listener is bound; the private one at one address, so that servers of other addresses on this
    machine have theirs."""
    if port.private:
        local = (a for a in settings.server.listen if a.startswith("127."))
        return (next(local, "127.0.0.1"),)
    if not port.local:
        return settings.server.listen
    return tuple(a for a in settings.server.listen if ipaddress.ip_address(a).is_loopback) or ("127.0.0.1",)


def _bind(address: str, number: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind((address, number))
        sock.listen(BACKLOG)
    except PermissionError as error:
        sock.close()
        hint = "use systemd sockets, CAP_NET_BIND_SERVICE or server.port_base"
        raise CannotListen(f"{address} port {number}: not permitted below 1024 ({hint})") from error
    except OSError as error:
        sock.close()
        raise CannotListen(f"{address} port {number}: {error.strerror or error}") from error
    return sock


def listen(settings: Settings) -> dict[str, list[socket.socket]]:
    """The listeners of this instance: those systemd handed over and no other public ones, so that an
    administrator leaves a door out by not installing its socket unit; the private one is always ours.

    Errors: CannotListen, also for a socket whose name is no listener's."""
    handed = systemd_sockets()
    if not handed:
        return bind_all(settings)
    names = [port.name for port in PORTS]
    if unknown := sorted(handed.keys() - set(names)):
        raise CannotListen(f"systemd's FileDescriptorName={unknown[0]} is none of {', '.join(names)}")
    both = handed | bind_all(settings, [port for port in PORTS if port.private and port.name not in handed])
    return {name: both[name] for name in names if name in both}


def bind_unix(path: Path) -> socket.socket:
    """A Unix stream listener, mode 0600, at a path of any length (bound through /proc/self/fd)."""
    path.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            sock.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.umask(mask)
        sock.listen(BACKLOG)
    finally:
        os.close(folder)
    return sock


def systemd_sockets() -> dict[str, list[socket.socket]]:
    """Sockets passed by systemd (LISTEN_FDS, named by FileDescriptorName=); empty when there are none."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    found: dict[str, list[socket.socket]] = {}
    for i in range(int(os.environ.get("LISTEN_FDS", "0"))):
        found.setdefault(names[i] if i < len(names) else "", []).append(socket.socket(fileno=3 + i))
    return found


def describe(bound: dict[str, list[socket.socket]]) -> dict[str, str]:
    """``{"smtp": "127.0.0.1:20025", ...}``: the first address of each."""
    out: dict[str, str] = {}
    for name, sockets in bound.items():
        host, port = sockets[0].getsockname()[:2]
        out[name] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return out
