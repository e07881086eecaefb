"""What each command does (RFC 1939 sections 4 to 7): at once where nothing has to be waited for.

A function of AT_ONCE answers and returns True, or False where one of WAITING has to do it.
"""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from a3mailer.access.maildrop import FAIR
from a3mailer.edge.connection import ConnectionLost
from a3mailer.edge.pop3 import capabilities, replies, texts
from a3mailer.edge.pop3.session import Session
from a3mailer.identity.principal import Principal
from a3mailer.identity.sasl.exchange import NotConfidential
from a3mailer.identity.sasl.offer import begin
from a3mailer.mail.downgrade import in_ascii
from a3mailer.mail.errors import MailError
from a3mailer.telemetry.events import Secret
from a3mailer.wire.imap.search import EMAIL_LETTER
from a3mailer.wire.pop3 import commands as c
from a3mailer.wire.pop3.engine import Event, Refused, Response
from a3mailer.wire.pop3.multiline import TopCutter, encode, encoder, top

END: Final = b".\r\n"
MAX_HEADER: Final = 1024 * 1024
"""Octets of a header that is put into ASCII for who did not say UTF8."""
_ONE: Final = EMAIL_LETTER + b"%d"
_COPY: Final = EMAIL_LETTER + b"%d.%d"


def answered(session: Session, event: Event) -> bool:
    """Answer what needs no waiting; False: ``wait`` for it."""
    kind = type(event)
    if session.suspect:
        return False
    if session.maildrop is not None:
        if kind in LOADED and not session.maildrop.loaded:
            return False
        if kind in LIVING and session.maildrop.behind:
            return False
    at_once = AT_ONCE.get(kind)
    if at_once is None:
        return False
    try:
        return at_once(session, event)
    except MailError as error:
        session.fail(replies.reply(error))
        return True


async def wait(session: Session, event: Event) -> None:
    """Answer what has to be waited for. Errors: ConnectionLost."""
    kind = type(event)
    try:
        if session.suspect:
            await session.still_stands()
        if session.maildrop is not None:
            if kind in LOADED and not session.maildrop.loaded:
                await session.maildrop.load()
            if kind in LIVING and session.maildrop.behind:
                await session.maildrop.catch_up()
        at_once = AT_ONCE.get(kind)
        if at_once is None or not at_once(session, event):
            await WAITING[kind](session, event)
    except MailError as error:
        session.exchange = None
        session.fail(replies.reply(error))


# --- any time --------------------------------------------------------------------------------------


def _refused(session: Session, event: Refused) -> bool:
    session.exchange = None
    session.refuse(event.wrong.value, fatal=event.fatal)
    return True


def _capa(session: Session, event: c.Capa) -> bool:
    if session.mechanisms is None:
        return False
    session.tell("capabilities")
    session.write(b"".join(b"%b\r\n" % line for line in capabilities.lines(session)) + END)
    return True


async def _capa_asked(session: Session, event: c.Capa) -> None:
    await session.ask_mechanisms()
    _capa(session, event)


def _lang(session: Session, event: c.Lang) -> bool:
    if event.tag is None:
        session.tell("languages")
        session.write("".join(f"{tag} {name}\r\n" for tag, name in texts.NAMES.items()).encode() + END)
        return True
    tag = texts.DEFAULT if event.tag == "*" else texts.known(event.tag)
    if tag:
        session.language = tag
        session.say(tag.encode() + b" " + texts.text("language", tag))
    else:
        session.refuse("no_language")
    return True


def _quit(session: Session, event: c.Quit) -> bool:
    drop = session.maildrop
    if drop is not None and drop.left[0] != drop.count:
        return False
    session.close()
    session.ended = True
    session.tell("bye")
    return True


async def _update(session: Session, event: c.Quit) -> None:
    """Delete, let go of the maildrop, answer: who comes back at once finds it free (RFC 1939 section 6)."""
    failed = False
    try:
        removed = await session.drop.update(session.principal.tenant)
    except MailError:
        failed = True
    session.close()
    session.ended = True
    if failed:
        session.fail(replies.KEPT)
    else:
        session.tell("updated", removed)


# --- AUTHORIZATION ---------------------------------------------------------------------------------


def _stls(session: Session, event: c.Stls) -> bool:
    if session.services.tls is None or session.connection.secure:
        session.refuse("has_tls" if session.connection.secure else "no_tls")
    elif session.utf8:
        session.refuse("late_tls")
    elif session.engine.pending:  # attack row 3: they were sent in clear
        session.refuse("injected", fatal=True)
    else:
        return False
    return True


async def _start_tls(session: Session, event: c.Stls) -> None:
    session.tell("tls")
    await session.start_tls()


def _utf8(session: Session, event: c.Utf8) -> bool:
    session.utf8 = True
    session.tell("utf8")
    return True


def _user(session: Session, event: c.User) -> bool:
    """Any name is welcome: who exists is not told (RFC 1939 section 13)."""
    if not session.context().confidential:
        raise NotConfidential("USER")
    session.login = event.name
    session.engine.accept_name()
    session.tell("name")
    return True


async def _pass(session: Session, event: c.Pass) -> None:
    began = asyncio.get_running_loop().time()
    context = session.context()
    try:
        principal = await context.authenticator.password(session.login, Secret(event.password), context.ip)
        await session.enter(principal)
    finally:
        session.forgive(asyncio.get_running_loop().time() - began)


async def _auth_list(session: Session, event: c.AuthList) -> None:
    mechanisms = await session.ask_mechanisms()
    session.tell("mechanisms")
    session.write("".join(f"{name}\r\n" for name in mechanisms).encode() + END)


async def _auth(session: Session, event: c.Auth) -> None:
    session.exchange = await begin(event.mechanism, session.context())
    await _step(session, event.initial)


async def _response(session: Session, event: Response) -> None:
    await _step(session, event.octets)


async def _step(session: Session, response: bytes | None) -> None:
    assert session.exchange is not None
    began = asyncio.get_running_loop().time()
    try:
        result = await session.exchange.step(response)
        if not isinstance(result, Principal):
            session.engine.expect_response()
            session.write(b"+ %b\r\n" % binascii.b2a_base64(result, newline=False))
            return
        session.exchange = None
        await session.enter(result)
    finally:
        session.forgive(asyncio.get_running_loop().time() - began)


# --- TRANSACTION -----------------------------------------------------------------------------------


def _stat(session: Session, event: c.Stat) -> bool:
    session.say(b"%d %d" % session.drop.left)
    return True


def _list(session: Session, event: c.List) -> bool:
    drop = session.drop
    if event.number is not None:
        session.say(b"%d %d" % (event.number, drop.size(event.number)))
        return True
    if drop.count > FAIR:
        return False
    session.tell("listing", *drop.left)
    session.write(_sizes(session, 1) + END)
    return True


async def _list_many(session: Session, event: c.List) -> None:
    session.tell("listing", *session.drop.left)
    await _in_slices(session, _sizes)


def _sizes(session: Session, first: int) -> bytes:
    return b"".join(map(b"%d %d\r\n".__mod__, session.drop.sizes(first, first + FAIR)))


def _uidl(session: Session, event: c.Uidl) -> bool:
    drop = session.drop
    if not drop.identified:
        return False
    if event.number is not None:
        email = drop.email(event.number)
        twin = drop.twin(event.number)
        session.say(b"%d " % event.number + (_COPY % (email, twin) if twin else _ONE % email))
        return True
    if drop.count > FAIR:
        return False
    session.tell("identities")
    session.write(_identities(session, 1) + END)
    return True


async def _uidl_many(session: Session, event: c.Uidl) -> None:
    if not session.drop.identified:
        await session.drop.identify()
        if _uidl(session, event):
            return
    session.tell("identities")
    await _in_slices(session, _identities)


def _identities(session: Session, first: int) -> bytes:
    drop = session.drop
    emails = drop.emails(first, first + FAIR)
    if not drop.has_twins:
        return b"".join(map((b"%d " + _ONE + b"\r\n").__mod__, emails))
    return b"".join(
        b"%d %b\r\n" % (number, _COPY % (email, twin) if (twin := drop.twin(number)) else _ONE % email)
        for number, email in emails
    )


async def _in_slices(session: Session, lines: Callable[[Session, int], bytes]) -> None:
    for first in range(1, session.drop.count + 1, FAIR):
        session.write(lines(session, first))
        await session.flush()
        await asyncio.sleep(0)
    session.write(END)


def _dele(session: Session, event: c.Dele) -> bool:
    session.require("message.expunge")
    session.drop.mark(event.number)
    session.tell("marked", event.number)
    return True


def _noop(session: Session, event: c.Noop) -> bool:
    session.tell("nothing")
    return True


def _rset(session: Session, event: c.Rset) -> bool:
    session.drop.unmark_all()
    session.tell("open", *session.drop.left)
    return True


# --- contents --------------------------------------------------------------------------------------


def _retr(session: Session, event: c.Retr) -> bool:
    octets = _at_hand(session, event.number)
    if octets is not None:
        _say_whole(session, octets)
    return octets is not None


def _top(session: Session, event: c.Top) -> bool:
    octets = _at_hand(session, event.number)
    if octets is not None:
        _say_top(session, octets, event.lines)
    return octets is not None


def _at_hand(session: Session, number: int) -> bytes | None:
    session.require("message.read")
    return session.drop.at_hand(number)


async def _retr_read(session: Session, event: c.Retr) -> None:
    if session.drop.is_large(event.number):
        await _large(session, event.number, None)
    else:
        _say_whole(session, await session.drop.content(event.number))


async def _top_read(session: Session, event: c.Top) -> None:
    if session.drop.is_large(event.number):
        await _large(session, event.number, TopCutter(event.lines))
    else:
        _say_top(session, await session.drop.content(event.number), event.lines)


def _say_whole(session: Session, octets: bytes) -> None:
    octets = octets if session.utf8 else in_ascii(octets)
    session.tell("octets", len(octets))
    session.write(encode(octets))


def _say_top(session: Session, octets: bytes, lines: int) -> None:
    session.tell("top")
    session.write(encode(top(octets if session.utf8 else in_ascii(octets), lines)))


async def _large(session: Session, number: int, cutter: TopCutter | None) -> None:
    """Piece by piece, in bounded memory. Errors: ConnectionLost where it breaks off in the middle."""
    row = await session.drop.row(number)
    encoding, begun = encoder(), False
    pieces = session.drop.pieces(row)
    try:
        async for piece in pieces if session.utf8 else _header_in_ascii(pieces):
            if not begun:
                session.tell("top") if cutter else session.tell("octets", row.size)
                begun = True
            session.write(encoding.feed(cutter.feed(piece) if cutter else piece))
            await session.flush()
            if cutter is not None and cutter.done:
                break
    except MailError as error:
        if begun:  # there is no way to say so any more
            raise ConnectionLost(f"a message could not be read to its end: {type(error).__name__}") from error
        raise
    session.write(encoding.finish())


async def _header_in_ascii(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces; those of the header come together, as far as it is not too long for that."""
    head: bytes | None = b""
    async for piece in pieces:
        if head is None:
            yield piece
        elif b"\n\r\n" in (head := head + piece) or len(head) > MAX_HEADER:
            yield in_ascii(head)
            head = None
    if head is not None:
        yield in_ascii(head)


AT_ONCE: Final[dict[type, Callable[[Session, Any], bool]]] = {
    Refused: _refused,
    c.Capa: _capa,
    c.Lang: _lang,
    c.Quit: _quit,
    c.Stls: _stls,
    c.Utf8: _utf8,
    c.User: _user,
    c.Stat: _stat,
    c.List: _list,
    c.Uidl: _uidl,
    c.Dele: _dele,
    c.Noop: _noop,
    c.Rset: _rset,
    c.Retr: _retr,
    c.Top: _top,
}
WAITING: Final[dict[type, Callable[[Session, Any], Awaitable[None]]]] = {
    c.Capa: _capa_asked,
    c.Quit: _update,
    c.Stls: _start_tls,
    c.Pass: _pass,
    c.AuthList: _auth_list,
    c.Auth: _auth,
    Response: _response,
    c.List: _list_many,
    c.Uidl: _uidl_many,
    c.Retr: _retr_read,
    c.Top: _top_read,
}
LOADED: Final = frozenset((c.List, c.Uidl, c.Retr, c.Top, c.Dele))
"""Commands about single messages: their columns are loaded first."""
LIVING: Final = frozenset((c.Retr, c.Top, c.Dele))
"""Commands that a message must still be there for."""
