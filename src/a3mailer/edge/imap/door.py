"""The IMAP door (RFC 9051, RFC 3501): one conversation at a time, from greeting to BYE."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from a3mailer.edge.connection import Connection, Draining
from a3mailer.edge.imap.command import Command
from a3mailer.edge.imap.commands import COMMANDS
from a3mailer.edge.imap.commands.append import Append, read_over
from a3mailer.edge.imap.commands.idle import Idle
from a3mailer.edge.imap.replies import reply
from a3mailer.edge.imap.response import DONE, Completed, Failed
from a3mailer.edge.imap.services import Services
from a3mailer.edge.imap.session import AtRest, Ended, Interrupted, Session
from a3mailer.edge.imap.state import State
from a3mailer.edge.listener import Waiting
from a3mailer.edge.park import Parked, ParkingLot
from a3mailer.identity.principal import SERVER
from a3mailer.identity.roles import action, allow
from a3mailer.mail.errors import MailError
from a3mailer.telemetry import metrics
from a3mailer.telemetry.events import emit
from a3mailer.wire.imap import engine
from a3mailer.wire.imap.errors import BadSyntax, LocalProtocolError, RemoteProtocolError, UnknownCharset
from a3mailer.wire.imap.parser import Parser

RECHECK_SLICE: Final = 100
"""Parked sessions looked at before others get their turn."""
BAD_COMMANDS: Final = 20
"""Refused commands before the session of a stranger ends."""
BAD_COMMANDS_OF_USERS: Final = 1000
TABLE: Final[dict[bytes, type[Command]]] = {each.name: each for each in COMMANDS}
RULES: Final = {each.name: action(each.action) for each in COMMANDS}
"""Every command's rule exists, or this module cannot be imported."""


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
        return await self._attend(session, run(session, session.tag, Idle(resumed=True)))

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
            if number % RECHECK_SLICE == 0:
                await asyncio.sleep(0)


async def converse(session: Session) -> None:
    """Answer until the session logs out or is ended. Errors: ConnectionLost."""
    while session.state is not State.LOGOUT:
        session.connection.idle = not session.engine.pending
        event = await session.event()
        session.connection.idle = False
        match event:
            case engine.Command(octets):
                await answer(session, octets)
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
        if session.secures:
            await session.start_tls()
        elif session.full:
            await session.flush()


def refuse(session: Session, tag: bytes, text: bytes, *, fatal: bool) -> None:
    """BAD, or BYE and the end."""
    metrics.count("a3_imap_commands_total", "bad")
    session.bad += 1
    known = session.state is not State.NOT_AUTHENTICATED
    if fatal or session.bad > (BAD_COMMANDS_OF_USERS if known else BAD_COMMANDS):
        session.write(b"* BYE %b\r\n" % (text if fatal else b"too many bad commands"))
        session.state = State.LOGOUT
        emit("imap.session.refused", level="warning", trace=session.trace, reason=text.decode("ascii"))
    else:
        session.write(b"%b BAD %b\r\n" % (tag, text))


async def answer(session: Session, octets: bytes) -> None:
    """Parse and run one command, and write its tagged answer."""
    p = Parser(octets, utf8=session.rev2)
    tag = b"*"
    try:
        tag = p.tag()
        p.space()
        command = parse(session, p)
    except UnknownCharset as error:
        session.write(b"%b NO [BADCHARSET (US-ASCII UTF-8)] %b\r\n" % (tag, str(error).encode()))
        return
    except RemoteProtocolError as error:
        refuse(session, tag, str(error).encode("ascii", "replace"), fatal=False)
        return
    await run(session, tag, command)


def parse(session: Session, p: Parser) -> Command:
    """The command, if it exists and is valid in this state. Errors: RemoteProtocolError."""
    kind = TABLE.get(p.keyword())
    if kind is None:
        raise BadSyntax("unknown command")
    if not kind.states & session.state:
        state = session.state.name or ""
        raise BadSyntax(f"{kind.name.decode()} is not valid in {state.lower().replace('_', ' ')} state")
    return kind.parse(p)


def allowed(session: Session, command: Command) -> bool:
    """The one place where every command's permission is asked."""
    object = SERVER if session.state is State.NOT_AUTHENTICATED else session.own
    return allow(session.principal, command.action, object)


async def run(session: Session, tag: bytes, command: Command) -> None:
    """Run a parsed command: untagged responses, news of the mailbox, then the tagged line."""
    session.tag = tag
    try:
        await session.still_stands()
        await session.catch_up()
        ended = await act(session, command)
        if session.selected is not None:
            await session.tell_news(expunges=command.expunges)
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


async def act(session: Session, command: Command) -> Completed | Failed:
    """Ask for permission, run, and send what is said on the way."""
    ended: Completed | Failed = DONE
    if not allowed(session, command):
        return Failed(b"NOPERM", b"not permitted")
    async for response in command.run(session):
        if isinstance(response, bytes):
            session.write(response)
            if session.full:
                await session.flush()
        else:
            ended = response
    return ended


def finish(session: Session, tag: bytes, command: Command, ended: Completed | Failed) -> None:
    """The tagged OK or NO."""
    code = b"[%b] " % ended.code if ended.code else b""
    stranger = session.state is State.NOT_AUTHENTICATED
    if isinstance(ended, Completed):
        if not stranger:
            session.bad = 0
        metrics.count("a3_imap_commands_total", "ok")
        session.write(b"%b OK %b%b\r\n" % (tag, code, ended.text or command.name + b" completed"))
    else:
        metrics.count("a3_imap_commands_total", "no")
        session.write(b"%b NO %b%b\r\n" % (tag, code, ended.text))
        session.bad += stranger
        if session.bad > BAD_COMMANDS and stranger:
            goodbye(session, b"too many failures")


def goodbye(session: Session, text: bytes) -> None:
    """End the session from our side."""
    session.write(b"* BYE %b\r\n" % text)
    session.state = State.LOGOUT


async def answer_append(session: Session, start: engine.MessageStart) -> None:
    """APPEND: its messages come piece by piece, and are read over when it is refused."""
    p = Parser(start.octets, utf8=session.rev2)
    tag = b"*"
    try:
        tag = p.tag()
        p.space()
        p.keyword()
        command = Append.begin(p, start)
        if not allowed(session, command):
            await read_over(session)
    except RemoteProtocolError as error:
        await read_over(session)
        refuse(session, tag, str(error).encode("ascii", "replace"), fatal=False)
    else:
        await run(session, tag, command)
