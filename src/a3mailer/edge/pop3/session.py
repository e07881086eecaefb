"""One POP3 session: its state, its output, and what commands may ask of it.

The order of things (what is answered when) is in ``door.py``; what commands do is in ``answers.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from a3mailer.access.maildrop import Maildrop
from a3mailer.edge.connection import HIGH_WATER, Connection
from a3mailer.edge.login import context_of
from a3mailer.edge.pop3 import texts
from a3mailer.edge.pop3.replies import Failure, LoginEnded, NoMaildropForThis, TooSoon
from a3mailer.edge.pop3.services import Services
from a3mailer.identity.principal import ANONYMOUS, SERVER, Object, Principal
from a3mailer.identity.roles import allow
from a3mailer.identity.sasl.exchange import Context, Exchange
from a3mailer.identity.sasl.offer import offered
from a3mailer.mail.errors import NotAllowed
from a3mailer.telemetry import metrics
from a3mailer.telemetry.events import emit
from a3mailer.wire.pop3.commands import State
from a3mailer.wire.pop3.engine import Engine

FLUSH_AT: Final = 64 * 1024
"""Octets of answers gathered before they are sent."""
SEND_SECONDS: Final = 120.0
"""How long a client may leave us unable to send."""
HANDSHAKE_SECONDS: Final = 30.0
"""For TLS after STLS."""
BAD_COMMANDS: Final = 10
"""Refusals of a stranger before the session ends, ..."""
BAD_COMMANDS_OF_USERS: Final = 100
"""... and lines in a row that are no commands, of a user."""
_NOTHING_ASKED: Final[Mapping[str, bool]] = {}


class Session:
    """The state of one connection (RFC 1939 section 3)."""

    __slots__ = ("_bad", "_context", "_directory", "_idle_until", "_login_until", "_out", "_out_size",
                 "_permits", "_time", "connection", "ended", "engine", "exchange", "language", "login",
                 "maildrop", "mechanisms", "principal", "services", "settings", "trace", "utf8")  # fmt: skip

    def __init__(self, services: Services, connection: Connection, trace: str) -> None:
        self.services = services
        self.settings = services.settings
        self.connection = connection
        self.trace = trace
        self.engine = Engine()
        self.principal: Principal = ANONYMOUS
        self.maildrop: Maildrop | None = None
        self.exchange: Exchange | None = None
        self.login = ""
        """The name USER gave."""
        self.language = texts.DEFAULT
        self.utf8 = False
        self.ended = False
        """Nothing is read any more."""
        self.mechanisms: tuple[str, ...] | None = None
        """What CAPA says of SASL; None when it was not asked for."""
        self._bad = 0
        self._context: Context | None = None
        self._permits = _NOTHING_ASKED
        self._directory = services.views.directory
        self._time = asyncio.get_running_loop().time
        self._login_until = self._time() + self.settings.pop3.login_seconds
        self._idle_until = 0.0
        self._out: list[bytes] = []
        self._out_size = 0

    def close(self) -> None:
        """Let go of the maildrop; what is marked stays."""
        if self.maildrop is not None:
            self.maildrop.close()
            self.maildrop = None

    # --- who and what ------------------------------------------------------------------------------

    @property
    def drop(self) -> Maildrop:
        """The maildrop; only commands of the TRANSACTION state ask for it."""
        assert self.maildrop is not None
        return self.maildrop

    def require(self, action: str) -> None:
        """Errors: NotAllowed."""
        if not self._may(action):
            raise NotAllowed

    def _may(self, action: str) -> bool:
        """The one place where every command's permission is asked; an answer holds as long as the login."""
        found = self._permits.get(action)
        if found is None:
            who = self.principal
            own = Object(who.tenant, who.account, who.domain, who.role)
            found = allow(who, action, SERVER if who is ANONYMOUS else own)
            self._permits = {**self._permits, action: found}
        return found

    def context(self) -> Context:
        """The connection as SASL sees it; made anew after STLS."""
        if self._context is None:
            connection, plaintext = self.connection, self.settings.auth.plaintext
            self._context = context_of(
                connection, self.services.authenticator, connection.peer[0], plaintext=plaintext
            )
        return self._context

    async def ask_mechanisms(self) -> tuple[str, ...]:
        """What is offered here; the same before and after the login (RFC 2449 section 6.3)."""
        if self.mechanisms is None:
            self.mechanisms = await offered(self.context())
        return self.mechanisms

    async def enter(self, principal: Principal) -> None:
        """A login succeeded: open the maildrop. Errors: NoMaildropForThis, TooSoon, InUse, TryLater."""
        self.principal, self._permits = principal, _NOTHING_ASKED
        services, key = self.services, str(principal.account)
        try:
            self._admit(key)
            self.maildrop = await Maildrop.open(
                services.store, services.views, services.leases, principal.account
            )
        except BaseException:
            self.principal, self._permits = ANONYMOUS, _NOTHING_ASKED
            raise
        if self.settings.pop3.login_delay:
            with services.logins.locked():
                services.logins.put(key, 1.0, services.clock.monotonic())
        self._directory = services.views.directory
        self.engine.authorized()
        self.say(texts.text("open", self.language, *self.maildrop.left))

    def _admit(self, key: str) -> None:
        """Errors: NoMaildropForThis, TooSoon."""
        if not self._may("mailbox.select"):
            raise NoMaildropForThis
        delay = self.settings.pop3.login_delay
        last = self.services.logins.get(key) if delay else None
        if last is not None and self.services.clock.monotonic() < last[1] + delay:
            raise TooSoon

    @property
    def suspect(self) -> bool:
        """Whether accounts have changed since the session was last looked at: ``still_stands`` is due."""
        return self.maildrop is not None and self._directory != self.services.views.directory

    async def still_stands(self) -> None:
        """Is the account enabled, and of the credentials it logged in with? Errors: LoginEnded."""
        self._directory = self.services.views.directory
        if not await self.services.authenticator.current(self.principal):
            self.ended = True
            raise LoginEnded

    async def start_tls(self) -> None:
        """Begin TLS; what was known of the connection before is forgotten (RFC 2595 section 4)."""
        assert self.services.tls is not None
        await self.flush()
        self.connection.deadline = self._time() + HANDSHAKE_SECONDS
        await self.connection.start_tls(self.services.tls)
        self._context = self.mechanisms = None
        self.login = ""
        self.language = texts.DEFAULT

    def forgive(self, seconds: float) -> None:
        """A login took so long at our side: it is not the client's time."""
        self._login_until += seconds

    # --- answers -----------------------------------------------------------------------------------

    def say(self, text: bytes) -> None:
        """+OK."""
        if self.maildrop is not None:
            self._bad = 0
            self._idle_until = 0.0
        metrics.count("a3_pop3_commands_total", "ok")
        self.write(b"+OK %b\r\n" % text)

    def tell(self, key: str, *values: object) -> None:
        """+OK with a text of the table."""
        self.say(texts.text(key, self.language, *values))

    def fail(self, failure: Failure) -> None:
        """-ERR; a stranger has few of them."""
        self._refuse(failure.code, failure.text, counts=self.maildrop is None, most=BAD_COMMANDS)

    def refuse(self, key: str, *, fatal: bool = False) -> None:
        """-ERR to what is no command here; who says too much of it is sent away."""
        self.ended |= fatal
        most = BAD_COMMANDS if self.maildrop is None else BAD_COMMANDS_OF_USERS
        self._refuse(b"", key, counts=True, most=most)

    def _refuse(self, code: bytes, key: str, *, counts: bool, most: int) -> None:
        metrics.count("a3_pop3_commands_total", "err")
        self._bad += counts
        if not counts:
            self._idle_until = 0.0
        if self._bad > most:
            self.ended, code, key = True, b"", "too_many"
            emit("pop3.session.refused", level="warning", trace=self.trace, client=self.connection.peer[0])
        self.write(b"-ERR %b%b\r\n" % (code, texts.text(key, self.language)))

    # --- octets ------------------------------------------------------------------------------------

    def write(self, octets: bytes) -> None:
        """Say something, soon."""
        self._out.append(octets)
        self._out_size += len(octets)

    @property
    def full(self) -> bool:
        """Whether enough is gathered to be sent."""
        return self._out_size >= FLUSH_AT

    def send(self) -> None:
        """Give what was written to the connection."""
        if self._out:
            out = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self._out_size = 0
            self.connection.write(out, last=self.ended)

    async def flush(self) -> None:
        """Send what was written. Errors: ConnectionLost when the client does not take it."""
        self.send()
        if self.connection.unsent > HIGH_WATER:
            self.connection.deadline = self._time() + SEND_SECONDS
            await self.connection.drain()

    def listen(self) -> None:
        """Set the time by which the next command has to be there (RFC 1939 section 3: 10 minutes)."""
        connection = self.connection
        connection.idle = not self.engine.pending
        if self.engine.state is State.AUTHORIZATION:
            connection.deadline = self._login_until
            return
        if not self._idle_until:
            self._idle_until = self._time() + self.settings.pop3.idle_seconds
        connection.deadline = self._idle_until

    def allow_farewell(self) -> None:
        """The last answer may take so long to leave."""
        self.connection.idle = False
        self.connection.deadline = self._time() + SEND_SECONDS
