"""Run the scripts that a delivery meets, and gather what becomes of it (RFC 5228 section 2.10).

In order: the operator's before, the account's own, the operator's after; the next one runs where the one
before leaves the mail to be kept. After the account's own comes the answer of who is away (RFC 8621 section
8), where the account has the mail, in whatever mailbox, and its script has answered nothing. An error of
one keeps the mail as far as that script goes, and is told to whose script it is. Most runs take some ten
steps and stay on the loop; what takes more goes on in a thread, under the budget of the mail, of the
account's hour, and of time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from msgspec import structs

from a3mailer.config.tree import Settings
from a3mailer.identity.directory import Directory
from a3mailer.mail.errors import BadScript, MailError
from a3mailer.store.ports import Store
from a3mailer.store.rows import SCRIPT_LIST
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.filtering.effects import SEEN, Doors, Effects, Made
from a3mailer.transfer.filtering.hourly import Hourly
from a3mailer.transfer.filtering.letters import Letters
from a3mailer.transfer.filtering.mail import (
    OWN_ONLY,
    Answers,
    Delivery,
    DeliveryView,
    Filing,
    Lacking,
    NoScript,
    Question,
    ScriptsOf,
)
from a3mailer.transfer.filtering.site import NONE, Named, Site
from a3mailer.transfer.forwarding.forward import Forwarding
from a3mailer.transfer.policy.scripts import BadScripts
from a3mailer.transfer.route import Local
from a3mailer.transfer.work import Work
from a3mailer.wire.sieve.actions import Action, Failure, FileInto, Keep, Reject, Vacation
from a3mailer.wire.sieve.compile import Program
from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.interpret import Result, run
from a3mailer.wire.sieve.limits import Limits

QUESTIONS: Final = 200
"""What the scripts of one delivery may ask the store."""
ON_LOOP: Final = 1_000
"""Steps that a run may take before it goes on in a thread: about a millisecond."""


SiteOf = Callable[[Settings], Site]
"""Errors: BadScripts."""


class Step(NamedTuple):
    """One script of the row."""

    name: str
    program: Program | None
    digest: str = ""
    """Of an account's own; empty for one of the operator's."""
    error: str = ""
    """Why there is no program."""
    answer: Vacation | None = None
    """It is no script, but this."""
    charged: bool = False
    """It is the operator's, and yet its steps are those of the account's hour."""


class Filtering:
    """One object a process."""

    __slots__ = ("_scripts", "_site", "_site_of", "doors", "settings")

    def __init__(
        self,
        scripts: ScriptsOf,
        store: Store,
        directory: Directory,
        settings: Settings,
        counts: Hourly,
        forwarding: Forwarding | None = None,
        site: SiteOf = lambda settings: NONE,
        filing: Filing = OWN_ONLY,
    ) -> None:
        """``counts``: what accounts have used; ``site``: the operator's scripts of some settings;
        ``filing``: names of mailboxes."""
        self._scripts = scripts
        self.doors = Doors(store, directory, settings, Letters(settings), counts, forwarding, filing)
        self.settings = settings
        self._site_of = site
        self._site = NONE
        self._take_site(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot, and the operator's scripts; broken ones change nothing."""
        old = self.doors
        old.hourly.reconfigure(settings)
        self.settings = settings
        self.doors = structs.replace(old, settings=settings, letters=Letters(settings))
        self._take_site(settings)

    def _take_site(self, settings: Settings) -> None:
        try:
            self._site = self._site_of(settings)
        except BadScripts as error:
            emit("sieve.scripts.refused", level="error", error=str(error))

    @property
    def included(self) -> Mapping[str, Program]:
        """The operator's scripts that others may name."""
        return self._site.included

    def concerns(self, routes: Iterable[Local]) -> bool:
        """May a script run for any of them? False costs nothing; True may turn out to be none."""
        if self._site.before or self._site.after:
            return True
        idle = self._scripts.is_idle
        return not all(map(idle, [route.account for route in routes]))

    async def wants(self, route: Local) -> bool:
        """Does a script run for it, or may it be answered?"""
        return bool(await self._row(route, None))

    async def __call__(self, mail: Delivery, work: Work) -> Made:
        """What becomes of one delivery goes into ``work``, whose content 0 is the mail as it came."""
        row = await self._row(mail.route, mail.now)
        if not row:
            return Made(plain=True)
        answers = Answers(self._site.included)
        view = DeliveryView(mail, mail.octets, self.settings, answers)
        effects = Effects(self.doors, mail, view, work)
        made = effects.made
        left = self.settings.sieve.steps
        kept: Keep | None = Keep(implicit=True)
        may_answer = True
        for step in row:
            if step.answer is not None and may_answer:
                await effects.take(step.answer)
            if step.answer is not None or kept is None or made.rejected is not None:
                continue
            result = await self.run(step, mail, view, answers, left)
            left -= min(result.steps, left)
            if result.error is not None:
                self._failed(step, mail, result.error, made)
                continue
            kept, made.rejected = await self._take(result.actions, effects)
            may_answer = may_answer and made.rejected is None and _leaves(result.actions, step)
            if kept is None or made.rejected is not None:
                continue
            octets = effects.octets_of(kept)
            if kept.header is not None or kept.octets is not None:
                view = DeliveryView(mail, octets, self.settings, answers)
                effects.go_on(octets, view)
        if made.rejected is None and kept is not None:
            await effects.take(kept)
        own = next((step for step in row if step.digest), None)
        if made.trouble and own is not None:
            await effects.tell(own.name, own.digest)
        return made

    async def _row(self, route: Local, now: int | None) -> Sequence[Step]:
        """The scripts, in their order. ``now``: None is any time."""
        before, after = self._site.around(route.address.rpartition("@")[2]) if self._is_around else ((), ())
        idle = self._scripts.is_idle(route.account)
        running = None if idle else await self._scripts.running(route.account)
        row = [_of_site(each) for each in before]
        if running is not None and (own := running.script) is not None:
            row.append(Step(own.name, own.program, own.digest, str(own.error or "")))
        away = None if running is None else running.away
        if away is not None and (now is None or away.is_at(now)):
            row.append(Step("vacation", None, answer=away.action))
        return (*row, *map(_of_site, after))

    @property
    def _is_around(self) -> bool:
        return bool(self._site.before or self._site.after)

    async def _take(self, actions: Sequence[Action], effects: Effects) -> tuple[Keep | None, Reject | None]:
        """Take all but a keep and a refusal, which are for the end of the row."""
        keep, reject = None, None
        for action in actions:
            if isinstance(action, Keep):
                keep = action
            elif isinstance(action, Reject):
                reject = action
            else:
                await effects.take(action)
        return keep, reject

    def _failed(self, step: Step, mail: Delivery, error: Failure, made: Made) -> None:
        """Told to the owner of the script; of an operator's in the log."""
        count("a3_sieve_actions_total", "failed")
        if not step.digest:
            emit("sieve.script.failed", level="error", trace=mail.trace, script=step.name, error=str(error))
        elif not made.trouble:
            made.at, made.trouble = f"{error.line}:{error.column}", str(error)

    # --- running -----------------------------------------------------------------------------------

    async def run(
        self, step: Step, mail: Delivery, view: DeliveryView, answers: Answers, steps: int
    ) -> Result:
        """One script, under all budgets."""
        if step.program is None:
            return _over(step.error or "it is no script")
        own, spent = bool(step.digest) or step.charged, self.doors.hourly
        if own and not spent.has_steps(mail.route.account):
            return _over("the scripts of this account have used up their time of this hour")
        sieve = self.settings.sieve
        limits = Limits(steps, sieve.memory, redirects=sieve.redirects)
        result = None
        with suppress(Lacking):
            result = _at_once(step.program, view, limits)
        if result is None:
            try:
                async with asyncio.timeout(sieve.seconds):
                    result = await self._answered(step.program, mail, view, answers, limits)
            except TimeoutError:
                result = _over(f"it took longer than {sieve.seconds:g} seconds", steps)
        if own:
            spent.spend_steps(mail.route.account, result.steps)
        return result

    async def _answered(
        self, program: Program, mail: Delivery, view: DeliveryView, answers: Answers, limits: Limits
    ) -> Result:
        """A run with all its questions answered, in a thread where it is long."""
        for _ in range(QUESTIONS):
            try:
                result = _at_once(program, view, limits)
                if result is None:
                    result = await asyncio.to_thread(run, program, view, limits)
            except Lacking as lacking:
                answers.known[lacking.question] = await self._answer(mail, lacking.question)
            else:
                return result
        return _over(f"it asks more than {QUESTIONS} questions", limits.steps)

    async def _answer(self, mail: Delivery, question: Question) -> object:
        account, store = mail.route.account, self.doors.store
        if question.kind == "mailboxes":
            return await store.mailboxes(account)
        if question.kind == "seen":
            return await store.document(account, SEEN, question.name) is not None
        if question.kind == "foreign":
            return await self.doors.filing.find(account, question.name)
        if question.kind == "annotation":
            return await self.doors.filing.annotation(account, question.of, question.name)
        if question.kind == "list":
            found = await store.document(account, SCRIPT_LIST, question.name)
            names = [] if found is None else filter(None, found.value.split("\n"))
            return None if found is None else {each.lower().encode(): each.encode() for each in names}
        try:
            return await self._scripts.included(account, question.name)
        except BadScript as error:
            return NoScript(ScriptError(error.text, error.line, error.column))
        except MailError as error:
            return NoScript(ScriptError(str(error), 1, 1))


def _at_once(program: Program, view: DeliveryView, limits: Limits) -> Result | None:
    """A run on the loop; None where it is long: then it has done nothing. Errors: Lacking."""
    few = limits._replace(steps=min(limits.steps, ON_LOOP))
    result = run(program, view, few)
    return None if result.error is not None and result.steps > few.steps < limits.steps else result


def _leaves(actions: Sequence[Action], step: Step) -> bool:
    """Is a mail with the account after these actions, and is nobody answered yet?"""
    kinds = (Keep, FileInto) if step.digest else Keep
    return any(isinstance(each, kinds) for each in actions) and not any(
        isinstance(each, Vacation) for each in actions
    )


def _of_site(named: Named) -> Step:
    return Step(named.file, named.program)


def _over(text: str, steps: int = 0) -> Result:
    """In place of a run: the mail is kept, and this is told."""
    return Result((Keep(implicit=True),), Failure(text, 1, 1), (), steps)
