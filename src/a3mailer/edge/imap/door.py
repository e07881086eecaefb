"""The IMAP door (RFC 9051, RFC 3501): one conversation at a time, from greeting to BYE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from types import CoroutineType
from typing import Final, cast

from a3mailer.edge.connection import Connection, Draining
from a3mailer.edge.imap import state
from a3mailer.edge.imap.command import Command
from a3mailer.edge.imap.commands import COMMANDS
from a3mailer.edge.imap.commands.append import Append, read_over
from a3mailer.edge.imap.commands.idle import Idle
from a3mailer.edge.imap.replies import reply
from a3mailer.edge.imap.response import DONE, SILENT, Completed, Failed, Response
from a3mailer.edge.imap.services import Services
from a3mailer.edge.imap.session import AtRest, Ended, Interrupted, Session
from a3mailer.edge.listener import Waiting
from a3mailer.edge.park import Parked, ParkingLot
from a3mailer.identity.roles import action
from a3mailer.mail.errors import MailError
from a3mailer.telemetry import metrics
from a3mailer.telemetry.events import emit
from a3mailer.wire.imap import engine, limits
from a3mailer.wire.imap.errors import BadSyntax, LocalProtocolError, RemoteProtocolError, UnknownCharset
from a3mailer.wire.imap.parser import TAG_CHARS, Parser

RECHECK_SLICE: Final = 100
"""Parked sessions looked at before others get their turn."""
BAD_COMMANDS: Final = 20
"""Refused commands before the session of a stranger ends."""
BAD_COMMANDS_OF_USERS: Final = 1000
FAIR_COMMANDS: Final = 16
"""Commands answered before others get their turn."""
NOT_PERMITTED: Final = Failed(b"NOPERM", b"not permitted")
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
    connection, framing = session.connection, session.engine
    answered = 0
    while session.state != state.LOGOUT:
        event = framing.next_event()
        if event is None:
            connection.idle = not framing.pending
            await session.receive()
            connection.idle = False
            continue
        if isinstance(event, engine.Command):
            await answer(session, event.octets)
        else:
            await answer_other(session, event)
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


def refuse(session: Session, tag: bytes, text: bytes, *, fatal: bool) -> None:
    """BAD, or BYE and the end."""
    metrics.count("a3_imap_commands_total", "bad")
    session.bad += 1
    known = session.state != state.NOT_AUTHENTICATED
    if fatal or session.bad > (BAD_COMMANDS_OF_USERS if known else BAD_COMMANDS):
        session.write(b"* BYE %b\r\n" % (text if fatal else b"too many bad commands"))
        session.state = state.LOGOUT
        emit("imap.session.refused", level="warning", trace=session.trace, reason=text.decode("ascii"))
    else:
        session.write(b"%b BAD %b\r\n" % (tag, text))


async def answer(session: Session, octets: bytes) -> None:
    """Parse and run one command, and write its tagged answer."""
    space = octets.find(b" ")
    tag = octets[:space]
    after = octets.find(b" ", space + 1)
    kind = TABLE.get((octets[space + 1 :] if after < 0 else octets[space + 1 : after]).upper())
    p = Parser(octets, utf8=session.rev2, at=len(octets) if after < 0 else after)
    try:
        if kind is None or space <= 0 or tag.translate(None, TAG_CHARS) or space > limits.TAG_LENGTH:
            p.at, tag = 0, b"*"
            tag = p.tag()
            kind = named(p)
        if not kind.states & session.state:
            raise BadSyntax(f"{kind.name.decode()} is not valid in {state.NAMES[session.state]} state")
        command = kind.parse(p)
    except UnknownCharset as error:
        session.write(b"%b NO [BADCHARSET (US-ASCII UTF-8)] %b\r\n" % (tag, str(error).encode()))
    except RemoteProtocolError as error:
        refuse(session, tag, str(error).encode("ascii", "replace"), fatal=False)
    else:
        await run(session, tag, command)
    if session.secures:
        await session.start_tls()


def named(p: Parser) -> type[Command]:
    """The command whose name follows the tag. Errors: BadSyntax."""
    p.space()
    kind = TABLE.get(p.keyword())
    if kind is None:
        raise BadSyntax("unknown command")
    return kind


async def run(session: Session, tag: bytes, command: Command) -> None:
    """Run a parsed command: untagged responses, news of the mailbox, then the tagged line."""
    session.tag = tag
    try:
        if session.behind:
            await session.catch_up()
        ended = await act(session, command)
        selected = session.selected
        if selected is not None and (session.behind or selected.view.has_news()):
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
    """Ask for permission, run, send what is said as it is said; how it ended."""
    if not session.permits(command.action):
        return NOT_PERMITTED
    answer = command.run(session)
    if answer is SILENT:
        return DONE
    if isinstance(answer, CoroutineType):
        return cast(Completed | Failed, await answer)
    ended: Completed | Failed = DONE
    async for response in cast(AsyncIterator[Response], answer):
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
    stranger = session.state == state.NOT_AUTHENTICATED
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
    session.state = state.LOGOUT


async def answer_append(session: Session, start: engine.MessageStart) -> None:
    """APPEND: its messages come piece by piece, and are read over when it is refused."""
    p = Parser(start.octets, utf8=session.rev2)
    tag = b"*"
    try:
        tag = p.tag()
        p.space()
        p.keyword()
        command = Append.begin(p, start)
        if not session.permits(command.action):
            await read_over(session)
    except RemoteProtocolError as error:
        await read_over(session)
        refuse(session, tag, str(error).encode("ascii", "replace"), fatal=False)
    else:
        await run(session, tag, command)
