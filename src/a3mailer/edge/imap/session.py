"""One IMAP session: its state, its output, and what commands may ask of it.

The order of things (framing, dispatch, answers) is in ``door.py``; a command sees this object only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from a3mailer.access.labour import Labour
from a3mailer.access.view import View
from a3mailer.edge.connection import HIGH_WATER, Connection, ConnectionLost
from a3mailer.edge.imap import capability, state
from a3mailer.edge.imap.notifier import Notifier
from a3mailer.edge.imap.replies import NoSuchTarget
from a3mailer.edge.imap.selected import OWN, Selected, flags_lines, news_lines
from a3mailer.edge.imap.services import Services
from a3mailer.edge.login import context_of
from a3mailer.identity.principal import ANONYMOUS, SERVER, Object, Principal
from a3mailer.identity.roles import allow
from a3mailer.identity.sasl.exchange import Context
from a3mailer.identity.sasl.offer import offered
from a3mailer.mail.errors import NoSuchMailbox
from a3mailer.mail.ids import AccountId
from a3mailer.store.operations import Operation, Result
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import Mailbox
from a3mailer.wire.imap.deflate import BadCompression, Deflate
from a3mailer.wire.imap.engine import ContinuationLine, Engine, Event, Refused
from a3mailer.wire.imap.errors import LocalProtocolError

_NOTHING_ASKED: Final[Mapping[str, bool]] = {}
FLUSH_AT: Final = 64 * 1024
"""Octets of answers gathered before they are sent."""
SEND_SECONDS: Final = 120.0
"""How long a client may leave us unable to send."""
COMMAND_SECONDS: Final = 300.0
"""How long a command may take to arrive once it has begun."""


class Interrupted(Exception):
    """The client broke the protocol in the middle of a command."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.text.decode("ascii"))
        self.refused = refused


class AtRest(Exception):
    """The session waits for input or news, and nothing is on its way: it may be parked."""


class Ended(Exception):
    """The session cannot go on; the text is for BYE."""


class Session:
    """The state of one connection (RFC 9051 section 3)."""

    __slots__ = ("_command_until", "_context", "_login_until", "_out", "_out_size", "_packed", "_permits",
                 "_time", "annotations", "bad", "compresses",
                 "condstore", "connection", "decompresses", "deflate", "directory", "engine", "notifier",
                 "principal",
                 "qresync",
                 "rev2", "secures",
                 "selected", "services", "state", "tag", "trace",
                 "uid_only", "utf8_mail", "woken")  # fmt: skip

    def __init__(self, services: Services, connection: Connection, trace: str) -> None:
        self.services = services
        self.connection = connection
        self.trace = trace
        self.engine = Engine()
        self.state: int = state.NOT_AUTHENTICATED
        self.principal: Principal = ANONYMOUS
        self.selected: Selected | None = None
        self.rev2 = self.uid_only = False
        """UIDONLY was enabled (RFC 9586)."""
        self.utf8_mail = False
        """UTF8=ACCEPT was enabled (RFC 6855)."""
        self.annotations = False
        """METADATA was enabled (RFC 5464)."""
        self.notifier: Notifier | None = None
        """Who watches other mailboxes, too (RFC 5465)."""
        self.condstore = self.qresync = False
        self.secures = False
        """STARTTLS was answered: TLS begins once that is sent."""
        self.compresses = False
        """COMPRESS was answered: compression begins once that is sent."""
        self.decompresses = False
        """UNAUTHENTICATE was answered: compression ends once that is sent."""
        self.deflate: Deflate | None = None
        self.tag = b"*"
        """Of the command in hand."""
        self.bad = 0
        """Refused commands."""
        self.directory = services.views.directory
        """Which state of the directory the principal was last compared with."""
        self.woken = ""
        """Why a parked session goes on."""
        self._context: Context | None = None
        self._permits = _NOTHING_ASKED
        self._time = asyncio.get_running_loop().time
        self._login_until = self._time() + services.settings.imap.login_seconds
        self._command_until = 0.0
        self._out: list[bytes] = []
        self._out_size = 0
        self._packed = b""
        """What is ready to be sent before ``_out``; only where there is compression."""

    # --- who and what ------------------------------------------------------------------------------

    @property
    def account(self) -> AccountId:
        return self.principal.account

    def permits(self, action: str) -> bool:
        """The one place where every command's permission is asked; an answer holds as long as the login."""
        found = self._permits.get(action)
        if found is None:
            who = self.principal
            own = Object(who.tenant, who.account, who.domain, who.role)
            object = SERVER if self.state == state.NOT_AUTHENTICATED else own
            found = allow(who, action, object)
            self._permits = {**self._permits, action: found}
        return found

    @property
    def lent(self) -> bool:
        """Whether the selected mailbox is another's."""
        return self.selected is not None and self.selected.generation != OWN

    @property
    def utf8(self) -> bool:
        """Whether strings, and so the names of mailboxes, may be UTF-8 (RFC 9051, RFC 6855 section 3)."""
        return self.rev2 or self.utf8_mail

    @property
    def view(self) -> View:
        """The view of the selected mailbox; only commands valid in SELECTED ask for it."""
        return self.chosen.view

    @property
    def chosen(self) -> Selected:
        """The selected mailbox; only commands valid in SELECTED ask for it."""
        assert self.selected is not None
        return self.selected

    def context(self) -> Context:
        """The connection as SASL sees it; made anew after STARTTLS."""
        if self._context is None:
            connection, services = self.connection, self.services
            self._context = context_of(
                connection,
                services.authenticator,
                connection.peer[0],
                plaintext=services.settings.auth.plaintext,
            )
        return self._context

    async def start_tls(self) -> None:
        """Begin TLS; what was known of the connection before is forgotten (RFC 9051 section 6.2.1)."""
        assert self.services.tls is not None
        await self.flush()
        await self.connection.start_tls(self.services.tls)
        self.secures = False
        self._context = None

    async def capabilities(self) -> bytes:
        """The capability list of the present state."""
        if self.state != state.NOT_AUTHENTICATED:
            services = self.services
            return capability.after_login(
                services.settings.imap, jmap=bool(services.jmap), sieve=services.imapsieve
            )
        context = self.context()
        return capability.before_login(
            start_tls=self.services.tls is not None and not self.connection.secure,
            mechanisms=await offered(context),
            login=context.confidential,
        )

    def logged_in(self, principal: Principal) -> None:
        """A login succeeded."""
        self.principal = self.services.shared(principal)
        self._context = None
        self._permits = _NOTHING_ASKED
        self.state = state.AUTHENTICATED
        self.engine.authenticated = True
        self.directory = self.services.views.directory

    def forget_login(self) -> None:
        """Be as before the login, but for TLS (RFC 8437 section 3)."""
        self.unselect()
        self.quiet()
        self.principal = ANONYMOUS
        self._context = None
        self._permits = _NOTHING_ASKED
        self.state = state.NOT_AUTHENTICATED
        self.engine.authenticated = False
        self.rev2 = self.uid_only = self.utf8_mail = self.condstore = self.qresync = False
        self.annotations = False
        self.decompresses = self.deflate is not None
        self.bad = 0
        self._login_until = self._time() + self.services.settings.imap.login_seconds

    async def still_stands(self) -> None:
        """After a change of the directory: is the account enabled, and of the credentials it logged in with?

        Errors: Ended."""
        now = self.services.views.directory
        if self.directory != now:
            self.directory = now
            if self.state != state.NOT_AUTHENTICATED and not await self.services.authenticator.current(
                self.principal
            ):
                raise Ended("the credentials of this session are no longer valid")

    # --- mailboxes ---------------------------------------------------------------------------------

    async def mailbox(self, name: str, action: str = "mailbox.select") -> Mailbox:
        """The row of a mailbox, the user's own or one that another lets it use so: ``row.account`` is whose.

        Errors: NoSuchMailbox, NotPermitted."""
        return await self.services.rights.find(self.principal, name, action)

    async def target(self, name: str) -> Mailbox:
        """The row of a mailbox that is to take messages. Errors: NoSuchTarget, NotPermitted."""
        try:
            return await self.mailbox(name, "message.append")
        except NoSuchMailbox as error:
            raise NoSuchTarget from error

    async def commit(self, *operations: Operation) -> tuple[Result, ...]:
        """Make operations durable together; their results. Errors: those of the operations, TryLater."""
        results = await self.services.store.commit(Transaction(operations, tenant=self.principal.tenant))
        if self.notifier is not None:
            await self.notifier.absorb(operations, results)
        return results

    def quiet(self) -> None:
        """Nothing is watched any more."""
        if self.notifier is not None:
            self.notifier.close()
            self.notifier = None

    def unselect(self) -> None:
        """Leave the selected mailbox."""
        if self.selected is not None:
            self.selected.view.close()
            self.selected = None
            self.state = state.AUTHENTICATED

    def select(self, selected: Selected) -> None:
        """Enter a mailbox."""
        self.selected = selected
        self.state = state.SELECTED

    @property
    def behind(self) -> bool:
        """Whether something happened that the session has not looked at: ``catch_up`` is due."""
        if self.directory != self.services.views.directory or self.notifier is not None:
            return True
        selected = self.selected
        return selected is not None and (selected.behind or self._lent_anew(selected))

    def _lent_anew(self, selected: Selected) -> bool:
        """Whether the rights on another's mailbox may have changed."""
        return selected.generation not in (OWN, self.services.rights.generation)

    async def catch_up(self) -> None:
        """Look at what happened. Errors: Ended when the login or the selected mailbox is no more."""
        await self.still_stands()
        if self.selected is not None:
            mailbox = self.selected.view.mailbox
            await mailbox.refresh()
            if mailbox.gone:
                raise Ended("the selected mailbox was deleted")
            if self._lent_anew(self.selected):
                await self._look_at_rights(self.selected)
            await self.selected.notice(self.services.store)

    async def _look_at_rights(self, selected: Selected) -> None:
        """RFC 4314 section 5.1.1: what may be kept now is said; who may not read any more has to leave."""
        rights = self.services.rights
        generation = rights.generation
        letters = await rights.allowed(self.principal, selected.account, selected.mailbox)
        if "r" not in letters:
            raise Ended("the selected mailbox is no longer shared with you")
        if letters != selected.rights:
            selected.rights = letters
            self.write(flags_lines(selected))
        selected.generation = generation

    async def load(self) -> None:
        """Load the columns of the selected mailbox. Errors: Ended."""
        mailbox = self.view.mailbox
        await mailbox.load()
        if mailbox.gone:
            raise Ended("the selected mailbox is no longer what it was")

    async def tell_news(self, *, expunges: bool, uid: bool = False) -> None:
        """Write what happened in the selected mailbox, and elsewhere. Errors: Ended."""
        if self.behind:
            await self.catch_up()
        selected = self.selected
        updates = None if selected is None else selected.updates
        if updates is not None:
            updates.removed()
        if self.notifier is not None:
            await self.notifier.tell(expunges=expunges)
        elif selected is not None and selected.view.has_news():
            self.say_news(selected.view, expunges=expunges, uid=uid)
        if updates is not None:
            await updates.changed()

    def say_news(self, view: View, *, expunges: bool, uid: bool = False) -> None:
        """Write what the view knows and the client does not.

        While UID commands are answered, each FETCH names the UID (RFC 9051 section 6.4.9)."""
        news = view.news(expunges=expunges)
        if news.changed:
            self.name_keywords()
        self.write(
            news_lines(
                view,
                news,
                qresync=self.qresync,
                condstore=self.condstore,
                recent=-1 if self.rev2 else self.chosen.recent,
                uid_only=self.uid_only,
                uid=uid,
            )
        )

    def name_keywords(self) -> None:
        """Before flags are told: keywords that came since FLAGS was said (RFC 9051 section 7.3.5)."""
        if (selected := self.chosen).words != len(selected.view.mailbox.keywords):
            self.write(flags_lines(selected))

    # --- long commands -----------------------------------------------------------------------------

    def labour(self, goal: int = 0) -> Labour:
        """The work of the command in hand, ``goal`` steps of it: under the budget, and told of (RFC 9585)."""
        settings = self.services.settings.imap
        return Labour(self.services.clock, settings.command_cpu_seconds, self._tell_progress, goal)

    # inprogress-resp-code = "INPROGRESS" [SP "(" inprogress-tag SP inprogress-state ")"]
    # inprogress-state = nil SP nil / number SP nil / number SP nz-number
    def _tell_progress(self, done: int, goal: int) -> None:
        state = b"%d NIL" % done if done else b"NIL NIL"
        if goal:
            state = b"%d %d" % (min(done, goal - 1), goal)
        self.write(b'* OK [INPROGRESS ("%b" %b)] working on it\r\n' % (self.tag, state))
        self.send()

    # --- octets ------------------------------------------------------------------------------------

    def write(self, octets: bytes) -> None:
        """Say something, soon."""
        self._out.append(octets)
        self._out_size += len(octets)

    @property
    def full(self) -> bool:
        """Whether enough is gathered to be sent."""
        return self._out_size >= FLUSH_AT

    def send(self) -> bool:
        """Give what was written to the connection; whether it has too much unsent: ``flush`` is due."""
        if self.deflate is not None:
            self.end_reply()
            self.connection.write(self._packed)
            self._packed = b""
            self._out_size = 0
        elif self._out:
            out = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self._out_size = 0
            self.connection.write(out)
        return self.connection.unsent > HIGH_WATER

    def end_reply(self) -> None:
        """What comes next is another reply: where there is compression, it knows nothing of this one."""
        if self.deflate is not None and self._out:
            self._packed += self.deflate.pack(b"".join(self._out))
            self._out.clear()
            self._out_size = len(self._packed)

    async def change_layers(self) -> None:
        """Begin TLS or compression, where its command was answered (RFC 4978 section 3)."""
        if self.secures:
            await self.start_tls()
        elif self.compresses:
            await self.flush()
            self.compresses = False
            self.deflate = Deflate()
            self.deflate.receive(self.engine.take_back())
        elif self.decompresses and self.deflate is not None:
            await self.flush()
            self.decompresses = False
            self.engine.receive(self.deflate.rest())
            self.deflate = None

    def feed(self, octets: bytes) -> None:
        """Give what came to the engine. Errors: Ended."""
        if self.deflate is None:
            self.engine.receive(octets)
            return
        self.deflate.receive(octets)
        self.feed_more()

    @property
    def inflates(self) -> bool:
        """Whether more came than the engine was given."""
        return self.deflate is not None and self.deflate.waiting

    def feed_more(self) -> None:
        """Give some more of what came compressed to the engine. Errors: Ended."""
        assert self.deflate is not None
        try:
            self.engine.receive(self.deflate.more())
        except BadCompression as error:
            raise Ended(str(error)) from error

    async def _pack(self) -> None:
        """Compress much in pieces, with the loop free in between."""
        if self.deflate is None or self._out_size <= FLUSH_AT:
            return
        octets = memoryview(b"".join(self._out))
        self._out.clear()
        for at in range(0, len(octets), FLUSH_AT):
            self._packed += self.deflate.pack(bytes(octets[at : at + FLUSH_AT]))
            await asyncio.sleep(0)

    async def flush(self) -> None:
        """Send what was written. Errors: ConnectionLost when the client does not take it."""
        await self._pack()
        if self.send():
            self.connection.deadline = self._time() + SEND_SECONDS
            await self.connection.drain()

    def _wait_until(self) -> float:
        """The loop time to wait for octets: a stranger has to log in, a command once begun has to end, and
        a user may be silent for long (RFC 9051 section 5.4)."""
        now = self._time()
        until = now + self.services.settings.imap.idle_seconds
        if self.state == state.NOT_AUTHENTICATED:
            until = min(until, self._login_until)
        if not self.engine.pending:
            self._command_until = 0.0
            return until
        if self._command_until == 0.0:
            self._command_until = now + COMMAND_SECONDS
        return min(until, self._command_until)

    def allow_message(self, seconds: float) -> None:
        """The command in hand holds a message: it may take this much longer from now on."""
        self._command_until = self._time() + seconds

    async def event(self) -> Event:
        """The next thing the client said. Errors: ConnectionLost, also when it has gone."""
        while (event := self.engine.next_event()) is None:
            await self.receive()
        return event

    async def continuation(self, challenge: bytes) -> bytes:
        """Send a continuation request; the line the client answers with. Errors: Interrupted."""
        self.engine.expect_line()
        self.write(b"+ %b\r\n" % challenge)
        return _line(await self.event())

    def begin_idle(self) -> None:
        """Answer IDLE; the next line belongs to it."""
        self.engine.expect_line()
        self.write(b"+ idling\r\n")

    async def idle(self) -> bytes:
        """Tell news as they come, until the client sends a line. Errors: Interrupted, Ended.

        Raises AtRest when the session may wait without a task; ``idle`` is then called again."""
        if self.woken == "input":
            await self.receive()
        elif self.woken == "time":
            raise Ended("idle for too long")
        self.woken = ""
        connection = self.connection
        with self._nudged():
            while (event := self.engine.next_event()) is None:
                if self.inflates:
                    await self.receive()
                    continue
                await self.tell_news(expunges=True)
                await self.flush()
                if self._restless():
                    continue
                connection.idle = True
                connection.deadline = self._wait_until()
                if connection.parkable and not connection.draining:
                    self._shrink()
                    raise AtRest
                if await connection.readable():
                    await self.receive()
                connection.idle = False
        return _line(event)

    @contextlib.contextmanager
    def _nudged(self) -> Iterator[None]:
        """The connection's wait ends when there may be news."""
        nudge = self.connection.nudge
        listeners = [self.services.views.listeners]
        if self.selected is not None:
            listeners.append(self.view.mailbox.listeners)
        for one in listeners:
            one.add(nudge)
        if self.notifier is not None:
            self.notifier.listen(nudge)
        try:
            yield
        finally:
            for one in listeners:
                one.discard(nudge)
            if self.notifier is not None:
                self.notifier.listen(None)

    def _shrink(self) -> None:
        """Hold nothing that a session at rest does not need."""
        self._out = []
        self._permits = _NOTHING_ASKED
        self._login_until = 0.0
        if self.selected is not None:
            self.selected.shrink()
        self.engine.shrink()
        if self.deflate is not None:
            self.deflate.shrink()
        if self.notifier is not None:
            self.notifier.rest()

    def _restless(self) -> bool:
        """Whether something happened that the client was not told yet."""
        if self.directory != self.services.views.directory:
            return True
        selected = self.selected
        if selected is not None and (selected.view.mailbox.stale or self._lent_anew(selected)):
            return True
        if self.notifier is not None:
            return self.notifier.restless
        return selected is not None and selected.view.has_news()

    @property
    def topics(self) -> tuple[tuple[int, int], ...]:
        """What a parked session watches (``edge.park.Parked``)."""
        own = (self.account, 0) if self.selected is None else self.selected.key
        if self.notifier is None:
            return (own,)
        return tuple({own: None, **dict.fromkeys(self.notifier.topics)})

    async def receive(self) -> None:
        """Send what is due and wait for octets. Errors: ConnectionLost."""
        connection = self.connection
        if self.inflates:
            self.feed_more()
            await asyncio.sleep(0)
            return
        if self.send():
            await self.flush()
        connection.deadline = self._wait_until()
        octets = await connection.read()
        if not octets:
            raise ConnectionLost("the client has gone")
        self.feed(octets)

    async def attend(self, take: Callable[[bytes], bool]) -> None:
        """The same, but ``take`` gets what comes until it answers False. Errors: ConnectionLost, Ended."""
        if self.inflates:
            await self.receive()
            return
        if not self.rest():
            await self.flush()
        await self.connection.attend(take)

    def rest(self) -> bool:
        """Send what is due and wait for more; False when that must wait for the client to read."""
        self.connection.idle = not self.engine.pending
        self.connection.deadline = self._wait_until()
        return not self.send()


def _line(event: Event) -> bytes:
    match event:
        case ContinuationLine(octets):
            return octets
        case Refused() as refused:
            raise Interrupted(refused)
        case other:
            raise LocalProtocolError(f"{other} where a line was expected")
