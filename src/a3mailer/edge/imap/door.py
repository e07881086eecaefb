"""The IMAP door (RFC 9051, RFC 3501): one conversation at a time, from greeting to BYE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from types import CoroutineType
from typing import Final, cast

from a3mailer.access.labour import Labour
from a3mailer.edge.connection import Connection, ConnectionLost, Draining
from a3mailer.edge.imap import state
from a3mailer.edge.imap.answering import (
    FAIR_COMMANDS,
    Begun,
    Prompt,
    begin,
    by_uid,
    finish,
    goodbye,
    numbers,
    refuse,
    started,
    unread,
    updates,
)
from a3mailer.edge.imap.appending import read_over
from a3mailer.edge.imap.commands.append import Append
from a3mailer.edge.imap.commands.idle import Idle
from a3mailer.edge.imap.commands.replace import Replace
from a3mailer.edge.imap.replies import reply
from a3mailer.edge.imap.response import DONE, Answer, Completed, Failed, Response
from a3mailer.edge.imap.services import Services
from a3mailer.edge.imap.session import AtRest, Ended, Interrupted, Session
from a3mailer.edge.listener import Waiting
from a3mailer.edge.park import Parked, ParkingLot
from a3mailer.mail.errors import MailError
from a3mailer.telemetry.events import emit
from a3mailer.wire.imap import engine
from a3mailer.wire.imap.errors import BadSyntax, LocalProtocolError, RemoteProtocolError, UidRequired
from a3mailer.wire.imap.parser import Parser

RECHECK_SLICE: Final = 100
"""Parked sessions looked at before others get their turn."""


class ImapDoor:
    """Serves connections with the services of its worker."""

    __slots__ = ("services",)

    def __init__(self, services: Services) -> None:
        self.services = services

    async def serve(self, connection: Connection, trace: str) -> Session | None:
        """One connection to its end, or until it is at rest: then the session, to be parked and resumed."""
        session = Session(self.services, connection, trace)
        return await self._attend(session, self._greet(session))

    async def resume(self, parked: Parked, reason: str) -> Parked | None:
        """Go on with a session that was parked in IDLE."""
        assert isinstance(parked, Session)
        session = parked
        session.woken = reason
        return await self._attend(session, run(session, Begun(session.tag, Idle(resumed=True), None)))

    async def _greet(self, session: Session) -> None:
        capabilities = await session.capabilities()
        host = self.services.settings.server.hostname.encode()
        session.write(b"* OK [CAPABILITY %b] %b A3Mailer is ready\r\n" % (capabilities, host))

    async def _attend(self, session: Session, first: Awaitable[None]) -> Session | None:
        at_rest = False
        try:
            await first
            await converse(session)
            await session.flush()
        except AtRest:
            at_rest = True
            return session
        except Draining:
            session.write(b"* BYE [UNAVAILABLE] the server restarts, please reconnect\r\n")
            await session.flush()
        finally:
            if not at_rest:
                session.unselect()
                session.quiet()
                emit("imap.session.ended", level="debug", trace=session.trace, account=session.account)
        await session.connection.flushed()
        return None

    async def recheck(self, parked: ParkingLot[Waiting]) -> None:
        """After a change of the directory: wake the parked sessions whose credentials are no longer good."""
        for number, (fd, waiting) in enumerate(parked.records()):
            session = waiting.session
            if isinstance(session, Session) and not await self.services.authenticator.current(
                session.principal
            ):
                parked.leave(fd, "change")
            elif isinstance(session, Session):
                session.directory = self.services.views.directory
                if session.lent or (session.notifier is not None and session.notifier.follows_rights):
                    parked.leave(fd, "change")
            if number % RECHECK_SLICE == 0:
                await asyncio.sleep(0)


async def converse(session: Session) -> None:
    """Answer until the session logs out or is ended. Errors: ConnectionLost."""
    try:
        await answer_all(session)
    except Ended as error:
        goodbye(session, str(error).encode("ascii"))


async def answer_all(session: Session) -> None:
    """The same. Errors: ConnectionLost, Ended."""
    connection, framing, prompt = session.connection, session.engine, Prompt(session)
    answered = 0
    while session.state != state.LOGOUT:
        event, prompt.left = prompt.left or framing.next_event(), None
        if event is None:
            if session.notifier is not None:
                await session.notifier.wait()
            else:
                await session.attend(prompt.take)
            connection.idle = False
            if prompt.gone:
                raise ConnectionLost("the client has gone")
            continue
        if isinstance(event, engine.Command):
            event = begin(session, event.octets)
        if isinstance(event, Begun):
            await run(session, event)
        elif event is not None:
            await answer_other(session, event)
        session.end_reply()
        await session.change_layers()
        if session.full:
            await session.flush()
        answered += 1
        if answered % FAIR_COMMANDS == 0:
            await asyncio.sleep(0)


async def answer_other(session: Session, event: engine.Event) -> None:
    """What is not a whole command."""
    match event:
        case engine.GoAhead():
            session.write(b"+ OK\r\n")
        case engine.MessageStart():
            try:
                await answer_append(session, event)
            except Interrupted as error:  # while it was read over
                refuse(session, b"*", error.refused.text, fatal=error.refused.fatal)
        case engine.Refused(tag, text, fatal):
            refuse(session, tag, text, fatal=fatal)
        case _:
            raise LocalProtocolError(f"{event} outside its command")


async def run(session: Session, begun: Begun) -> None:
    """Run a command to its end: untagged responses, news of the mailbox, then the tagged line."""
    tag, command, answer = begun.tag, begun.command, begun.answer
    session.tag = tag
    try:
        if answer is None:
            if session.behind:
                await session.catch_up()
            if unread(session, command):
                await session.load()
            answer = started(session, command)
        ended = await told(session, answer)
        selected = session.selected
        news = selected is not None and (session.behind or selected.view.has_news() or updates(session))
        if (news or session.notifier is not None) and session.state != state.LOGOUT:
            await session.tell_news(expunges=command.expunges, uid=by_uid(command))
    except RemoteProtocolError as error:
        refuse(session, tag, str(error).encode("ascii", "replace"), fatal=False)
    except Interrupted as error:
        refuse(session, tag, error.refused.text, fatal=error.refused.fatal)
    except Ended as error:
        goodbye(session, str(error).encode("ascii"))
    except MailError as error:
        finish(session, tag, command, reply(error))
    else:
        finish(session, tag, command, ended)


async def told(session: Session, answer: Answer) -> Completed | Failed:
    """Send what a command says as it says it; how it ended."""
    if isinstance(answer, (Completed, Failed)):
        return answer
    if isinstance(answer, CoroutineType):
        return cast(Completed | Failed, await answer)
    ended: Completed | Failed = DONE
    labour = Labour(session.services.clock)
    async for response in cast(AsyncIterator[Response], answer):
        if isinstance(response, bytes):
            session.write(response)
            if session.full:
                await session.flush()
            if labour.over:
                await labour.rest()
        else:
            ended = response
    return ended


def begun_with(p: Parser, start: engine.MessageStart) -> Append | Replace:
    """The command a message is part of, behind its tag. Errors: BadSyntax."""
    p.space()
    word = p.keyword()
    if word == Append.name:
        return Append.begin(p, start)
    if uid := word != Replace.name:  # UID REPLACE
        p.space()
        p.keyword()
    return Replace.begin(p, start, uid=uid)


async def answer_append(session: Session, start: engine.MessageStart) -> None:
    """APPEND and REPLACE: messages come piece by piece, and are read over when it is refused."""
    p = Parser(start.octets, utf8=session.utf8)
    tag = b"*"
    try:
        tag = p.tag()
        command = begun_with(p, start)
        if not command.states & session.state:
            raise BadSyntax(f"{command.name.decode()} is not valid in {state.NAMES[session.state]} state")
        if numbers(session, command):
            raise UidRequired
        if not session.permits(command.action):
            await read_over(session)
    except RemoteProtocolError as error:
        await read_over(session)
        refuse(session, tag, str(error).encode("ascii", "replace"), fatal=False)
    else:
        await run(session, Begun(tag, command, None))
