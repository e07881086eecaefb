"""The operator's Sieve at the stages of SMTP (``policy.scripts``; RFC 5228, ``vnd.a3.policy``).

A script sees as much as is known at its stage; at ``data`` the whole mail, as one of the judges. It refuses,
puts off, notes, or puts a mail apart; at ``data`` it may change header fields. It never throws a mail away.
An error of a run, its budget used up included, refuses nothing: it is noted with its line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from msgspec import structs

from a3mailer import __version__
from a3mailer.config.scripts import parse_scripted
from a3mailer.config.tree import Settings
from a3mailer.mail.address import ReversePath
from a3mailer.mail.authresults import PASS
from a3mailer.mail.envelope import Client, Recipient
from a3mailer.mail.errors import Refused
from a3mailer.msgauth.fields import read
from a3mailer.runtime.clock import SYSTEM, Clock
from a3mailer.telemetry.events import emit
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.forwarding.sealing import found_here
from a3mailer.transfer.policy.judge import Judged
from a3mailer.transfer.policy.stages import Check, Doors, Facts, Finding, Stage, field_of, plain
from a3mailer.transfer.route import leaves
from a3mailer.wire.sieve.actions import Keep, Reject
from a3mailer.wire.sieve.compile import Program, compile_script
from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.extensions import OPERATORS
from a3mailer.wire.sieve.extensions.policy import Quarantine, Refuse, Tag
from a3mailer.wire.sieve.interpret import Result, run
from a3mailer.wire.sieve.limits import Limits
from a3mailer.wire.sieve.view import MailView

DATA: Final = "data"
APART: Final = "quarantine"
"""What a note begins with where a mail is to be put apart."""
METHODS: Final = ("iprev", "spf", "dkim", "dmarc", "arc")
"""Results of authentication that a script at ``data`` may ask for, as ``vnd.a3.METHOD``."""
_ALL: Final = frozenset(("SMTP", "submission", "LMTP"))
Programs = dict[str, tuple[Program, ...]]


class BadScripts(Exception):
    """Scripts that cannot be read; ``problems`` has one line each, with file, line and column."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def compiled(directory: Path, settings: Settings) -> Programs:
    """The programs of each stage, in the order of the settings. Errors: BadScripts."""
    made: Programs = {}
    problems: list[str] = []
    for stage, file in map(parse_scripted, settings.policy.scripts):
        try:
            program = compile_script((directory / file).read_bytes(), OPERATORS)
            made[stage] = (*made.get(stage, ()), program)
        except OSError as error:
            problems.append(f"{file}: {error.strerror or error}")
        except ScriptError as error:
            problems.append(f"{file}:{error.line}:{error.column}: {error.text}")
    if problems:
        raise BadScripts(list(dict.fromkeys(problems)))
    return made


class Scripts:
    """The judge of whole mails, and what the checks of the other stages run. One object a process."""

    __slots__ = ("_clock", "_directory", "_programs", "_settings")

    def __init__(self, directory: Path, settings: Settings, clock: Clock = SYSTEM) -> None:
        self._directory = directory
        self._clock = clock
        self._programs: Programs = {}
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot, and the scripts as they are; broken ones change nothing."""
        self._settings = settings
        try:
            self._programs = compiled(self._directory, settings)
        except BadScripts as error:
            emit("policy.scripts.refused", level="error", error=str(error))

    def checks(self) -> tuple[Check, ...]:
        """One for each stage before the content."""
        return tuple(kind(self) for kind in CHECKS)

    def look(self, stage: str, view: MailView, trace: str = "") -> Finding | None:
        """What the scripts of a stage find; the first refusal is the last word."""
        notes: list[str] = []
        for program in self._programs.get(stage, ()):
            result = self._run(program, view, stage, trace)
            finding, noted = found_by(result)
            if finding is not None:
                return finding
            notes += noted
        return Finding(", ".join(notes)) if notes else None

    def _run(self, program: Program, view: MailView, stage: str, trace: str) -> Result:
        result = run(program, view, Limits(steps=self._settings.policy.script_steps))
        if result.error is not None:
            emit("policy.script.failed", level="error", trace=trace, stage=stage, error=str(result.error))
        return result

    # --- whole mails -------------------------------------------------------------------------------

    def wants(self, arrival: Arrival) -> bool:
        """Is there a script for it, or has one of a stage put it apart?"""
        if not self._settings.policy.scripts or self._settings.server.profile == "plain":
            return False
        if any(_is_apart(note) for note in arrival.notes):
            return True
        return DATA in self._programs and self._is_at_door(arrival)

    async def judge(self, mail: Judged, seconds: float) -> Judged:
        """Errors: Refused."""
        apart = any(_is_apart(note) for note in mail.arrival.notes)
        if self._is_at_door(mail.arrival):
            for program in self._programs.get(DATA, ()):
                mail, wanted = await self._judge(program, mail)
                apart |= wanted
        if not apart:
            return mail
        if leaves(mail.arrival.routes):
            raise Refused("this mail is to be kept apart")
        return structs.replace(mail, junk=True)

    def _is_at_door(self, arrival: Arrival) -> bool:
        return arrival.client.protocol.lower() in self._settings.policy.script_doors

    async def _judge(self, program: Program, mail: Judged) -> tuple[Judged, bool]:
        """The mail after one script, and whether it is put apart. Errors: Refused."""
        arrival = mail.arrival
        octets, envelope = bytes(arrival.octets), arrival.envelope
        view = view_of(
            DATA,
            arrival.client,
            self._settings,
            envelope.reverse_path,
            envelope.recipients,
            octets,
            mail,
            now=self._clock.now(),
        )
        result = await asyncio.to_thread(self._run, program, view, DATA, arrival.trace)
        finding, notes = found_by(result)
        if finding is not None:
            raise Refused(plain(finding.text), finding.status)
        if notes:
            mail = mail.with_top(field_of((f"script_data={plain(', '.join(notes))}",)))
        header = next((each.header for each in result.actions if isinstance(each, Keep)), None)
        if header is not None:
            before = sum(len(field.octets) for field in view.fields)
            mail = mail.with_octets(header + octets[before:])
        return mail, any(note.startswith(APART) for note in notes)


def found_by(result: Result) -> tuple[Finding | None, list[str]]:
    """(why it refuses, what is noted)."""
    if result.error is not None:
        return None, [f"failed in line {result.error.line}: {result.error.text}"]
    notes: list[str] = []
    for action in result.actions:
        if isinstance(action, Refuse):
            return Finding(action.text, action.status, binding=True), []
        if isinstance(action, Reject):
            return Finding(" ".join(action.text.split()) or "not wanted here", binding=True), []
        if isinstance(action, Tag):
            notes.append(action.text or "tagged")
        elif isinstance(action, Quarantine):
            notes.insert(0, f"{APART}: {action.text}")
    return None, notes


def _is_apart(note: str) -> bool:
    name, _, text = note.partition("=")
    return name.startswith("script_") and text.startswith(APART)


def view_of(
    stage: str,
    client: Client,
    settings: Settings,
    reverse_path: ReversePath | None = None,
    recipients: Sequence[Recipient] = (),
    octets: bytes = b"",
    mail: Judged | None = None,
    size: int | None = None,
    now: float = 0.0,
) -> MailView:
    """What a script sees. ``reverse_path`` None: MAIL has not come. Its dates are of UTC, as all of ours."""
    envelope: dict[str, tuple[bytes, ...]] = {}
    if reverse_path is not None:
        envelope["from"] = (str(reverse_path).encode("utf-8", "replace"),)
        envelope["to"] = tuple(str(each.address).encode("utf-8", "replace") for each in recipients)
    place = {
        "name": "A3Mailer",
        "version": __version__,
        "location": "MTA",
        "phase": "pre",
        "host": settings.server.hostname,
        "domain": settings.server.domain,
        "remote-ip": client.ip,
        "vnd.a3.stage": stage,
        "vnd.a3.helo": client.helo,
        "vnd.a3.login": client.login,
        "vnd.a3.tls": client.tls,
        "vnd.a3.door": client.protocol.lower(),
        **({} if mail is None else _authentication(mail, settings.server.hostname)),
    }
    environment = {item: value.encode("utf-8", "replace") for item, value in place.items()}
    return MailView(octets, envelope, environment, size, now=(int(now), 0))


def _authentication(mail: Judged, hostname: str) -> dict[str, str]:
    """What was found of the mail, and the domain of its author where that was proved."""
    found = found_here(read(mail.top), hostname) if mail.top else None
    words = {"vnd.a3.author": mail.author}
    for method in METHODS:
        said = [each.result for each in found.of(method)] if found is not None else []
        words[f"vnd.a3.{method}"] = PASS if PASS in said else next(iter(said), "")
    return words


class _Scripted:
    """The check of one stage."""

    name: ClassVar[str]
    stage: ClassVar[Stage]
    protocols: ClassVar[frozenset[str]] = _ALL
    judges: ClassVar[bool] = False

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def wanted(self, settings: Settings) -> bool:
        return any(parse_scripted(text).stage == self.stage.value for text in settings.policy.scripts)

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        if facts.client.protocol.lower() not in doors.settings.policy.script_doors:
            return None
        begun = self.stage in (Stage.MAIL, Stage.RCPT)
        view = view_of(
            self.stage.value,
            facts.client,
            doors.settings,
            facts.envelope.reverse_path if begun else None,
            () if facts.recipient is None else (facts.recipient,),
            size=facts.envelope.size,
            now=doors.clock.now(),
        )
        return self._scripts.look(self.stage.value, view)


def _at(stage: Stage) -> type[_Scripted]:
    return type(
        f"Script{stage.value.title()}", (_Scripted,), {"name": f"script_{stage.value}", "stage": stage}
    )


CHECKS: Final = tuple(_at(stage) for stage in Stage if stage is not Stage.DATA)
