"""Filters follow a session: each command is told as it comes, so that a filter can refuse one recipient.

One connection to each filter as long as the client's. What fails on the way (a filter that is not there, slow
or breaks the protocol) refuses nothing here: the mail is told anew, as a whole, at its end (``milter.py``),
and what a failure means is decided there. A session with nothing to tell is given up after IDLE_SECONDS, so
that clients who keep their connections do not keep the filters' too; the next mail begins another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.mail.address import Address
from a3mailer.mail.envelope import Client, Envelope, Recipient
from a3mailer.mail.errors import Refused
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.policy.rewrite import split, told
from a3mailer.transfer.policy.stages import Facts, Stage
from a3mailer.transfer.relay.session import Wire
from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.milter.codes import Command
from a3mailer.wire.milter.engine import Mail, MilterEngine, Part, Result, Verdict
from a3mailer.wire.smtp.paths import encode_mailbox

IDLE_SECONDS: Final = 60.0
"""How long a session waits for its client's next word."""
Dial = Callable[[str, float], Awaitable[Wire]]
"""(``unix:PATH`` or ``HOST:PORT``, seconds) -> a connection. Errors: ConnectionError."""
FAILURES: Final = (OSError, TimeoutError, RemoteProtocolError)
"""What a filter that is not there, slow or broken comes to."""
PARTS: Final = {
    Stage.CONNECT: Part.CONNECT,
    Stage.EHLO: Part.HELO,
    Stage.MAIL: Part.MAIL,
    Stage.RCPT: Part.RCPT,
}
"""The rest of a mail is told at its end (DATA is not a command of every mail: BDAT)."""


async def converse(wire: Wire, engine: MilterEngine, seconds: float) -> Result:
    """Up to a result; each answer has ``seconds``, and a filter may ask for more (progress).

    Errors: those of ``FAILURES``."""
    while (result := engine.result) is None:
        async with asyncio.timeout(seconds):
            if out := engine.octets_to_send():
                wire.write(out)
                await wire.drain()
            octets = await wire.read()
        if not octets:
            raise ConnectionError("it closed the connection")
        engine.receive(octets)
    return result


def check(result: Result) -> None:
    """Errors: Refused, where a filter refuses."""
    if result.verdict is Verdict.REJECT:
        raise Refused(result.text or "refused by a filter", result.status or "5.7.1")
    if result.verdict is Verdict.TEMPFAIL:
        raise Refused("a filter asks to try again", "4.7.1")


class MilterSession:
    """One filter beside one connection; ``verdict`` is what it said last of the mail in hand."""

    __slots__ = ("_of_connection", "_seconds", "_wire", "engine", "verdict")

    def __init__(self, wire: Wire, mail: Mail, seconds: float) -> None:
        self._wire = wire
        self._seconds = seconds
        self._of_connection = Verdict.CONTINUE
        self.engine = MilterEngine(mail, stays=True)
        self.verdict = Verdict.CONTINUE

    async def tell(self, mail: Mail, part: Part) -> Result:
        """What it says of a part; nothing is told once it has heard enough. Errors: FAILURES."""
        if part is Part.MAIL:
            self.verdict = self._of_connection
        if self.verdict in (Verdict.ACCEPT, Verdict.DISCARD):
            return Result(Verdict.CONTINUE)
        if part is not Part.CONNECT:
            self.engine.tell(mail, part)
        result = await converse(self._wire, self.engine, self._seconds)
        if out := self.engine.octets_to_send():
            self._wire.write(out)
        if result.verdict in (Verdict.ACCEPT, Verdict.DISCARD) and part is not Part.REST:
            self.verdict = result.verdict
            if part in (Part.CONNECT, Part.HELO) and result.verdict is Verdict.ACCEPT:
                self._of_connection = Verdict.ACCEPT
        return result

    def close(self) -> None:
        """Say goodbye."""
        try:
            self._wire.write(self.engine.quit())
        except ConnectionError:
            pass
        finally:
            self._wire.close()


class MilterSessions:
    """All filters beside one connection (``stages.Filters``)."""

    __slots__ = ("_dial", "_rested", "_sessions", "_settings", "_timer")

    def __init__(self, dial: Dial, settings: Settings) -> None:
        self._dial = dial
        self._settings = settings
        self._sessions: dict[str, MilterSession] = {}
        self._rested: tuple[str, ...] = ()
        """Whose sessions were idle too long."""
        self._timer: asyncio.TimerHandle | None = None

    def hears(self, stage: Stage) -> bool:
        """Is this stage told?"""
        return stage in PARTS

    def of(self, where: str) -> MilterSession | None:
        """The session of a filter that hears this connection."""
        return self._sessions.get(where)

    async def rest(self, where: str, mail: Mail, trace: str) -> Result | None:
        """What a filter says of a mail at its end; None: its session has failed."""
        if where not in self._sessions:
            return None
        with self._at_work():
            return await self._tell(where, mail, Part.REST, trace)

    async def at(self, stage: Stage, facts: Facts, trace: str) -> None:
        """Tell each filter in turn. Errors: Refused."""
        part = PARTS.get(stage)
        if part is None:
            return
        mail = _begun(facts, self._settings)
        with self._at_work():
            if stage is Stage.CONNECT:
                await self._begin(self._settings.milter.servers, mail, trace)
                return
            if stage is Stage.MAIL and self._rested:
                rested, self._rested = self._rested, ()
                await self._begin(rested, mail, trace)
                await self._tell_all(rested, mail, Stage.EHLO, trace)
            await self._tell_all(tuple(self._sessions), mail, stage, trace)

    async def _tell_all(self, filters: Iterable[str], mail: Mail, stage: Stage, trace: str) -> None:
        for where in filters:
            if where in self._sessions:
                result = await self._tell(where, mail, PARTS[stage], trace)
                if result is not None:
                    self._refused(result, stage, where, trace)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Idleness begins when it ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            yield
        finally:
            if self._sessions:
                self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._rest)

    def _rest(self) -> None:
        self._timer = None
        self._rested = (*self._rested, *self._sessions)
        for where in tuple(self._sessions):
            self.drop(where)

    def drop(self, where: str) -> None:
        """This session is over."""
        session = self._sessions.pop(where, None)
        if session is not None:
            session.close()

    def close(self) -> None:
        """The client has gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for where in tuple(self._sessions):
            self.drop(where)

    async def _begin(self, filters: Iterable[str], mail: Mail, trace: str) -> None:
        seconds = self._settings.milter.seconds
        for where in filters:
            try:
                wire = await self._dial(where, seconds)
            except FAILURES as error:
                _failed(trace, where, error)
                continue
            self._sessions[where] = MilterSession(wire, mail, seconds)
            result = await self._tell(where, mail, Part.CONNECT, trace)
            if result is not None:
                self._refused(result, Stage.CONNECT, where, trace)

    async def _tell(self, where: str, mail: Mail, part: Part, trace: str) -> Result | None:
        """None: the session has failed and is over."""
        try:
            return await self._sessions[where].tell(mail, part)
        except FAILURES as error:
            _failed(trace, where, error)
            self.drop(where)
            return None
        except asyncio.CancelledError:  # in the middle of an answer
            self.drop(where)
            raise

    def _refused(self, result: Result, stage: Stage, where: str, trace: str) -> None:
        if result.verdict in (Verdict.REJECT, Verdict.TEMPFAIL):
            count("a3_policy_refusals_total", stage.value)
            emit("policy.refused", trace=trace, check=f"milter {where}", stage=stage.value)
            check(result)


def _failed(trace: str, where: str, error: Exception) -> None:
    emit("milter.failed", level="warning", trace=trace, milter=where, error=str(error))


# --- what filters are told ---------------------------------------------------------------------------


def transaction(arrival: Arrival, octets: bytes, settings: Settings) -> Mail:
    """The whole of it as filters hear of it."""
    fields, _, body = split(octets)
    return _mail(
        arrival.client,
        arrival.envelope,
        arrival.envelope.recipients,
        settings,
        size=len(octets),
        trace=arrival.trace,
        fields=told(fields),
        body=body,
    )


def _begun(facts: Facts, settings: Settings) -> Mail:
    recipients = () if facts.recipient is None else (facts.recipient,)
    return _mail(facts.client, facts.envelope, recipients, settings, size=facts.envelope.size)


def _path(address: Address | None) -> bytes:
    return b"<>" if address is None else b"<%b>" % encode_mailbox(address)


def _mail(
    client: Client,
    envelope: Envelope,
    recipients: tuple[Recipient, ...],
    settings: Settings,
    *,
    size: int,
    trace: str = "",
    fields: tuple[tuple[bytes, bytes], ...] = (),
    body: bytes | memoryview = b"",
) -> Mail:
    """Macros as sendmail and Postfix name them."""
    sender = _path(envelope.reverse_path.address)
    protocol, _, cipher = client.tls.partition(" ")
    login = {"auth_type": "PLAIN", "auth_authen": client.login} if client.account else {}
    known = {"i": trace} if trace else {}
    macros = {
        Command.CONNECT: {"j": settings.server.hostname, "daemon_name": client.protocol, "v": "A3Mailer"},
        Command.HELO: {"tls_version": protocol, "cipher": cipher} if client.tls else {},
        Command.MAIL: {**known, "mail_addr": sender[1:-1].decode(), **login},
        Command.DATA: known,
        Command.END_OF_HEADER: known,
        Command.END_OF_BODY: known,
    }
    return Mail(
        f"[{client.ip}]",
        client.ip,
        client.port,
        client.helo.encode("utf-8", "replace"),
        (sender, *((b"SIZE=%d" % size,) if size else ()), b"BODY=%b" % envelope.body.value.encode()),
        tuple((_path(recipient.address),) for recipient in recipients),
        fields,
        body,
        macros,
        settings.smtp.size,
    )
