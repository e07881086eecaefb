"""What each command does (RFC 5804 section 2). Errors of all: MailError (NO)."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Awaitable, Callable
from typing import Any, Final

from a3mailer.access.scripts import check_name, checked
from a3mailer.edge.managesieve import replies
from a3mailer.edge.managesieve.session import Session
from a3mailer.identity.principal import Principal
from a3mailer.identity.sasl.exchange import BadExchange
from a3mailer.identity.sasl.offer import begin
from a3mailer.mail.errors import BadScript, MailError, TooLarge
from a3mailer.wire.managesieve import commands as c
from a3mailer.wire.managesieve import engine
from a3mailer.wire.managesieve.encode import literal, response, string

EMPTY: Final = "a script of no octets"


async def answer(session: Session, event: engine.Event) -> None:
    """Answer one event. Errors: ConnectionLost."""
    if isinstance(event, engine.Refused):
        session.exchange = None
        session.refuse(event.text, fatal=event.fatal)
        return
    if not await session.still_stands():
        session.bye("these credentials are no longer valid")
        return
    try:
        await ANSWERS[type(event)](session, event)
    except MailError as error:
        session.exchange = None
        session.no(replies.reply(error))


async def _too_large(session: Session, event: engine.TooLarge) -> None:
    """A quota is what is kept: to check a script is not to be compared with it (section 2.12)."""
    text = f"a script has at most {session.services.scripts.largest} octets"
    if event.keyword == b"PUTSCRIPT":
        raise TooLarge(text)
    session.no(response(b"NO", text))


# --- in any state ----------------------------------------------------------------------------------


async def _capability(session: Session, event: c.Capability) -> None:
    session.connection.write(await session.capabilities())
    session.ok("capabilities")


async def _noop(session: Session, event: c.Noop) -> None:
    session.ok("done", b"" if event.tag is None else b"TAG " + string(event.tag))


async def _logout(session: Session, event: c.Logout) -> None:
    session.ok("bye")
    session.ended = True


# --- before the login ------------------------------------------------------------------------------


async def _starttls(session: Session, event: c.StartTls) -> None:
    if session.services.tls is None or session.connection.secure:
        session.refuse("TLS is active already" if session.connection.secure else "there is no TLS here")
    elif session.engine.pending:  # attack row 3: they were sent in clear
        session.refuse("octets after STARTTLS", fatal=True)
    else:
        session.ok("begin TLS now")
        await session.start_tls()
        session.connection.write(await session.capabilities())
        session.ok("TLS is active")


async def _authenticate(session: Session, event: c.Authenticate) -> None:
    session.exchange = await begin(event.mechanism, session.context())
    await _step(session, None if event.initial is None else _decoded(event.initial))


async def _response(session: Session, event: engine.Response) -> None:
    if session.exchange is None:
        session.refuse("no exchange is going on")
    elif event.octets == b"*":
        session.exchange = None
        session.refuse("authentication cancelled")
    else:
        await _step(session, _decoded(event.octets))


def _decoded(octets: bytes) -> bytes:
    try:
        return binascii.a2b_base64(octets, strict_mode=True) if octets else b""
    except binascii.Error as error:
        raise BadExchange("not Base64") from error


async def _step(session: Session, octets: bytes | None) -> None:
    assert session.exchange is not None
    began = asyncio.get_running_loop().time()
    try:
        result = await session.exchange.step(octets)
    finally:
        session.forgive(asyncio.get_running_loop().time() - began)
    if isinstance(result, Principal):
        session.exchange = None
        session.enter(result)
        session.ok("logged in")
    else:
        session.engine.expect_response()
        session.connection.write(string(binascii.b2a_base64(result, newline=False)) + b"\r\n")


# --- after the login -------------------------------------------------------------------------------


async def _unauthenticate(session: Session, event: c.Unauthenticate) -> None:
    session.leave()
    session.ok("logged out")


async def _havespace(session: Session, event: c.HaveSpace) -> None:
    session.require("sieve.list")
    if not event.size:
        raise BadScript(EMPTY)
    await session.services.scripts.check_space(session.principal.account, event.name, event.size)
    session.ok("there is space")


async def _putscript(session: Session, event: c.PutScript) -> None:
    session.require("sieve.change")
    services = session.services
    if not event.script:
        raise BadScript(EMPTY)
    await services.scripts.put(session.principal.account, event.name, event.script, int(services.clock.now()))
    session.ok("kept")


async def _checkscript(session: Session, event: c.CheckScript) -> None:
    session.require("sieve.list")
    checked(event.script)
    session.ok("the script is valid")


async def _listscripts(session: Session, event: c.ListScripts) -> None:
    session.require("sieve.list")
    roll = await session.services.scripts.roll(session.principal.account)
    for each in roll.scripts:
        active = b" ACTIVE" if each.id == roll.active else b""
        session.connection.write(string(each.name.encode()) + active + b"\r\n")
    session.ok("scripts")


async def _setactive(session: Session, event: c.SetActive) -> None:
    session.require("sieve.change")
    name = check_name(event.name) if event.name else ""
    await session.services.scripts.activate(session.principal.account, name)
    session.ok("active" if name else "no script is active")


async def _getscript(session: Session, event: c.GetScript) -> None:
    session.require("sieve.list")
    octets = await session.services.scripts.get(session.principal.account, check_name(event.name))
    session.connection.write(literal(octets) + b"\r\n")
    session.ok("the script")


async def _deletescript(session: Session, event: c.DeleteScript) -> None:
    session.require("sieve.change")
    await session.services.scripts.delete(session.principal.account, check_name(event.name))
    session.ok("deleted")


async def _renamescript(session: Session, event: c.RenameScript) -> None:
    session.require("sieve.change")
    await session.services.scripts.rename(session.principal.account, check_name(event.old), event.new)
    session.ok("renamed")


ANSWERS: Final[dict[type, Callable[[Session, Any], Awaitable[None]]]] = {
    engine.TooLarge: _too_large,
    engine.Response: _response,
    c.Capability: _capability,
    c.Noop: _noop,
    c.Logout: _logout,
    c.StartTls: _starttls,
    c.Authenticate: _authenticate,
    c.Unauthenticate: _unauthenticate,
    c.HaveSpace: _havespace,
    c.PutScript: _putscript,
    c.CheckScript: _checkscript,
    c.ListScripts: _listscripts,
    c.SetActive: _setactive,
    c.GetScript: _getscript,
    c.DeleteScript: _deletescript,
    c.RenameScript: _renamescript,
}
