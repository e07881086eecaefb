"""Parking: an idle connection is one record in a raw epoll set, without task, buffers or protocol object.

A parked connection keeps its socket (and its TLS state inside it) and what its door needs to go on. It is
revived by input, by the end of the connection, by a change of the mailbox it watches, or when its time is
over; the door's ``revive`` is then called with the socket and the record.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from a3mailer.telemetry import metrics

EVENTS: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
BURST: Final = 500
"""Connections revived at one wake-up, so that others get their turn between."""

R = TypeVar("R")


@dataclass(slots=True)
class _Parked(Generic[R]):
    socket: socket.socket
    record: R
    topic: tuple[int, int]
    until: float


class ParkingLot(Generic[R]):
    """The parked connections of one worker. ``revive`` is called on the loop with socket, record, reason."""

    __slots__ = ("_by_fd", "_by_topic", "_epoll", "_revive")

    def __init__(self, revive: Callable[[socket.socket, R, str], None]) -> None:
        self._epoll = select.epoll()
        self._by_fd: dict[int, _Parked[R]] = {}
        self._by_topic: dict[tuple[int, int], set[int]] = {}
        self._revive = revive
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._input)

    def __len__(self) -> int:
        return len(self._by_fd)

    def park(self, sock: socket.socket, record: R, topic: tuple[int, int], until: float) -> None:
        """Take a connection that waits: ``topic`` is what wakes it, ``until`` the loop time that ends it."""
        fd = sock.fileno()
        self._by_fd[fd] = _Parked(sock, record, topic, until)
        self._by_topic.setdefault(topic, set()).add(fd)
        self._epoll.register(fd, EVENTS)
        metrics.count("a3_imap_idle")

    def wake(self, topic: tuple[int, int]) -> None:
        """Revive all that wait for ``topic``."""
        for fd in tuple(self._by_topic.get(topic, ())):
            self._leave(fd, "change")

    def sweep(self, now: float) -> None:
        """Revive those whose time is over; called once a second."""
        for fd in [fd for fd, parked in self._by_fd.items() if parked.until < now]:
            self._leave(fd, "time")

    def wake_all(self, reason: str) -> None:
        """Revive everybody (stop, credential change): their doors decide."""
        for fd in tuple(self._by_fd):
            self._leave(fd, reason)

    def close(self) -> None:
        """Forget everything; the sockets are closed."""
        asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        for parked in self._by_fd.values():
            parked.socket.close()
            metrics.count("a3_imap_idle", by=-1)
        self._by_fd.clear()
        self._by_topic.clear()
        self._epoll.close()

    def _input(self) -> None:
        for fd, _event in self._epoll.poll(0, BURST):
            self._leave(fd, "input")

    def _leave(self, fd: int, reason: str) -> None:
        parked = self._by_fd.pop(fd)
        self._epoll.unregister(fd)
        waiting = self._by_topic[parked.topic]
        waiting.discard(fd)
        if not waiting:
            del self._by_topic[parked.topic]
        metrics.count("a3_imap_idle", by=-1)
        self._revive(parked.socket, parked.record, reason)
