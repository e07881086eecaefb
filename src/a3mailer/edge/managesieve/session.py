"""One ManageSieve session: its state, its output, and what commands may ask of it (RFC 5804)."""

from __future__ import annotations

import asyncio
from typing import Final

from a3mailer.edge.connection import HIGH_WATER, Connection
from a3mailer.edge.login import context_of
from a3mailer.edge.managesieve.services import Services
from a3mailer.identity.principal import ANONYMOUS, Object, Principal
from a3mailer.identity.roles import allow
from a3mailer.identity.sasl.exchange import Context, Exchange
from a3mailer.identity.sasl.offer import offered
from a3mailer.mail.errors import NotAllowed
from a3mailer.telemetry import metrics
from a3mailer.telemetry.events import emit
from a3mailer.wire.managesieve.encode import response, string
from a3mailer.wire.managesieve.engine import Engine

SEND_SECONDS: Final = 120.0
"""How long a client may leave us unable to send."""
HANDSHAKE_SECONDS: Final = 30.0
"""For TLS after STARTTLS."""
BAD_COMMANDS: Final = 10
"""Refusals of a stranger before the session ends, ..."""
BAD_COMMANDS_OF_USERS: Final = 100
"""... and lines in a row that are no commands, of a user."""


class Session:
    """The state of one connection."""

    __slots__ = ("_bad", "_context", "_directory", "_idle_until", "_login_until", "_time", "connection",
                 "ended", "engine", "exchange", "principal", "services", "settings", "trace")  # fmt: skip

    def __init__(self, services: Services, connection: Connection, trace: str) -> None:
        self.services = services
        self.settings = services.settings
        self.connection = connection
        self.trace = trace
        self.engine = Engine(services.scripts.largest)
        self.principal: Principal = ANONYMOUS
        self.exchange: Exchange | None = None
        self.ended = False
        """Nothing is read any more."""
        self._bad = 0
        self._context: Context | None = None
        self._directory = services.views.directory
        self._time = asyncio.get_running_loop().time
        self._login_until = self._time() + self.settings.managesieve.login_seconds
        self._idle_until = 0.0

    # --- who and what ------------------------------------------------------------------------------

    @property
    def known(self) -> bool:
        """Has somebody logged in?"""
        return self.engine.authenticated

    def require(self, action: str) -> None:
        """The one place where every command's permission is asked. Errors: NotAllowed."""
        who = self.principal
        if not allow(who, action, Object(who.tenant, who.account, who.domain, who.role)):
            raise NotAllowed

    def context(self) -> Context:
        """The connection as SASL sees it; made anew after STARTTLS."""
        if self._context is None:
            connection, plaintext = self.connection, self.settings.auth.plaintext
            authenticator = self.services.authenticator
            self._context = context_of(connection, authenticator, connection.peer[0], plaintext=plaintext)
        return self._context

    async def capabilities(self) -> bytes:
        """The capability lines of the present state (section 1.7)."""
        scripts = self.services.scripts
        mechanisms = await offered(self.context())
        offers_tls = self.services.tls is not None and not self.connection.secure and not self.known
        found: list[tuple[str, str | None]] = [("IMPLEMENTATION", "A3Mailer"), ("VERSION", "1.0")]
        if mechanisms or offers_tls:  # empty if and only if there is STARTTLS
            found.append(("SASL", " ".join(mechanisms)))
        found.append(("SIEVE", " ".join(scripts.capabilities)))
        if "enotify" in scripts.capabilities:
            found.append(("NOTIFY", "mailto"))
        if "extlists" in scripts.capabilities:
            found.append(("EXTLISTS", "tag urn"))
        found += (("MAXREDIRECTS", str(self.settings.sieve.redirects)), ("LANGUAGE", "en"))
        if offers_tls:
            found.append(("STARTTLS", None))
        if self.known:
            found += (("OWNER", self.principal.address), ("UNAUTHENTICATE", None))
        return b"".join(
            string(name.encode()) + (b"" if value is None else b" " + string(value.encode())) + b"\r\n"
            for name, value in found
        )

    def enter(self, principal: Principal) -> None:
        """A login succeeded."""
        self.principal = principal
        self.engine.authenticated = True
        self._directory = self.services.views.directory
        self._bad = 0

    def leave(self) -> None:
        """UNAUTHENTICATE: as before the login, with a stranger's time."""
        self.principal = ANONYMOUS
        self.engine.authenticated = False
        self._login_until = self._time() + self.settings.managesieve.login_seconds

    async def still_stands(self) -> bool:
        """Is the account enabled, and of the credentials it logged in with?"""
        if self._directory == self.services.views.directory or not self.known:
            return True
        self._directory = self.services.views.directory
        return await self.services.authenticator.current(self.principal)

    async def start_tls(self) -> None:
        """Begin TLS; what was known of the connection before is forgotten (section 2.2)."""
        assert self.services.tls is not None
        await self.flush()
        self.connection.deadline = self._time() + HANDSHAKE_SECONDS
        await self.connection.start_tls(self.services.tls)
        self._context = None

    def forgive(self, seconds: float) -> None:
        """A login took so long at our side: it is not the client's time."""
        self._login_until += seconds

    # --- answers -----------------------------------------------------------------------------------

    def ok(self, text: str = "", code: bytes = b"") -> None:
        """OK."""
        metrics.count("a3_managesieve_commands_total", "ok")
        if self.known:
            self._bad = 0
        self._idle_until = 0.0
        self.connection.write(response(b"OK", text, code))

    def no(self, line: bytes) -> None:
        """NO to a command; a stranger has few of them."""
        metrics.count("a3_managesieve_commands_total", "no")
        self._bad += not self.known
        self._idle_until = 0.0
        if self._bad > BAD_COMMANDS and not self.known:
            self.bye("too many failures")
        else:
            self.connection.write(line)

    def refuse(self, text: str, *, fatal: bool = False) -> None:
        """NO to what is no command here, or BYE."""
        metrics.count("a3_managesieve_commands_total", "no")
        self._bad += 1
        if fatal or self._bad > (BAD_COMMANDS_OF_USERS if self.known else BAD_COMMANDS):
            emit(
                "managesieve.session.refused", level="warning", trace=self.trace,
                client=self.connection.peer[0], reason=text,
            )  # fmt: skip
            self.bye(text if fatal else "too many errors")
        else:
            self.connection.write(response(b"NO", text))

    def bye(self, text: str, code: bytes = b"") -> None:
        """End the session from our side."""
        self.connection.write(response(b"BYE", text, code))
        self.ended = True

    async def flush(self) -> None:
        """Errors: ConnectionLost when the client does not take what was written."""
        if self.connection.unsent > HIGH_WATER:
            self.connection.deadline = self._time() + SEND_SECONDS
            await self.connection.drain()

    def listen(self) -> None:
        """Set the time by which the next command has to be there (section 1.2: 30 minutes for users)."""
        connection = self.connection
        connection.idle = not self.engine.pending
        if not self.known:
            connection.deadline = self._login_until
            return
        if not self._idle_until:
            self._idle_until = self._time() + self.settings.managesieve.idle_seconds
        connection.deadline = self._idle_until

    def allow_farewell(self) -> None:
        """The last answer may take so long to leave."""
        self.connection.idle = False
        self.connection.deadline = self._time() + SEND_SECONDS
