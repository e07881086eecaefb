"""What APPEND and REPLACE share: messages that come piece by piece, and their commit, all or none.

RFC 9051 section 6.3.12, RFC 3502 (MULTIAPPEND), RFC 3516 (literal8), RFC 6855 section 4 (UTF8), RFC 8508.
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from a3mailer.access.crossing import put
from a3mailer.access.keywords import spelled
from a3mailer.access.rights import mask_of
from a3mailer.edge.imap import events
from a3mailer.edge.imap.mailboxes import may_read
from a3mailer.edge.imap.replies import NeedsUtf8, TooManyMessages
from a3mailer.edge.imap.session import Interrupted, Session
from a3mailer.mail.errors import MailError, StoreFull, TooLarge
from a3mailer.mail.event import APPEND
from a3mailer.mail.flags import ALL_FLAGS
from a3mailer.mail.message import MessageIndex, index
from a3mailer.runtime.spool import Spool, SpoolError
from a3mailer.store.operations import Appended, Noticed, Operation, Result
from a3mailer.store.ports import Content, Transaction
from a3mailer.store.rows import Mailbox
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
    utf8: bool = False
    """It is inside ``UTF8 (...)``."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was committed: where to, and what became of the messages and of ``before``."""

    target: Mailbox
    appended: tuple[Appended, ...]
    before: tuple[Result, ...]
    readable: bool

    @property
    def code(self) -> bytes:
        """``APPENDUID``; of a mailbox that the user may not read nothing is said (RFC 4315 section 3)."""
        if not self.readable:
            return b""
        return b"APPENDUID %d %b" % (self.target.uid_validity, print_set(one.uid for one in self.appended))


async def append(
    session: Session,
    mailbox: str,
    first: Appendix,
    start: MessageStart,
    *,
    most: int,
    before: Sequence[Operation] = (),
) -> Outcome:
    """Receive at most ``most`` messages and commit them, after other operations, all or none.

    Errors: MailError, RemoteProtocolError; the command was then read to its end. Interrupted."""
    spools: list[Spool] = []
    try:
        target = await session.target(mailbox)
        described = await _receive(session, spools, first, start, most)
        contents = tuple([await _content(spool) for spool in spools])
        if session.services.settings.imap.utf8_accept and not session.utf8:
            _refuse_eight_bit(contents)
        told = session.selected.noticing(target) if session.selected is not None else ()
        operations = (*before, *await _appends(session, target, described), *told)
        results = await session.services.store.commit(
            Transaction(operations, contents, session.principal.tenant)
        )
        if session.notifier is not None:
            await session.notifier.absorb(operations, results)
    except SpoolError as error:
        await read_over(session)
        raise StoreFull from error
    except (MailError, RemoteProtocolError):
        await read_over(session)
        raise
    finally:
        for spool in spools:
            spool.close()
    appended = tuple(one for one in results if isinstance(one, Appended))
    selected = session.selected
    if told and selected is not None and isinstance(results[-1], Noticed):
        selected.take(results[-1])
    if selected is not None and (selected.account, selected.mailbox) == (target.account, target.id):
        selected.view.mailbox.hint(appended[-1].modseq)
    await events.stored(session, APPEND, (target.account, target.id), [one.uid for one in appended])
    return Outcome(target, appended, results[: len(before)], await may_read(session, target))


async def _appends(session: Session, target: Mailbox, described: list[Appendix]) -> tuple[Operation, ...]:
    """To another's mailbox with those flags that its owner lets the user set."""
    mask, words = ALL_FLAGS, True
    if target.account != session.account:
        rights = session.services.rights
        mask, words = mask_of(await rights.allowed(session.principal, target.account, target.id))
    operations: list[Operation] = []
    for number, one in enumerate(described):
        bits = one.flags.bits & mask
        keywords = spelled(one.flags.keywords, target.keywords) if words else ()
        operations += put(session.account, target, number, (bits, keywords, one.date))
    return tuple(operations)


def _refuse_eight_bit(contents: Sequence[Content]) -> None:
    """RFC 6855 section 4: who has not enabled UTF8=ACCEPT (nor IMAP4rev2, RFC 9051 section 6.3.12) may not
    store such headers. Errors: NeedsUtf8.

    QUIRK: old mails have headers in Latin-1, GB 2312 ..., and mbsync, Dovecot and all the others that carry
    them here enable nothing: what is not UTF-8 is none of these headers (tests/compat/test_sync.py)."""
    for one in contents:
        header = bytes(one.octets[: one.index.header_end])
        if not header.isascii() and is_utf8(header):
            raise NeedsUtf8


def is_utf8(octets: bytes) -> bool:
    """Whether they are UTF-8."""
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True


async def _receive(
    session: Session, spools: list[Spool], first: Appendix, start: MessageStart, most: int
) -> list[Appendix]:
    """All messages into ``spools``. Errors: TooLarge, TooMany, BadSyntax, SpoolError, Interrupted."""
    described: list[Appendix] = []
    appendix, octets = first, 0
    while True:
        octets += start.size
        if start.size > session.services.settings.imap.append_size or octets > APPEND_OCTETS:
            raise TooLarge
        if len(spools) >= most:
            raise TooManyMessages if most > 1 else BadSyntax("one message takes the place of one")
        if start.size == 0:
            raise BadSyntax("a message of no octets cancels APPEND")
        if appendix.utf8 and not (session.utf8_mail and start.binary):
            raise BadSyntax("UTF8 needs literal8, and UTF8=ACCEPT to be enabled")
        described.append(appendix)
        spools.append(session.services.spool())
        await _message(session, spools[-1])
        match await session.event():
            case AppendEnd(rest):
                if _behind(rest, appendix):
                    raise BadSyntax("too many arguments")
                return described
            case MessageStart() as start:
                before = _behind(start.octets, appendix)
                appendix = parse_appendix(Parser(b" " if before == TWO_SPACES else before))
            case Refused() as refused:
                raise Interrupted(refused)
            case other:
                raise LocalProtocolError(f"{other} inside APPEND")


def _behind(octets: bytes, appendix: Appendix) -> bytes:
    """What follows a message and the parenthesis that closes UTF8. Errors: BadSyntax."""
    if not appendix.utf8:
        return octets
    if octets[:1] != b")":
        raise BadSyntax(") expected")
    return octets[1:]


# append-opts = [SP flag-list] [SP date-time]      followed by SP and the literal
# append-data =/ "UTF8" SP "(" literal8 ")"
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
    utf8 = p.octets[p.at :].upper() == b"UTF8 ("
    if not utf8:
        p.end()
    return Appendix(flags, date, utf8)


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
