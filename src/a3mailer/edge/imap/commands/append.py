"""APPEND (RFC 9051 section 6.3.12), MULTIAPPEND (RFC 3502), literal8 (RFC 3516): all messages or none."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

from a3mailer.access.crossing import put
from a3mailer.access.keywords import spelled
from a3mailer.access.rights import mask_of
from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Completed, Response
from a3mailer.edge.imap.session import Interrupted, Session
from a3mailer.mail.errors import MailError, StoreFull, TooLarge, TooMany
from a3mailer.mail.flags import ALL_FLAGS
from a3mailer.mail.message import MessageIndex, index
from a3mailer.runtime.spool import Spool, SpoolError
from a3mailer.store.operations import Appended, Operation
from a3mailer.store.ports import Content, Transaction
from a3mailer.store.rows import Mailbox
from a3mailer.wire.imap import limits
from a3mailer.wire.imap.dates import parse_date_time
from a3mailer.wire.imap.engine import AppendEnd, MessageData, MessageStart, Refused, Skipped
from a3mailer.wire.imap.errors import BadSyntax, LocalProtocolError, RemoteProtocolError
from a3mailer.wire.imap.flags import FlagList, parse_flag_list
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.sequence import print_set

INDEXED_HERE: Final = 256 * 1024
"""Larger messages are indexed in a thread, so that nobody waits for it."""
APPEND_OCTETS: Final = 256 * 1024 * 1024
"""All messages of one MULTIAPPEND."""
TWO_SPACES: Final = b"  "
"""QUIRK: imapclient's multiappend writes two between messages; RFC 3502 has one (see test_libraries.py)."""
MESSAGE_SECONDS: Final = 600.0
"""How long one message may take to arrive."""


@dataclass(frozen=True, slots=True)
class Appendix:
    """What precedes the literal of one message."""

    flags: FlagList
    date: int


@dataclass(frozen=True, slots=True)
class Append:
    name: ClassVar = b"APPEND"
    action: ClassVar = "message.append"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str
    first: Appendix
    start: MessageStart

    @classmethod
    def parse(cls, p: Parser) -> Append:
        """An APPEND that holds no message's literal: there is none that would be right."""
        raise BadSyntax("APPEND needs a literal")

    # append = "APPEND" SP mailbox 1*append-message
    # append-message = append-opts SP append-data
    @classmethod
    def begin(cls, p: Parser, start: MessageStart) -> Append:
        """Read up to the first message. Errors: BadSyntax."""
        p.space()
        mailbox = p.mailbox()
        return cls(mailbox, parse_appendix(p), start)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        spools: list[Spool] = []
        try:
            target = await session.target(self.mailbox)
            described = await self._receive(session, spools)
            contents = [await _content(spool) for spool in spools]
            appends = await self._appends(session, target, described)
            results = await session.services.store.commit(
                Transaction(appends, tuple(contents), session.principal.tenant)
            )
        except SpoolError as error:
            await read_over(session)
            raise StoreFull from error
        except (MailError, RemoteProtocolError):
            await read_over(session)
            raise
        finally:
            for spool in spools:
                spool.close()
        appended = [one for one in results if isinstance(one, Appended)]
        selected = session.selected
        if selected is not None and (selected.account, selected.mailbox) == (target.account, target.id):
            selected.view.mailbox.hint(appended[-1].modseq)
        uids = print_set(one.uid for one in appended)
        yield Completed(b"APPENDUID %d %b" % (target.uid_validity, uids))

    async def _appends(
        self, session: Session, target: Mailbox, described: list[Appendix]
    ) -> tuple[Operation, ...]:
        """To another's mailbox with those flags that its owner lets the user set."""
        foreign = target.account != session.account
        mask, words = ALL_FLAGS, True
        if foreign:
            rights = session.services.rights
            mask, words = mask_of(await rights.allowed(session.principal, target.account, target.id))
        operations: list[Operation] = []
        for number, one in enumerate(described):
            bits = one.flags.bits & mask
            keywords = spelled(one.flags.keywords, target.keywords) if words else ()
            operations += put(session.account, target, number, (bits, keywords, one.date))
        return tuple(operations)

    async def _receive(self, session: Session, spools: list[Spool]) -> list[Appendix]:
        """All messages into ``spools``. Errors: TooLarge, TooMany, BadSyntax, SpoolError, Interrupted."""
        described: list[Appendix] = []
        start, appendix = self.start, self.first
        octets = 0
        while True:
            octets += start.size
            if start.size > session.services.settings.imap.append_size or octets > APPEND_OCTETS:
                raise TooLarge
            if len(spools) >= limits.APPEND_MESSAGES:
                raise TooMany
            if start.size == 0:
                raise BadSyntax("a message of no octets cancels APPEND")
            described.append(appendix)
            spools.append(session.services.spool())
            await _message(session, spools[-1])
            match await session.event():
                case AppendEnd(rest):
                    if rest:
                        raise BadSyntax("too many arguments")
                    return described
                case MessageStart() as start:
                    before = b" " if start.octets == TWO_SPACES else start.octets
                    appendix = parse_appendix(Parser(before))
                case Refused() as refused:
                    raise Interrupted(refused)
                case other:
                    raise LocalProtocolError(f"{other} inside APPEND")


# append-opts = [SP flag-list] [SP date-time]      followed by SP and the literal
def parse_appendix(p: Parser) -> Appendix:
    """Flags and date before a literal. Errors: BadSyntax."""
    flags, date = FlagList(), 0
    p.space()
    if p.peek() == b"(":
        flags = parse_flag_list(p)
        p.space()
    if p.peek() == b'"':
        date = parse_date_time(p)
        p.space()
    p.end()
    return Appendix(flags, date)


async def _message(session: Session, spool: Spool) -> None:
    if session.engine.take_message():
        session.write(b"+ OK\r\n")
    session.allow_message(MESSAGE_SECONDS)
    while True:
        match await session.event():
            case MessageData(octets, last):
                spool.append(octets)
                if last:
                    return
            case other:
                raise LocalProtocolError(f"{other} inside a message")


async def _content(spool: Spool) -> Content:
    octets = spool.finish()
    if spool.size <= INDEXED_HERE:
        return Content(octets, index(octets))
    return Content(octets, await asyncio.to_thread(_index, octets))


def _index(octets: bytes | mmap.mmap) -> MessageIndex:
    return index(octets)


async def read_over(session: Session) -> None:
    """Let the rest of a refused APPEND pass by, up to where its answer is due. Errors: Interrupted."""
    if not session.engine.appending:
        return
    session.engine.skip_message()
    session.allow_message(MESSAGE_SECONDS)
    match await session.event():
        case Skipped():
            return
        case Refused() as refused:
            raise Interrupted(refused)
        case other:
            raise LocalProtocolError(f"{other} while APPEND is read over")
