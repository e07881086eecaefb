"""The stages of a mail transaction and the checks that look at them (RFC 5321 section 7, RFC 6409).

A check is one file under ``transfer/checks`` and one line of its table. It asks the doors it is given and
says what it found; whether that refuses or is only noted for the header is the operator's setting. Where no
check is wanted (``profile=plain``) all sessions share one empty ``Course``: nothing is made or waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import ClassVar, Final, Protocol

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.mail.address import NULL_PATH
from a3mailer.mail.envelope import Client, Envelope, Recipient
from a3mailer.mail.errors import Refused
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.resolver import Resolver, ResolverFailure
from a3mailer.runtime.shared import SharedTable
from a3mailer.runtime.supervise import contained
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.arrival import is_exempt
from a3mailer.transfer.route import Route

MAX_NOTES: Final = 32
"""Findings kept a mail; more are told to nobody."""
MAX_NOTE: Final = 400
"""Characters of one finding that are kept."""
STRANGERS: Final = frozenset(("SMTP",))
SENDERS: Final = frozenset(("SMTP", "submission"))
"""Whose mail comes from outside of this machine's own delivery."""


class Stage(Enum):
    """When a check looks: after the command of this name, before it is answered."""

    CONNECT = "connect"
    EHLO = "ehlo"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"


class Facts(msgspec.Struct, frozen=True):
    """What is known at a stage: the further on, the more."""

    client: Client
    envelope: Envelope = Envelope(NULL_PATH)
    """From MAIL on; with the recipients taken so far."""
    recipient: Recipient | None = None
    """At RCPT: the one it is about."""
    routes: tuple[Route, ...] = ()
    """At RCPT: where it leads."""


class Finding(msgspec.Struct, frozen=True):
    """What a check has against a mail. ``text`` is for client and header: one line, no secrets."""

    text: str
    status: str = "5.7.1"
    """Enhanced status code (RFC 3463) of a refusal; one that begins with 4 asks to try again."""
    binding: bool = False
    """It refuses whatever ``policy.refuse`` says: the operator has set a number or a switch for it."""


class Doors(msgspec.Struct, frozen=True):
    """What a check may ask. Everything it remembers lies in one of the tables."""

    settings: Settings
    resolver: Resolver
    clock: Clock
    rates: SharedTable
    """Counts that fall with time, of all workers."""
    greylist: SharedTable
    """Triplets seen, of all workers; kept over restarts."""


class Check(Protocol):
    """One check: a value without state. The same answers of its doors give the same finding."""

    name: ClassVar[str]
    stage: ClassVar[Stage]
    protocols: ClassVar[frozenset[str]]
    judges: ClassVar[bool]
    """It judges strangers: not asked for clients on this machine unless name servers are set."""

    def wanted(self, settings: Settings) -> bool:
        """Is it switched on?"""
        ...

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        """What it has against it; None for nothing. Errors: ResolverFailure, which says it could not look."""
        ...


class Filters(Protocol):
    """Programs of others that follow one connection from its begin (``milter_session.py``)."""

    def hears(self, stage: Stage) -> bool:
        """Is this stage told?"""
        ...

    async def at(self, stage: Stage, facts: Facts, trace: str) -> None:
        """Tell what has come. Errors: Refused."""
        ...

    def close(self) -> None:
        """The connection has ended."""
        ...


NO_CHECKS: Final[Mapping[Stage, tuple[Check, ...]]] = {}


class Course:
    """The checks of one connection, and what they have noted of the mail in hand."""

    __slots__ = ("_checks", "_doors", "_late", "_of_client", "_of_mail", "_trace", "filters")

    def __init__(
        self,
        checks: Mapping[Stage, tuple[Check, ...]],
        doors: Doors | None,
        trace: str,
        filters: Filters | None = None,
        late: Mapping[Stage, tuple[Check, ...]] = NO_CHECKS,
    ) -> None:
        """``late``: checks that cost others something; they see what ``checks`` have let through."""
        self.filters = filters
        self._checks = checks
        self._late = late
        self._doors = doors
        self._trace = trace
        self._of_client: dict[str, str] = {}
        self._of_mail: dict[str, str] = {}

    def has(self, stage: Stage) -> bool:
        """Does any check or filter look at this stage?"""
        return (
            stage in self._checks
            or stage in self._late
            or (self.filters is not None and self.filters.hears(stage))
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """``name=text`` of each check that found something and did not refuse."""
        if not self._of_client and not self._of_mail:
            return ()
        found = self._of_client | self._of_mail
        return tuple(f"{name}={text}" for name, text in found.items())[:MAX_NOTES]

    def forget(self) -> None:
        """The next mail begins."""
        self._of_mail.clear()

    async def run(self, stage: Stage, facts: Facts) -> None:
        """Ask all checks of a stage at once, then the late ones, then the filters.

        Errors: Refused, of the first check in the table that refuses, else of a filter."""
        for each in (self._checks, self._late):
            checks, doors = each.get(stage, ()), self._doors
            if checks and doors is not None:
                await self._run(checks, stage, facts, doors)
        if self.filters is not None:
            await self.filters.at(stage, facts, self._trace)

    def close(self) -> None:
        """The connection has ended."""
        if self.filters is not None:
            self.filters.close()

    async def _run(self, checks: tuple[Check, ...], stage: Stage, facts: Facts, doors: Doors) -> None:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._ask(check, facts, doors)) for check in checks]
        refused = None
        for check, task in zip(checks, asked, strict=True):
            finding = task.result()
            if finding is None:
                continue
            if finding.binding or check.name in doors.settings.policy.refuse:
                refused = refused or finding
                count("a3_policy_refusals_total", stage.value)
                emit("policy.refused", trace=self._trace, check=check.name, client=facts.client.ip)
            else:
                self._note(stage, check.name, finding.text)
        if refused is not None:
            raise Refused(plain(refused.text), refused.status)

    async def _ask(self, check: Check, facts: Facts, doors: Doors) -> Finding | None:
        """What a check says within the time; one that cannot say leaves a note and refuses nothing."""
        answer = await contained(self._in_time(check, facts, doors), f"check.{check.name}", self._trace)
        return Finding("failed") if answer is None else answer[0]

    async def _in_time(self, check: Check, facts: Facts, doors: Doors) -> tuple[Finding | None]:
        try:
            async with asyncio.timeout(doors.settings.policy.seconds):
                return (await check.look(facts, doors),)
        except (TimeoutError, ResolverFailure):
            self._note(check.stage, check.name, "temperror")
            return (None,)

    def _note(self, stage: Stage, name: str, text: str) -> None:
        notes = self._of_client if stage in (Stage.CONNECT, Stage.EHLO, Stage.AUTH) else self._of_mail
        if len(notes) < MAX_NOTES:
            notes[name] = plain(text)


UNCHECKED: Final = Course(NO_CHECKS, None, "")
"""Of all connections that no check looks at."""


class Stages:
    """The checks of a process: which are wanted, by protocol and stage."""

    __slots__ = ("_checks", "_clock", "_doors", "_greylist", "_late", "_rates", "_resolver", "_wanted",
                 "filters")  # fmt: skip

    def __init__(
        self,
        checks: Sequence[Check],
        resolver: Resolver,
        clock: Clock,
        rates: SharedTable,
        greylist: SharedTable,
        settings: Settings,
        late: Sequence[Check] = (),
    ) -> None:
        """``late``: checks that are asked after the others of their stage."""
        self._checks = tuple(checks)
        self._late = tuple(late)
        self._resolver = resolver
        self._clock = clock
        self._rates = rates
        self._greylist = greylist
        self.filters: Callable[[Client], Filters | None] = lambda client: None
        """Makes what follows a connection; None where nothing does."""
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot; connections keep the checks they began with."""
        self._doors = Doors(settings, self._resolver, self._clock, self._rates, self._greylist)
        plain_profile = settings.server.profile == "plain"
        both = ((check, late) for late in (False, True) for check in (self._late if late else self._checks))
        self._wanted = () if plain_profile else tuple((c, late) for c, late in both if c.wanted(settings))

    @property
    def doors(self) -> Doors:
        """What the checks ask."""
        return self._doors

    def course(self, client: Client, trace: str) -> Course:
        """The checks for this client's connection."""
        filters = self.filters(client)
        if not self._wanted and filters is None:
            return UNCHECKED
        exempt = is_exempt(client, self._doors.settings)
        found: tuple[dict[Stage, tuple[Check, ...]], dict[Stage, tuple[Check, ...]]] = ({}, {})
        for check, late in self._wanted:
            if client.protocol in check.protocols and not (check.judges and exempt):
                found[late][check.stage] = (*found[late].get(check.stage, ()), check)
        if not any(found) and filters is None:
            return UNCHECKED
        return Course(found[0], self._doors, trace, filters, found[1])


def plain(text: str) -> str:
    """A finding as it may stand in a header field: printable ASCII on one line, no separator of ours."""
    kept = "".join(c if " " <= c <= "~" and c != ";" else "?" for c in text[:MAX_NOTE])
    return kept.strip()


def field_of(notes: Sequence[str]) -> bytes:
    """The header field that tells the notes, with its line end, folded; b"" without any."""
    return ("X-A3-Checks: " + ";\r\n\t".join(notes) + "\r\n").encode() if notes else b""
