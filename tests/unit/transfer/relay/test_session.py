"""One session out: servers that say nothing, or go on saying it, are left in the end, and the mail waits."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from a3mailer.edge.dial import dial
from a3mailer.mail.address import Address, ReversePath
from a3mailer.mail.envelope import Envelope, Recipient
from a3mailer.mail.tls import TlsLevel, TlsPlan
from a3mailer.runtime.clock import SystemClock
from a3mailer.transfer.relay import session as session_module
from a3mailer.transfer.relay.session import Manners, Session, SessionFailed
from a3mailer.wire.smtp.client import Outcome, Status

MAIL = b"From: <alice@a.test>\r\n\r\nHello.\r\n"
ENVELOPE = Envelope(ReversePath(Address("alice", "a.test")), (Recipient(Address("carol", "b.test")),))

Says = Callable[[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Event], Awaitable[None]]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "TICK_SECONDS", 0.01)


async def sent_to(says: Says) -> tuple[tuple[Outcome, ...], bool]:
    """What became of a mail that a server of this manner got; the server then hears that it is over."""
    over, gone = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await says(reader, writer, over)
        finally:
            writer.transport.abort()
            gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        wire = await dial("127.0.0.1", server.sockets[0].getsockname()[1], 5.0)
        plan = TlsPlan(TlsLevel.NEVER)
        try:
            session = await Session.open(wire, "mx.b.test", Manners("mail.a.test", None), plan, SystemClock())
            outcomes = await session.send(ENVELOPE, MAIL)
            session.close()
        finally:
            over.set()
            await gone.wait()
            await asyncio.sleep(0)  # the transport's close is called by the loop
        return outcomes


async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 x\r\n")
    await reader.readline()
    writer.write(b"250-x\r\n250 PIPELINING\r\n")


async def test_a_server_that_says_nothing_to_mail_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event) -> None:
        await greets(reader, writer)
        monkeypatch.setattr(session_module, "GREETING_SECONDS", 0.05)
        await over.wait()

    (outcome,), content = await sent_to(silent)
    assert (outcome.status, content) == (Status.TRANSIENT, False)
    assert outcome.reply.enhanced == "4.4.2" and "no reply in 0.05 s" in outcome.reply.text


async def test_a_server_that_says_nothing_to_the_content_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "FINAL_SECONDS", 0.05)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event) -> None:
        await greets(reader, writer)
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        await over.wait()

    (outcome,), content = await sent_to(silent)
    assert (outcome.status, content) == (Status.TRANSIENT, True)
    assert "no reply in 0.05 s" in outcome.reply.text


async def test_a_server_that_drips_replies_has_no_longer_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MAIL_SECONDS", 0.1)

    async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event) -> None:
        await greets(reader, writer)
        await reader.readuntil(b"DATA\r\n")
        while not over.is_set():
            writer.write(b"2")
            await asyncio.sleep(0.005)

    (outcome,), content = await sent_to(drips)
    assert (outcome.status, content) == (Status.TRANSIENT, False)
    assert "the server was too slow" in outcome.reply.text


async def test_a_server_that_takes_no_octets_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "PIECE_SECONDS", 0.05)
    monkeypatch.setattr(f"{__name__}.MAIL", MAIL + b"x\r\n" * (16 << 20))

    async def full(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event) -> None:
        await greets(reader, writer)
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        await over.wait()

    (outcome,), content = await sent_to(full)
    assert (outcome.status, content) == (Status.TRANSIENT, True)
    assert "while the content was sent" in outcome.reply.text


async def test_a_server_without_a_greeting_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "GREETING_SECONDS", 0.05)

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event) -> None:
        await over.wait()

    with pytest.raises(SessionFailed, match="no reply in"):
        await sent_to(mute)
