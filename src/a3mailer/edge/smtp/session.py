"""The SMTP door (RFC 5321, RFC 6409, RFC 2033): events become use cases, errors become replies.

One ``SmtpDoor`` serves all connections of a worker; one ``_Conversation`` holds what a connection knows.
Reading stops while a mail is committed, so what the client pipelines waits in the kernel and is answered
in its order. All waiting has a deadline: a command ``smtp.command_seconds`` from the last reply, a content
``smtp.data_seconds`` in all, however many octets trickle in between.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import mmap
import ssl
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from a3mailer.config.tree import Settings
from a3mailer.edge.connection import Connection, ConnectionLost, Draining
from a3mailer.edge.login import confidential, context_of
from a3mailer.edge.smtp import replies as say
from a3mailer.edge.smtp.profiles import Profile
from a3mailer.edge.smtp.unheard import Unheard
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.principal import ANONYMOUS, SERVER, Object, Principal
from a3mailer.identity.roles import action, require
from a3mailer.identity.sasl.exchange import Context, Exchange
from a3mailer.identity.sasl.offer import begin, offered
from a3mailer.mail.address import NULL_PATH
from a3mailer.mail.envelope import Client, Envelope, Recipient
from a3mailer.mail.errors import MailError, NotAllowed, StoreFull, TooLarge, TryLater
from a3mailer.runtime.clock import SYSTEM, Clock
from a3mailer.runtime.spool import Spool, SpoolError
from a3mailer.telemetry.events import emit, redact_address
from a3mailer.telemetry.metrics import count, observe
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.policy.stages import Facts, Stage
from a3mailer.transfer.promise import offered as offered_promises
from a3mailer.transfer.promise import promised
from a3mailer.transfer.receive import Receive
from a3mailer.transfer.route import Route
from a3mailer.wire.smtp import events as ev
from a3mailer.wire.smtp.engine import Engine, Offer, State
from a3mailer.wire.smtp.promises import NOTHING
from a3mailer.wire.smtp.replies import Reply

RECEIVE: Final = action("smtp.receive")
SUBMIT: Final = action("smtp.submit")
TARPIT_AFTER: Final = 3
"""Refusals without a mail in between before each further one is answered late."""
IDLE_COMMANDS: Final = 100
"""NOOP, RSET, VRFY, HELP, EHLO and empty BDAT in a row, without a mail, before each counts as refused."""
EXCESS_RECIPIENTS: Final = 1000
"""RCPTs beyond the limit that are answered before the session ends."""
GOODBYE_SECONDS: Final = 5.0
"""For the last reply to leave."""
HANDSHAKE_SECONDS: Final = 30.0
"""For TLS after STARTTLS."""
_TLS: Final = State.TLS
_HELD: Final = (State.TLS, State.CLOSED)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


_offer: Final = lru_cache(256)(Offer)
"""Offers repeat; they are values."""


class SmtpDoor:
    """Serves SMTP and LMTP connections. ``settings`` gives the snapshot a new connection keeps."""

    __slots__ = (
        "authenticator", "clock", "mail_tls", "policy", "receive", "settings", "spool_directory", "tls",
    )  # fmt: skip

    def __init__(
        self,
        policy: Policy,
        receive: Receive,
        authenticator: Authenticator,
        settings: Callable[[], Settings],
        tls: ssl.SSLContext | None,
        spool_directory: Path,
        clock: Clock = SYSTEM,
        mail_tls: ssl.SSLContext | None = None,
    ) -> None:
        """``mail_tls``: instead of ``tls`` where people log in."""
        self.policy = policy
        self.receive = receive
        self.authenticator = authenticator
        self.settings = settings
        self.tls = tls
        self.spool_directory = spool_directory
        self.clock = clock
        self.mail_tls = mail_tls

    async def serve(self, connection: Connection, profile: Profile, trace: str) -> None:
        """One connection to its end. Raises ConnectionLost."""
        conversation = _Conversation(self, connection, profile, trace)
        try:
            await conversation.run()
        except Draining:
            await _goodbye(connection, say.SHUTTING_DOWN)
        except ConnectionLost:
            await conversation.doubt()
            if not connection.closed and not connection.unsent:  # the deadline has passed, and it listens
                await _goodbye(connection, say.TOO_SLOW)
            raise
        finally:
            conversation.forget()
            conversation.course.close()


async def _goodbye(connection: Connection, reply: Reply) -> None:
    connection.idle = False
    connection.write(reply.octets)
    connection.deadline = asyncio.get_running_loop().time() + GOODBYE_SECONDS
    await connection.flushed()


class _Conversation:
    """One connection: the engine, the mail in hand, the offences so far."""

    __slots__ = ("_client", "_connection", "_content_deadline", "_door", "_ended", "_engine",
                 "_envelope", "_error", "_excess", "_exchange", "_fresh", "_idle_commands", "_left", "_loop",
                 "_mails", "_mails_max", "_offered", "_out", "_owed", "_principal", "_profile", "_recipients",
                 "_refusals", "_routes", "_settings", "_spool", "_trace", "_unheard", "course")  # fmt: skip

    def __init__(self, door: SmtpDoor, connection: Connection, profile: Profile, trace: str) -> None:
        self._door = door
        self._connection = connection
        self._profile = profile
        self._trace = trace
        self._settings = door.settings()
        self._loop = asyncio.get_running_loop()
        ip, port = connection.peer[:2]
        self._client = Client(ip, port, tls=connection.tls, protocol=profile.protocol)
        self.course = door.policy.course(self._client, trace)
        """The checks of this connection."""
        limited = profile.limited and self._settings.limits.profile != "off"
        self._mails_max = self._settings.smtp.mails if limited else 0
        """Mails of this session; 0 for no limit."""
        self._offered = self._offer(())
        """What is offered while nobody may log in yet."""
        self._engine = Engine(self._offered)
        self._principal: Principal | None = None
        self._exchange: Exchange | None = None
        self._envelope = Envelope(NULL_PATH)
        self._recipients: list[Recipient] = []
        self._routes: list[tuple[Route, ...]] = []
        self._owed: ev.Event | None = None
        """What has happened and has to be waited for before it is answered."""
        self._out = b""
        """Replies that wait for those behind them."""
        self._fresh = True
        """Something was answered since the deadline was set."""
        self._ended = self._left = False
        """The client has finished; it has said QUIT: nothing follows."""
        self._spool: Spool | None = None
        self._error: MailError | None = None
        self._content_deadline = 0.0
        self._mails = 0
        self._unheard = Unheard(self._loop.time)
        self._refusals = self._excess = self._idle_commands = 0

    # --- the loop ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Greet, then answer until somebody ends it.

        What needs no waiting is answered in the call that brings its octets (``_take``), the rest here."""
        engine, connection = self._engine, self._connection
        connection.write(engine.greeting(await self._greet()))
        self._listen()
        while engine.state is not State.CLOSED:
            await connection.attend(self._take)
            connection.idle = False
            if self._ended:
                await self.doubt()
                return
            while await self._wait():
                self._answer()
            self._flush()
            if connection.unsent:
                await connection.drain()
            self._listen()
        connection.deadline = self._loop.time() + GOODBYE_SECONDS
        await connection.flushed()

    def _take(self, octets: bytes) -> bool:
        """Answer what has come; whether more may come before anything has to be waited for."""
        connection = self._connection
        connection.idle = False
        if not octets:
            self._ended = True
            return False
        self._engine.receive(octets)
        self._answer()
        if self._owed is not None or self._engine.state in _HELD:
            return False
        self._flush()
        self._listen()
        return not (connection.unsent or connection.draining)

    def _answer(self) -> None:
        """Answer up to what has to be waited for, which is then ``_owed``."""
        engine = self._engine
        while (event := engine.next_event()) is not None:
            if isinstance(event, ev.Content):
                if event.last:
                    self._owed = event
                    return
                self._keep(event.octets, oversize=event.oversize)
                continue
            answer = AT_ONCE.get(type(event))
            reply = None if answer is None else answer(self, event)
            if reply is None:
                self._owed = event
                return
            if reply.code >= 500 and self._profile.limited:
                self._owed = ev.Refused(reply)
                return
            self._out += engine.reply(reply)
            self._fresh = True

    async def _wait(self) -> bool:
        """Wait for what is owed; False when nothing was."""
        event, self._owed = self._owed, None
        if event is None:
            if self._engine.state is not _TLS:
                return False
            self._flush()
            await self._start_tls()
            return True
        replies = await WAITING[type(event)](self, event)
        if replies[0].code >= 500 and self._profile.limited:
            self._flush()
            replies = await self._judge(replies)
        self._out += self._engine.reply(*replies)
        self._fresh = True
        return True

    def _flush(self) -> None:
        out, self._out = self._out, b""
        self._connection.write(out, last=self._left)

    def _listen(self) -> None:
        """Set the time by which the next octets have to come."""
        connection, engine = self._connection, self._engine
        connection.idle = not engine.in_mail
        if not connection.idle and engine.in_content:
            if not self._content_deadline:
                self._content_deadline = self._loop.time() + self._settings.smtp.data_seconds
            connection.deadline = self._content_deadline
        elif self._fresh:
            connection.deadline = self._loop.time() + self._settings.smtp.command_seconds
        self._fresh = False

    async def _judge(self, replies: tuple[Reply, ...]) -> tuple[Reply, ...]:
        """Count a refusal; slow down who has many, end who has too many."""
        self._refusals += 1
        if self._refusals > self._settings.smtp.bad_commands:
            emit("smtp.session.refused", trace=self._trace, client=self._client.ip, refusals=self._refusals)
            return (say.TOO_MANY_ERRORS,)
        limits = self._settings.limits
        if self._refusals > TARPIT_AFTER and limits.profile != "off":
            await asyncio.sleep(limits.tarpit_seconds)
        return replies

    async def doubt(self) -> None:
        """The client has gone without QUIT: its last mails may come again."""
        if doubted := self._unheard.take():
            await self._door.receive.doubt(doubted)

    def forget(self) -> None:
        """Let go of the mail in hand."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        self._recipients = []
        self._routes = []
        self._error = None
        self._content_deadline = 0.0

    # --- the session -------------------------------------------------------------------------------

    async def _greet(self) -> Reply:
        try:
            await self._door.policy.connect(self._client)
            await self.course.run(Stage.CONNECT, Facts(self._client, self._envelope))
        except MailError as error:
            reply = say.reply_to(error)
            return Reply(421 if error.transient else 554, reply.enhanced, reply.text)
        return self._offered.greeting

    def _offer(self, mechanisms: tuple[str, ...]) -> Offer:
        smtp, profile, secure = self._settings.smtp, self._profile, self._connection.secure
        return _offer(
            self._settings.server.hostname,
            smtp.size,
            smtp.recipients,
            self._mails_max,
            profile.lmtp,
            starttls=profile.starttls and self._door.tls is not None and not secure,
            mechanisms=mechanisms,
            auth_wants_tls=profile.auth and not self._confidential(),
            auth_required=profile.auth,
            promises=offered_promises(profile.protocol, self._settings, self._door.clock.now()),
            requiretls=secure,
        )

    def _confidential(self) -> bool:
        return confidential(self._connection, plaintext=self._settings.auth.plaintext)

    def _context(self) -> Context:
        plaintext = self._settings.auth.plaintext
        return context_of(self._connection, self._door.authenticator, self._client.ip, plaintext=plaintext)

    def _hello(self, event: ev.Hello) -> Reply | None:
        of = self._client
        self._client = Client(
            of.ip, of.port, event.name, event.extended, of.tls, of.account, of.login, of.protocol
        )
        if (self._profile.auth and self._confidential()) or self.course.has(Stage.EHLO):
            return None
        return self._welcome(event, self._offered)

    async def _hello_asked(self, event: ev.Hello) -> tuple[Reply, ...]:
        try:
            await self.course.run(Stage.EHLO, Facts(self._client, self._envelope))
        except MailError as error:
            return (say.reply_to(error),)
        before_login = self._profile.auth and self._confidential()
        offer = self._offer(await offered(self._context())) if before_login else self._offered
        return (self._welcome(event, offer),)

    def _welcome(self, event: ev.Hello, offer: Offer) -> Reply:
        self.forget()
        self._engine.renew(offer)
        return self._idle(offer.extended_hello if event.extended else offer.hello)

    async def _start_tls(self) -> None:
        tls = (self._door.mail_tls if self._profile.auth else None) or self._door.tls
        if tls is None:
            raise LookupError("STARTTLS was offered without a certificate")
        self._connection.deadline = self._loop.time() + HANDSHAKE_SECONDS
        await self._connection.start_tls(tls)
        self.forget()
        ip, port = self._connection.peer[:2]
        self._client = Client(ip, port, tls=self._connection.tls, protocol=self._profile.protocol)
        self._principal = None
        self._offered = self._offer(())
        self._engine.secured(self._offered)

    def _starttls(self, event: ev.StartTls) -> Reply:
        return say.READY_FOR_TLS

    async def _auth(self, event: ev.Auth) -> tuple[Reply, ...]:
        try:
            self._exchange = await begin(event.mechanism, self._context())
        except MailError as error:
            return (say.auth_reply_to(error),)
        return (await self._step(event.initial),)

    async def _auth_response(self, event: ev.AuthResponse) -> tuple[Reply, ...]:
        return (await self._step(event.octets),)

    async def _step(self, response: bytes | None) -> Reply:
        if self._exchange is None:
            raise LookupError("no exchange was begun")
        try:
            result = await self._exchange.step(response)
        except MailError as error:
            self._exchange = None
            return say.auth_reply_to(error)
        if isinstance(result, bytes):
            return Reply(334, "", base64.b64encode(result).decode("ascii"))
        self._exchange = None
        self._principal = result
        self._client = structs.replace(self._client, account=result.account, login=result.login)
        try:
            await self.course.run(Stage.AUTH, Facts(self._client, self._envelope))
        except MailError as error:
            return say.reply_to(error)
        return say.LOGGED_IN

    def _reset(self, event: ev.Reset) -> Reply:
        self.forget()
        return self._idle(say.OK)

    def _noop(self, event: ev.Noop) -> Reply:
        return self._idle(say.OK)

    def _verify(self, event: ev.Verify) -> Reply:
        return self._idle(say.CANNOT_VERIFY)

    def _help(self, event: ev.Help) -> Reply:
        return self._idle(say.HELP)

    def _quit(self, event: ev.Quit) -> Reply:
        self._left = True
        return say.BYE

    def _refused(self, event: ev.Refused) -> Reply:
        return event.reply

    async def _refused_late(self, event: ev.Refused) -> tuple[Reply, ...]:
        return (event.reply,)

    def _idle(self, reply: Reply) -> Reply:
        """Commands that lead nowhere are free for a while."""
        self._idle_commands += 1
        return say.TOO_MANY_ERRORS if self._idle_commands > IDLE_COMMANDS else reply

    # --- the mail ----------------------------------------------------------------------------------

    def _mail(self, event: ev.MailFrom) -> Reply | None:
        self.course.forget()
        if 0 < self._mails_max <= self._mails:
            return say.TOO_MANY_MAILS
        if self._profile.auth or self.course.has(Stage.MAIL):
            return None
        try:
            self._permit()
            self._door.policy.check_size(event.envelope)
        except MailError as error:
            return say.reply_to(error)
        return self._begin(event)

    async def _mail_of_ours(self, event: ev.MailFrom) -> tuple[Reply, ...]:
        if self._principal is not None and not await self._door.authenticator.current(self._principal):
            return (say.LOGIN_AGAIN,)
        try:
            self._permit()
            await self._door.policy.sender(self._client, event.envelope)
            await self.course.run(Stage.MAIL, Facts(self._client, event.envelope))
        except MailError as error:
            return (say.reply_to(error),)
        return (self._begin(event),)

    def _begin(self, event: ev.MailFrom) -> Reply:
        self.forget()
        self._envelope, asks = event.envelope, event.asks
        if asks is NOTHING:
            return say.SENDER_OK
        now = self._door.clock.now()
        self._envelope = promised(event.envelope, asks, self._client, self._settings, now)
        return say.sender_ok(asks.priority, self._envelope.priority)

    def _permit(self) -> None:
        """Ask the table of roles: strangers may have mail received, who logged in submits as himself."""
        who = self._principal
        if who is None:
            require(ANONYMOUS, RECEIVE, SERVER, NotAllowed)
        else:
            require(who, SUBMIT, Object(who.tenant, who.account, who.domain, who.role), NotAllowed)

    def _rcpt(self, event: ev.RcptTo) -> Reply | None:
        if len(self._recipients) >= self._settings.smtp.recipients:
            self._excess += 1
            return say.TOO_MANY_ERRORS if self._excess > EXCESS_RECIPIENTS else say.TOO_MANY_RECIPIENTS
        if self.course.has(Stage.RCPT):
            return None
        routes = self._door.policy.known(event.recipient.address)
        return None if routes is None else self._take_recipient(event, routes)

    async def _rcpt_asked(self, event: ev.RcptTo) -> tuple[Reply, ...]:
        try:
            routes = await self._door.policy.recipient(self._client, self._envelope, event.recipient)
            await self.course.run(Stage.RCPT, Facts(self._client, self._envelope, event.recipient, routes))
        except MailError as error:
            return (self._refuse_recipient(event.recipient, error),)
        return (self._take_recipient(event, routes),)

    def _take_recipient(self, event: ev.RcptTo, routes: tuple[Route, ...]) -> Reply:
        self._recipients.append(event.recipient)
        self._routes.append(routes)
        return say.RECIPIENT_OK

    def _refuse_recipient(self, recipient: Recipient, error: MailError) -> Reply:
        reply = say.reply_to(error)
        emit(
            "smtp.recipient.refused",
            trace=self._trace,
            client=self._client.ip,
            recipient=redact_address(str(recipient.address)),
            reply=f"{reply.code} {reply.enhanced}",
        )
        return reply

    def _data(self, event: ev.Data) -> Reply | None:
        return None if self.course.has(Stage.DATA) else say.GO_ON

    async def _data_asked(self, event: ev.Data) -> tuple[Reply, ...]:
        try:
            await self.course.run(Stage.DATA, Facts(self._client, self._envelope))
        except MailError as error:
            return (say.reply_to(error),)
        return (say.GO_ON,)

    def _chunk(self, event: ev.Chunk) -> Reply:
        self._keep(event.octets)
        if self._error is not None:
            reply = say.reply_to(self._error)
            self.forget()
            return reply
        return say.CHUNK_OK if event.octets else self._idle(say.CHUNK_OK)

    def _keep(self, octets: bytes, *, oversize: bool = False) -> None:
        """Take a piece of the content; what goes wrong is said at its end."""
        if oversize:
            self._error = TooLarge()
        if self._error is None:
            if self._spool is None:
                self._spool = Spool(self._door.spool_directory)
            try:
                self._spool.append(octets)
            except SpoolError as error:
                self._error = StoreFull() if error.errno in _FULL else TryLater()
        if self._error is not None and self._spool is not None:
            self._spool.close()
            self._spool = None

    async def _finish(self, event: ev.Content) -> tuple[Reply, ...]:
        """The end of the content: one reply, or in LMTP one a recipient."""
        began = self._loop.time()
        octets: bytes | mmap.mmap = event.octets
        if self._spool is not None or self._error is not None or event.oversize:
            octets = self._joined(event)
        self._mails += 1
        self._idle_commands = 0
        trace = self._mail_trace()
        outcomes: tuple[MailError | None, ...] = (self._error,) * len(self._recipients)
        if self._error is None:
            try:
                outcomes = await self._door.receive(self._arrival(octets, trace))
            except MailError as error:
                outcomes = (error,) * len(self._recipients)
        replies = say.replies_to(outcomes, trace, a_recipient=self._profile.lmtp)
        observe("a3_smtp_end_of_data_seconds", self._loop.time() - began)
        for reply in replies:
            count("a3_smtp_mails_total", say.word_of(reply))
        if None in outcomes:
            self._refusals = 0
            count("a3_smtp_octets_total", "", len(octets))
        self.forget()
        return replies

    def _joined(self, event: ev.Content) -> bytes | mmap.mmap:
        self._keep(event.octets, oversize=event.oversize)
        if self._spool is None:
            return b""
        try:
            return self._spool.finish()
        except SpoolError as error:
            self._error = StoreFull() if error.errno in _FULL else TryLater()
            return b""

    def _arrival(self, octets: bytes | mmap.mmap, trace: str) -> Arrival:
        envelope = structs.replace(self._envelope, recipients=tuple(self._recipients))
        of, routes, course, kept = self._client, tuple(self._routes), self.course, self._unheard.add
        return Arrival(of, envelope, routes, octets, trace, course.notes, filters=course.filters, kept=kept)

    def _mail_trace(self) -> str:
        """The connection's trace id for its first mail; then with a number, so that each has its own."""
        return self._trace if self._mails == 1 else f"{self._trace}-{self._mails}"


AT_ONCE: Final[dict[type, Callable[[_Conversation, Any], Reply | None]]] = {
    ev.MailFrom: _Conversation._mail,
    ev.RcptTo: _Conversation._rcpt,
    ev.Data: _Conversation._data,
    ev.Chunk: _Conversation._chunk,
    ev.Hello: _Conversation._hello,
    ev.StartTls: _Conversation._starttls,
    ev.Reset: _Conversation._reset,
    ev.Noop: _Conversation._noop,
    ev.Verify: _Conversation._verify,
    ev.Help: _Conversation._help,
    ev.Quit: _Conversation._quit,
    ev.Refused: _Conversation._refused,
}
"""Answers without waiting; None: the answer is one of WAITING."""
WAITING: Final[dict[type, Callable[[_Conversation, Any], Awaitable[tuple[Reply, ...]]]]] = {
    ev.Content: _Conversation._finish,
    ev.MailFrom: _Conversation._mail_of_ours,
    ev.RcptTo: _Conversation._rcpt_asked,
    ev.Hello: _Conversation._hello_asked,
    ev.Data: _Conversation._data_asked,
    ev.Auth: _Conversation._auth,
    ev.AuthResponse: _Conversation._auth_response,
    ev.Refused: _Conversation._refused_late,
}
