"""Milters look at a mail before it is stored: each in turn, with what it changes applied before the next.

Where a session was told them as it went on (``milter_session.py``), only the rest is told here.

A filter that is not there, too slow or breaks the protocol is passed over or makes the sender try again, as
``milter.failure`` says. A recipient whom a filter refuses refuses the mail: when the mail is whole nobody
else can be told any more, and a notification to a stranger would be backscatter (RFC 5321 section 6.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from msgspec import structs

from a3mailer.config.tree import Settings
from a3mailer.mail.address import NULL_PATH, Address, ReversePath
from a3mailer.mail.envelope import Client, Envelope, Recipient
from a3mailer.mail.errors import MailError, NoSuchDomain, Refused, TryLater
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.telemetry.events import emit
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.policy.judge import Judged
from a3mailer.transfer.policy.milter_session import (
    FAILURES,
    Dial,
    MilterSessions,
    check,
    converse,
    transaction,
)
from a3mailer.transfer.policy.rewrite import changed
from a3mailer.transfer.route import Remote, Route, leaves
from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.milter.engine import MilterEngine, Result, Verdict
from a3mailer.wire.milter.packets import (
    AddRecipient,
    Change,
    ChangeSender,
    DeleteRecipient,
    Quarantine,
)
from a3mailer.wire.smtp.paths import BadPath, parse_mailbox

Lead = Callable[[Address], Awaitable[tuple[Route, ...]]]
"""Where an address of ours leads (``Policy.lead``)."""
MAX_RECIPIENTS: Final = 1000
"""Recipients a mail may have once filters have added theirs."""


class Milters:
    """The judge that asks the filters of ``milter.servers``."""

    __slots__ = ("_dial", "_lead", "_settings")

    def __init__(self, dial: Dial, lead: Lead, settings: Settings) -> None:
        self._dial = dial
        self._lead = lead
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._settings = settings

    def wants(self, arrival: Arrival) -> bool:
        """Filters are set, and look at what comes by this door."""
        settings = self._settings
        return (
            bool(settings.milter.servers)
            and settings.server.profile != "plain"
            and arrival.client.protocol.lower() in settings.milter.doors
        )

    def follow(self, client: Client) -> MilterSessions | None:
        """What tells the filters of a connection as it goes on; None where they hear whole mails only."""
        settings = self._settings
        if not settings.milter.servers or not settings.milter.early or settings.server.profile == "plain":
            return None
        if client.protocol.lower() not in settings.milter.doors:
            return None
        return MilterSessions(self._dial, settings)

    async def judge(self, mail: Judged, seconds: float) -> Judged:
        """Ask each filter. Errors: Refused, TryLater."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        for where in self._settings.milter.servers:
            if mail.discarded or not mail.arrival.routes:
                break
            try:
                async with asyncio.timeout_at(until):
                    mail = await self._ask(where, mail)
            except FAILURES as error:
                emit(
                    "milter.failed", level="warning", trace=mail.arrival.trace, milter=where, error=str(error)
                )
                if self._settings.milter.failure != "accept":
                    raise TryLater from error
        return mail

    async def _ask(self, where: str, mail: Judged) -> Judged:
        octets = bytes(mail.arrival.octets[:])
        told = transaction(mail.arrival, octets, self._settings)
        followed = mail.arrival.filters
        session = followed.of(where) if isinstance(followed, MilterSessions) else None
        if session is not None and session.verdict is Verdict.ACCEPT:
            return mail
        if session is not None and session.verdict is Verdict.DISCARD:
            return structs.replace(mail, discarded=True)
        result = None
        if session is not None and isinstance(followed, MilterSessions):
            result = await followed.rest(where, told, mail.arrival.trace)
        engine = MilterEngine(told) if session is None or result is None else session.engine
        if result is None:
            result = await self._whole(where, engine)
        emit("milter.answered", trace=mail.arrival.trace, milter=where, verdict=result.verdict.value,
             changes=len(result.changes))  # fmt: skip
        return await self._obey(mail, octets, result, leading_space=engine.leading_space)

    async def _whole(self, where: str, engine: MilterEngine) -> Result:
        """A connection for one mail."""
        wire = await self._dial(where, self._settings.milter.seconds)
        try:
            result = await converse(wire, engine, self._settings.milter.seconds)
            wire.write(engine.octets_to_send())
        finally:
            wire.close()
        return result

    async def _obey(self, mail: Judged, octets: bytes, result: Result, *, leading_space: bool) -> Judged:
        check(result)
        if result.verdict is Verdict.DISCARD:
            return structs.replace(mail, discarded=True)
        new = changed(octets, result.changes, leading_space=leading_space)
        if new != octets:
            mail = mail.with_octets(new)
        return self._apart(await self._readdressed(mail, result.changes), result.changes)

    def _apart(self, mail: Judged, changes: Iterable[Change]) -> Judged:
        """Quarantine: Junk here, and a mark for the next server of a relayed domain; nothing of it leaves."""
        if not any(isinstance(change, Quarantine) for change in changes):
            return mail
        if leaves(mail.arrival.routes):
            raise Refused("a filter wants this mail to be kept apart")
        return structs.replace(mail, junk=True)

    async def _readdressed(self, mail: Judged, changes: tuple[Change, ...]) -> Judged:
        """Recipients added and taken out, and the reverse-path."""
        people = list(zip(mail.arrival.envelope.recipients, mail.arrival.routes, strict=True))
        before = list(people)
        for change in changes:
            match change:
                case DeleteRecipient(path):
                    gone = _address(path)
                    people = [pair for pair in people if pair[0].address != gone]
                case AddRecipient(path):
                    added = _address(path)
                    if all(pair[0].address != added for pair in people):
                        people.append((Recipient(added), await self._routes(added)))
                    if len(people) > MAX_RECIPIENTS:
                        raise RemoteProtocolError("too many recipients")
                case ChangeSender(path):
                    sender = NULL_PATH if path.strip() in (b"", b"<>") else ReversePath(_address(path))
                    envelope: Envelope = structs.replace(mail.arrival.envelope, reverse_path=sender)
                    mail = structs.replace(mail, arrival=structs.replace(mail.arrival, envelope=envelope))
        return mail if people == before else mail.with_recipients(tuple(people))

    async def _routes(self, address: Address) -> tuple[Route, ...]:
        """Where a recipient leads that a filter has added: it is the operator's word, so also out."""
        try:
            return await self._lead(address)
        except NoSuchDomain:
            return (Remote(address, DEFAULT_TENANT),)
        except MailError as error:
            raise RemoteProtocolError(f"a recipient that is none: {type(error).__name__}") from error


def _address(path: bytes) -> Address:
    """``<mailbox>`` or ``mailbox``. Errors: RemoteProtocolError."""
    text = path.strip()
    if text.startswith(b"<") and text.endswith(b">"):
        text = text[1:-1]
    try:
        return parse_mailbox(text)
    except BadPath as error:
        raise RemoteProtocolError("an address that is none") from error
