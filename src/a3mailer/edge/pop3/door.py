"""The POP3 door (RFC 1939): one conversation at a time, from greeting to QUIT (ADR 0039).

What needs no waiting is answered in the call that brings its octets, the rest by the connection's task. All
waiting has a deadline: a stranger's is ``pop3.login_seconds`` for all he does, a user's ``pop3.idle_seconds``
from the last answer, however many octets trickle in between. Without QUIT nothing is deleted.
"""

from __future__ import annotations

import asyncio

from a3mailer.edge.connection import Connection, ConnectionLost, Draining
from a3mailer.edge.pop3 import texts
from a3mailer.edge.pop3.answers import answered, wait
from a3mailer.edge.pop3.services import Services
from a3mailer.edge.pop3.session import Session
from a3mailer.telemetry.events import emit
from a3mailer.wire.pop3.engine import Event


class Pop3Door:
    """Serves connections with the services of its worker."""

    __slots__ = ("services",)

    def __init__(self, services: Services) -> None:
        self.services = services

    async def serve(self, connection: Connection, trace: str) -> None:
        """One connection to its end. Errors: ConnectionLost."""
        session = Session(self.services, connection, trace)
        try:
            await _Conversation(session).run()
            session.allow_farewell()
            await connection.flushed()
        except Draining:  # between two commands: there is nothing POP3 could say
            return
        finally:
            account = session.principal.account
            session.close()
            emit("pop3.session.ended", level="debug", trace=trace, account=account)


class _Conversation:
    """The loop over one session's events."""

    __slots__ = ("_gone", "_owed", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._owed: Event | None = None
        """What has to be waited for before it is answered."""
        self._gone = False

    async def run(self) -> None:
        """Greet, then answer until somebody ends it. Errors: ConnectionLost."""
        session = self._session
        host = session.settings.server.hostname.encode("ascii", "replace")
        session.say(host + b" " + texts.text("greeting", session.language))
        while True:
            self._answer()
            await session.flush()
            if session.ended:
                return
            if self._owed is not None:
                event, self._owed = self._owed, None
                await wait(session, event)
            elif session.engine.complete:  # what was written had to leave first
                await asyncio.sleep(0)
            else:
                session.listen()
                await session.connection.attend(self._take)
                session.connection.idle = False
                if self._gone:
                    raise ConnectionLost("the client has gone")

    def _take(self, octets: bytes) -> bool:
        """Answer what has come; whether more may come before anything has to be waited for."""
        session = self._session
        session.connection.idle = False
        if not octets:
            self._gone = True
            return False
        session.engine.receive(octets)
        self._answer()
        if self._owed is not None or session.ended or session.full:
            return False
        session.send()
        session.listen()
        return not (session.connection.unsent or session.connection.draining)

    def _answer(self) -> None:
        """Answer up to what has to be waited for, which is then owed."""
        session = self._session
        while not (self._owed or session.ended or session.full):
            event = session.engine.next_event()
            if event is None:
                return
            if not answered(session, event):
                self._owed = event
