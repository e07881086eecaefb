"""One SMTP session out: the client engine on a connection that a Dialer gave (RFC 5321 section 4.5.3.2).

Every wait has its deadline; whatever ends a session early leaves the recipients it has not answered for to
be tried again (``wire/smtp/client.py`` says how).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any, Final, Protocol, TypeAlias

from a3mailer.mail.address import Address, ReversePath
from a3mailer.mail.envelope import Body, Envelope, Recipient
from a3mailer.mail.tls import TlsLevel, TlsPlan
from a3mailer.msgauth.dane import Verdict, verify
from a3mailer.runtime.clock import Clock
from a3mailer.transfer.outgoing import NotConvertible, prepare
from a3mailer.transfer.signing import Sign
from a3mailer.transfer.trace import without_return_path
from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.smtp.client import (
    ClientEngine,
    ClientEvent,
    Ended,
    Finished,
    Login,
    Outcome,
    Outgoing,
    Ready,
    SendContent,
    Status,
    TlsUse,
)
from a3mailer.wire.smtp.content import encode_data, in_pieces
from a3mailer.wire.smtp.remote import RemoteReply, ours

CONNECT_SECONDS: Final = 30.0
GREETING_SECONDS: Final = 300.0
"""For the greeting and for every other reply but the last (RFC 5321 section 4.5.3.2.1 to 4.5.3.2.4)."""
OPENING_SECONDS: Final = 900.0
"""For greeting, EHLO, TLS and login in all: a server that drips a reply holds nobody for days."""
PIECE_SECONDS: Final = 180.0
"""For a piece of content to leave (section 4.5.3.2.5)."""
FINAL_SECONDS: Final = 600.0
"""For the reply to the end of the content (section 4.5.3.2.6)."""
MAIL_SECONDS: Final = 3600.0
"""For one mail in all: a server that drips replies does not hold us longer."""
QUIT_SECONDS: Final = 2.0
MOST_SECONDS: Final = 999_999_999
"""What a by-time has room for (RFC 2852 section 4)."""
TICK_SECONDS: Final = 5.0
"""How late a deadline may be noticed: a timer for each wait would cost more than the wait."""
LARGE: Final = 256 * 1024
"""Octets above which a mail is prepared outside the event loop."""


USES: Final = {
    TlsLevel.NEVER: TlsUse.NEVER,
    TlsLevel.MAY: TlsUse.MAY,
    TlsLevel.MUST: TlsUse.MUST,
    TlsLevel.STS: TlsUse.MUST,
    TlsLevel.DANE: TlsUse.MUST,
}
"""What a demand means for STARTTLS."""
VERDICTS: Final = {10: "certificate-expired", 62: "certificate-host-mismatch"}
"""OpenSSL's X509_V_ERR_*, in words of RFC 8460 section 4.3; any other one: certificate-not-trusted."""

WRONG: Final = {
    Verdict.NO_CERTIFICATE: "TLS: the server shows no certificate, against",
    Verdict.NO_MATCH: "TLS: the server's certificate fits none of",
    Verdict.NOT_VALID: "TLS: the server's certificate is not valid for its name now, by the authority of",
}
"""In words, before where the demand comes from."""

TlsContext: TypeAlias = Any
"""An ``ssl.SSLContext``: made in ``edge``, handed through here unseen."""


TlsTicket: TypeAlias = Any
"""An ``ssl.SSLSession`` to begin the next connection's TLS with, or None; handed through unseen, too."""


class Wire(Protocol):
    """What ``edge.connection.Connection`` offers; its losses are ConnectionError."""

    @property
    def tls(self) -> str: ...
    @property
    def local(self) -> tuple[str, int]: ...
    @property
    def certificates(self) -> tuple[bytes, ...]: ...
    @property
    def tls_ticket(self) -> TlsTicket: ...
    async def read(self) -> bytes: ...
    def write(self, octets: bytes | memoryview) -> None: ...
    def expire(self) -> None: ...
    async def drain(self) -> None: ...
    async def flushed(self) -> None: ...
    async def start_tls_client(self, context: TlsContext, name: str, ticket: TlsTicket = None) -> None: ...
    def close(self) -> None: ...


class Dialer(Protocol):
    """Opens connections; ``edge.dial.dial`` is the one. Errors: ConnectionError, in words."""

    async def __call__(self, address: str, port: int, seconds: float, source: str = "") -> Wire: ...


@dataclass(frozen=True, slots=True)
class Manners:
    """How we behave as a client."""

    hostname: str
    context: TlsContext
    """Encrypts to whoever answers."""
    lmtp: bool = False
    verifying: TlsContext = None
    """Verifies chain and name."""
    login: Login | None = field(default=None, repr=False)


class SessionFailed(Exception):
    """No mail was or will be sent in this session. ``reply`` is theirs, or ours about them."""

    def __init__(self, reply: RemoteReply, *, in_tls: bool = False, verdict: str = "") -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.in_tls = in_tls
        """It failed in STARTTLS: without, it may go better."""
        self.verdict = verdict
        """What was wrong with TLS, as a result type of RFC 8460 section 4.3."""


_UNSENT: Final = Outcome(Status.TRANSIENT, ours("4.4.2", "the session ended before the mail"))


def seconds_left(envelope: Envelope, now: float) -> int:
    """Until a mail has to be there; beyond it less than nothing (RFC 2852 section 4.1.4)."""
    return max(-MOST_SECONDS, min(envelope.deliver_by - int(now), MOST_SECONDS)) if envelope.by_mode else 0


class Session:
    """Open until ``closed``; one mail at a time."""

    __slots__ = (
        "_clock",
        "_content_sent",
        "_engine",
        "_last",
        "_loop",
        "_mail_until",
        "_name",
        "_overdue",
        "_tick",
        "_ticket",
        "_until",
        "_wire",
        "closed",
        "idle_since",
        "mails",
        "plan",
    )

    def __init__(self, wire: Wire, engine: ClientEngine, name: str, clock: Clock, plan: TlsPlan) -> None:
        self._wire = wire
        self._engine = engine
        self._name = name
        self._clock = clock
        self.plan = plan
        """What was demanded of its TLS, and given."""
        self._ticket: TlsTicket = None
        self._last: tuple[Outcome, ...] = ()
        self._content_sent = False
        self._loop = asyncio.get_running_loop()
        self._until = self._mail_until = inf
        """When the wait in progress, and the mail in hand, have taken too long; the loop's time."""
        self._overdue = False
        self._tick = self._loop.call_later(TICK_SECONDS, self._look_at_time)
        self.closed = False
        self.mails = 0
        self.idle_since = 0.0

    @classmethod
    async def open(
        cls,
        wire: Wire,
        host: str,
        manners: Manners,
        plan: TlsPlan,
        clock: Clock,
        ticket: TlsTicket = None,
    ) -> Session:
        """Greeting, EHLO, and STARTTLS as ``plan`` demands. Errors: SessionFailed."""
        engine = ClientEngine(manners.hostname, tls=USES[plan.level], lmtp=manners.lmtp, login=manners.login)
        session = cls(wire, engine, host, clock, plan)
        session._ticket = ticket
        try:
            async with asyncio.timeout(OPENING_SECONDS):
                await session._greet(manners.verifying if plan.level is TlsLevel.STS else manners.context)
        except TimeoutError as error:
            session.close()
            text = f"the server was not ready for a mail in {OPENING_SECONDS:g} s"
            raise SessionFailed(ours("4.4.2", text)) from error
        except BaseException:
            session.close()
            raise
        return session

    def _look_at_time(self) -> None:
        self._tick = self._loop.call_later(TICK_SECONDS, self._look_at_time)
        if self._loop.time() >= self._until:
            self._overdue = True
            self._wire.expire()

    def _too_slow(self, seconds: float) -> str:
        if self._loop.time() >= self._mail_until:
            return "the server was too slow"
        return f"no reply in {seconds:g} s"

    async def _greet(self, context: TlsContext) -> None:
        in_tls = False
        while not isinstance(event := await self._next(GREETING_SECONDS), Ready):
            if isinstance(event, Ended):
                await self._hear_goodbye()
                refused = self._engine.tls_refused
                verdict = "starttls-not-supported" if refused else ""
                raise SessionFailed(event.reply, in_tls=in_tls or refused, verdict=verdict)
            in_tls = True
            await self._handshake(context)

    async def _handshake(self, context: TlsContext) -> None:
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                name = self.plan.server_name or self._name
                await self._wire.start_tls_client(context, name, self._ticket)
        except (OSError, TimeoutError) as error:
            reply = ours("4.7.5", f"{str(error) or 'TLS: too slow'}")
            code = getattr(error.__cause__, "verify_code", 0)
            verdict = VERDICTS.get(code, "certificate-not-trusted" if code else "validation-failure")
            raise SessionFailed(reply, in_tls=True, verdict=verdict) from error
        if self.plan.level is TlsLevel.DANE:
            await self._compare()
        self._engine.secured()

    async def _compare(self) -> None:
        """The certificates with the TLSA records; nothing was said under them yet. Errors: SessionFailed."""
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        verdict = await asyncio.to_thread(verify, self.plan, self._wire.certificates, now)
        if verdict is not Verdict.MATCH:
            reply = ours("4.7.5", f"{WRONG[verdict]} {self.plan.reason}")
            self._engine.refuse()
            self._wire.write(self._engine.octets_to_send())
            await self._hear_goodbye()
            raise SessionFailed(reply, in_tls=True, verdict=verdict.value)

    async def _hear_goodbye(self) -> None:
        """The answer to QUIT should be waited for (RFC 5321 section 4.1.1.10): QUIT_SECONDS at most."""
        if self._engine.said_quit:
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(QUIT_SECONDS):
                    await self._wire.read()

    @property
    def confirms(self) -> bool:
        """The server speaks DSN: it takes over what a sender wants to be told."""
        return "DSN" in self._engine.features

    @property
    def times(self) -> bool:
        """The server takes over by when a mail has to be there (RFC 2852)."""
        return "DELIVERBY" in self._engine.features

    @property
    def requires_tls(self) -> bool:
        """The server hands TLS as a demand on (RFC 8689)."""
        return self._engine.secure and "REQUIRETLS" in self._engine.features

    @property
    def recipients_max(self) -> int:
        """Recipients one transaction may have."""
        return self._engine.recipients_max

    @property
    def spent(self) -> bool:
        """The server takes no further mail in this session (RFC 9422 MAILMAX)."""
        most = self._engine.mails_max
        return self.closed or (0 < most <= self.mails)

    @property
    def tls(self) -> str:
        """Protocol and cipher, empty without."""
        return self._wire.tls

    @property
    def ticket(self) -> TlsTicket:
        """What the next session with this host may begin its TLS with; None for nothing."""
        return self._wire.tls_ticket

    async def send(
        self, envelope: Envelope, octets: bytes, sign: Sign | None = None
    ) -> tuple[tuple[Outcome, ...], bool]:
        """One transaction: (an outcome a recipient, whether content was sent). Errors are outcomes."""
        self.mails += 1
        self._last = (_UNSENT,) * len(envelope.recipients)
        self._content_sent = False
        self._mail_until = self._loop.time() + MAIL_SECONDS
        try:
            content, mail = await self._outgoing(envelope, octets, sign)
            self._engine.send(mail)
            await self._converse(content)
        except NotConvertible as error:
            self._last = (Outcome(Status.PERMANENT, ours("5.6.3", str(error))),) * len(envelope.recipients)
        except BaseException:
            self.close()
            raise
        self._mail_until = inf
        self.idle_since = self._clock.monotonic()
        return self._last, self._content_sent

    async def ask(self, reverse_path: ReversePath, forward_path: Address) -> Outcome:
        """What the server says to a recipient, without a mail; errors are outcomes. Set a time."""
        self._last = (Outcome(Status.TRANSIENT, ours("4.4.2", "the session ended before the question")),)
        envelope = Envelope(reverse_path, (Recipient(forward_path),))
        try:
            self._engine.send(Outgoing(envelope, 0, eight_bit=False, asking=True))
            await self._converse(b"")
        except BaseException:
            self.close()
            raise
        return self._last[0]

    async def _converse(self, content: bytes) -> None:
        """Until the server waits for the next mail, or the session is over."""
        while not self.closed:
            event = await self._next(FINAL_SECONDS if self._content_sent else GREETING_SECONDS)
            if isinstance(event, SendContent):
                self._content_sent = True
                await self._send_content(content, event)
            elif isinstance(event, Finished):
                self._last = event.outcomes
            elif isinstance(event, Ended):
                self.close()
            elif isinstance(event, Ready):
                return

    async def _outgoing(self, envelope: Envelope, octets: bytes, sign: Sign | None) -> tuple[bytes, Outgoing]:
        """The content in the form this server takes, and what to say of it. Errors: NotConvertible."""
        features = self._engine.features
        left = seconds_left(envelope, self._clock.now())
        if envelope.body is Body.BINARY and "BINARYMIME" in features and "CHUNKING" in features:
            raw = without_return_path(octets)
            eight = not raw.isascii()
            return raw, Outgoing(envelope, len(raw), eight, envelope.smtputf8, binary=True, by_seconds=left)
        eight_bit_ok = "8BITMIME" in features
        if len(octets) < LARGE:
            content = prepare(octets, eight_bit_ok=eight_bit_ok)
        else:
            content = await asyncio.to_thread(prepare, octets, eight_bit_ok=eight_bit_ok)
        if sign is not None:
            content = await sign(content)
        eight_bit = eight_bit_ok and not content.isascii()
        return content, Outgoing(envelope, len(content), eight_bit, envelope.smtputf8, by_seconds=left)

    async def _send_content(self, content: bytes, event: SendContent) -> None:
        first = True
        try:
            for piece in in_pieces(content) if event.binary else encode_data(in_pieces(content)):
                if not first:
                    async with asyncio.timeout(min(PIECE_SECONDS, self._mail_until - self._loop.time())):
                        await self._wire.drain()
                first = False
                self._wire.write(piece)
            self._engine.content_sent()
        except (ConnectionError, TimeoutError) as error:
            self._engine.lost(f"while the content was sent: {str(error) or 'too slow'}")

    async def _next(self, seconds: float) -> ClientEvent:
        """The next event; a session that ends says so in an Ended."""
        engine = self._engine
        while True:
            try:
                event = engine.next_event()
            except RemoteProtocolError:
                continue  # once: Ended follows
            if out := engine.octets_to_send():
                self._wire.write(out)
            if event is not None:
                return event
            self._until = min(self._loop.time() + seconds, self._mail_until)
            try:
                octets = await self._wire.read()
            except ConnectionError as error:
                engine.lost(self._too_slow(seconds) if self._overdue else str(error) or "lost")
                continue
            finally:
                self._until = inf
            if octets:
                engine.receive(octets)
            else:
                engine.lost("the server closed the connection")

    async def quit(self) -> None:
        """End it politely; the answer is waited for no longer than QUIT_SECONDS."""
        if self.closed:
            return
        self._engine.quit()
        try:
            async with asyncio.timeout(QUIT_SECONDS):
                while not isinstance(await self._next(QUIT_SECONDS), Ended):
                    pass
        except TimeoutError:
            pass
        finally:
            self.close()

    def leave(self) -> None:
        """Say QUIT and do not wait for the answer."""
        if not self.closed:
            self._engine.quit()
            self._wire.write(self._engine.octets_to_send())
            self.close()

    def close(self) -> None:
        """Let go of the connection."""
        if not self.closed:
            self.closed = True
            self._tick.cancel()
            self._wire.close()
