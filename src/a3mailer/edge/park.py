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

R = TypeVar("R")


class Parked(Protocol):
    """A session that waits for input or news."""

    @property
    def topic(self) -> Topic:
        """What it watches."""
        ...


class ParkingLot(Generic[R]):
    """The parked records of one worker. ``wake`` is called on the loop with a record and the reason."""

    __slots__ = ("_epoll", "_records", "_topics", "_wake")

    def __init__(self, wake: Callable[[R, str], None]) -> None:
        self._epoll = select.epoll()
        self._records: dict[int, tuple[R, Topic, float]] = {}
        self._topics: dict[Topic, int | set[int]] = {}
        """A topic's one descriptor, or all of several."""
        self._wake = wake
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._input)

    def __len__(self) -> int:
        return len(self._records)

    def records(self) -> Iterator[tuple[int, R]]:
        """(descriptor, record) of all that are parked at the moment of the call."""
        return iter([(fd, record) for fd, (record, _, _) in self._records.items()])

    def park(self, fd: int, record: R, topic: Topic, until: float) -> None:
        """Take a record: ``topic`` is what wakes it, ``until`` the loop time that ends it."""
        known = self._topics.get(topic)
        if known is None:
            self._topics[topic] = fd
        elif isinstance(known, set):
            known.add(fd)
        else:
            self._topics[topic] = {known, fd}
        self._records[fd] = (record, topic, until)
        self._epoll.register(fd, EVENTS)
        metrics.count("a3_imap_idle")

    def leave(self, fd: int, reason: str) -> None:
        """Wake one record; nothing when it is not here any more."""
        parked = self._records.pop(fd, None)
        if parked is None:
            return
        record, topic, _ = parked
        self._epoll.unregister(fd)
        known = self._topics[topic]
        if isinstance(known, set) and len(known) > 1:
            known.discard(fd)
        else:
            del self._topics[topic]
        metrics.count("a3_imap_idle", by=-1)
        self._wake(record, reason)

    def wake(self, topic: Topic) -> None:
        """Wake all that watch ``topic``."""
        known = self._topics.get(topic)
        if known is not None:
            for fd in tuple(known) if isinstance(known, set) else (known,):
                self.leave(fd, "change")

    def sweep(self, now: float) -> None:
        """Wake those whose time is over."""
        for fd in [fd for fd, (_, _, until) in self._records.items() if until < now]:
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
