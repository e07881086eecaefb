"""The ManageSieve door (RFC 5804): one conversation at a time, from greeting to BYE.

All waiting has a deadline: a stranger's is ``managesieve.login_seconds`` for all he does, a user's
``managesieve.idle_seconds`` from the last answer, however many octets trickle in between.
"""

from __future__ import annotations

import asyncio
from typing import Final

from a3mailer.edge.connection import Connection, ConnectionLost, Draining
from a3mailer.edge.managesieve.answers import answer
from a3mailer.edge.managesieve.services import Services
from a3mailer.edge.managesieve.session import Session
from a3mailer.telemetry.events import emit

FAIR_COMMANDS: Final = 16
"""Answered in a row before others get their turn."""


class ManageSieveDoor:
    """Serves connections with the services of its worker."""

    __slots__ = ("services",)

    def __init__(self, services: Services) -> None:
        self.services = services

    async def serve(self, connection: Connection, trace: str) -> None:
        """One connection to its end. Errors: ConnectionLost."""
        session = Session(self.services, connection, trace)
        try:
            connection.write(await session.capabilities())
            host = self.services.settings.server.hostname
            session.ok(f"{host} A3Mailer ManageSieve is ready")
            await _converse(session)
        except Draining:
            session.bye("the server restarts, please reconnect", b"TRYLATER")
        except ConnectionLost:
            if not connection.closed and not connection.unsent:  # the deadline has passed, and it listens
                session.bye("too slow")
                session.allow_farewell()
                await connection.flushed()
            raise
        finally:
            emit("managesieve.session.ended", level="debug", trace=trace, account=session.principal.account)
        session.allow_farewell()
        await connection.flushed()


async def _converse(session: Session) -> None:
    """Answer until somebody ends it. Errors: ConnectionLost."""
    connection, answered = session.connection, 0
    while not session.ended:
        event = session.engine.next_event()
        if event is not None:
            connection.idle = False
            await answer(session, event)
            await session.flush()
            answered += 1
            if answered % FAIR_COMMANDS == 0:
                await asyncio.sleep(0)
            continue
        session.listen()
        octets = await connection.read()
        if not octets:
            raise ConnectionLost("the client has gone")
        session.engine.receive(octets)
