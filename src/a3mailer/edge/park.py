"""Parking: an idle connection is one record in a raw epoll set, without task or buffers.

A door hands back a ``Parked`` session instead of staying a task, and goes on with it later; the
connection keeps its socket (and the TLS state inside it). It is woken by input or its end, by a change of
what it watches, or when its time is over.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Iterator
from typing import Final, Generic, Protocol, TypeVar

from a3mailer.telemetry import metrics

EVENTS: Final = select.EPOLLIN | select.EPOLLRDHUP
BURST: Final = 500
"""Connections woken at one look, so that others get their turn between."""

Topic = tuple[int, int]
"""What a parked session watches: account and mailbox (0 for none)."""

WHOLE: Final = -100
"""In place of a mailbox: all of the account."""

R = TypeVar("R")


class Parked(Protocol):
    """A session that waits for input or news."""

    @property
    def topics(self) -> tuple[Topic, ...]:
        """What it watches, each once."""
        ...


class ParkingLot(Generic[R]):
    """The parked records of one worker. ``wake`` is called on the loop with a record and the reason.

    ``topics`` are what wakes a record, ``until`` is the loop time that ends it; neither changes meanwhile."""

    __slots__ = ("_epoll", "_known", "_records", "_topics", "_until", "_wake")

    def __init__(
        self,
        wake: Callable[[R, str], None],
        topics: Callable[[R], tuple[Topic, ...]],
        until: Callable[[R], float],
    ) -> None:
        self._epoll = select.epoll()
        self._topics = topics
        self._until = until
        self._records: dict[int, R] = {}
        self._known: dict[Topic, int | set[int]] = {}
        """A topic's one descriptor, or all of several."""
        self._wake = wake
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._input)

    def __len__(self) -> int:
        return len(self._records)

    def records(self) -> Iterator[tuple[int, R]]:
        """(descriptor, record) of all that are parked at the moment of the call."""
        return iter(list(self._records.items()))

    def park(self, fd: int, record: R) -> None:
        """Take a record."""
        for topic in self._topics(record):
            known = self._known.get(topic)
            if known is None:
                self._known[topic] = fd
            elif isinstance(known, set):
                known.add(fd)
            else:
                self._known[topic] = {known, fd}
        self._records[fd] = record
        self._epoll.register(fd, EVENTS)
        metrics.count("a3_imap_idle")

    def leave(self, fd: int, reason: str) -> None:
        """Wake one record; nothing when it is not here any more."""
        record = self._records.pop(fd, None)
        if record is None:
            return
        self._epoll.unregister(fd)
        for topic in self._topics(record):
            known = self._known[topic]
            if isinstance(known, set) and len(known) > 1:
                known.discard(fd)
            else:
                del self._known[topic]
        metrics.count("a3_imap_idle", by=-1)
        self._wake(record, reason)

    def wake(self, topic: Topic) -> None:
        """Wake all that watch ``topic``."""
        known = self._known.get(topic)
        if known is not None:
            for fd in tuple(known) if isinstance(known, set) else (known,):
                self.leave(fd, "change")

    def sweep(self, now: float) -> None:
        """Wake those whose time is over."""
        for fd in [fd for fd, record in self._records.items() if self._until(record) < now]:
            self.leave(fd, "time")

    def wake_all(self, reason: str) -> None:
        """Wake everybody."""
        for fd in tuple(self._records):
            self.leave(fd, reason)

    def close(self) -> None:
        """Let go of the epoll set; nobody may be parked any more."""
        asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _input(self) -> None:
        for fd, _event in self._epoll.poll(0, BURST):
            self.leave(fd, "input")
