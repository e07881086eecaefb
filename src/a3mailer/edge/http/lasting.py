"""What a connection goes on as after an answer that has no end: an event source, a WebSocket.

Such a session is parked while nothing happens (``edge/park.py``): it is a record in an epoll set then,
without task or buffers, and is woken by input, by a change of its account, or when its time is over.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, runtime_checkable

from a3mailer.edge.listener import Waiting
from a3mailer.edge.park import Parked, ParkingLot, Topic
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.principal import Principal

RECHECK_SLICE: Final = 100
"""Sessions whose credentials are looked at before others get a turn on the loop."""


@runtime_checkable
class Lasting(Parked, Protocol):
    """One such session."""

    @property
    def principal(self) -> Principal:
        """Whose it is."""
        ...

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Whose changes wake it."""
        ...

    async def run(self, reason: str) -> Lasting | None:
        """Go on: ``begin``, or as ``edge.listener.Resume`` says. Itself to be parked, None at its end.

        Errors: ConnectionLost."""
        ...


async def resume(session: Parked, reason: str) -> Parked | None:
    """The HTTP listeners' ``Resume``."""
    assert isinstance(session, Lasting)
    return await session.run(reason)


async def recheck(parked: ParkingLot[Waiting], authenticator: Authenticator) -> None:
    """After a change of the directory: wake those whose credentials are no longer good."""
    for number, (fd, waiting) in enumerate(parked.records()):
        session = waiting.session
        if isinstance(session, Lasting) and not await authenticator.current(session.principal):
            parked.leave(fd, "change")
        if number % RECHECK_SLICE == 0:
            await asyncio.sleep(0)
