"""Scripts that run for what a client of IMAP did (RFC 6785): the message lies in its mailbox already.

It is never changed but for its flags. What a script wants besides is one transaction, as at a delivery, under
the same budgets, those of the owner of the mailbox, and nothing of it is an event again. Where no keep is in
effect the message is marked ``\\Deleted``; an error leaves everything as it was.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

from a3mailer.config.tree import Settings
from a3mailer.identity.directory import parse_stored
from a3mailer.mail.address import ReversePath
from a3mailer.mail.envelope import Recipient
from a3mailer.mail.errors import AlreadyExists, MailError
from a3mailer.mail.event import Event
from a3mailer.mail.flags import DELETED, SYSTEM_FLAGS
from a3mailer.mail.ids import ModSeq, Uid
from a3mailer.mail.message import index
from a3mailer.mail.message.headers import header_end
from a3mailer.runtime.clock import Clock
from a3mailer.store import rows
from a3mailer.store.operations import Appended, Flagged, StoreFlags
from a3mailer.store.ports import Transaction
from a3mailer.telemetry.events import emit, new_trace
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.filtering.effects import Doors, Effects, Table, flags_of
from a3mailer.transfer.filtering.filtering import Filtering, Step
from a3mailer.transfer.filtering.mail import Active, Answers, Delivery, DeliveryView
from a3mailer.transfer.route import Local
from a3mailer.transfer.trace import count_hops
from a3mailer.transfer.work import Work
from a3mailer.wire.sieve.actions import FileInto, Keep, Notify, Redirect
from a3mailer.wire.sieve.compile import Program
from a3mailer.wire.sieve.errors import RunFailed, ScriptError
from a3mailer.wire.sieve.extensions.imapsieve import applicable, items

INDEXED_HERE: Final = 64 * 1024
"""The parts of larger messages are looked for in a thread."""
TRIES: Final = 2
"""Of two that tell the owner of the same trouble at once, one looks again."""
NOTHING: Final = ModSeq(0)


class EventAnswers(Answers):
    """Included scripts, too, are of those that can run for an event."""

    __slots__ = ()

    def script(self, location: str, name: str) -> object | None:
        """``door.Mail.script``. Errors: ScriptError."""
        found = super().script(location, name)
        return applicable(found) if isinstance(found, Program) else found


class EventView(DeliveryView):
    """A message in its mailbox, for scripts."""

    def __init__(
        self,
        mail: Delivery,
        settings: Settings,
        answers: Answers,
        message: rows.Message,
        told: dict[str, str],
    ) -> None:
        """``told``: items of the environment besides those of all scripts."""
        super().__init__(mail, mail.octets, settings, answers)
        self.flags = flags_of_message(message)
        self._told = told

    def envelope(self, part: str) -> tuple[bytes, ...]:
        """There is none (RFC 6785 section 4.6). Errors: RunFailed."""
        raise RunFailed("a message in a mailbox has no envelope")

    def environment(self, item: str) -> bytes | None:
        """An item of the environment (RFC 6785 section 4)."""
        found = self._told.get(item)
        return super().environment(item) if found is None else found.encode("utf-8", "replace")


def flags_of_message(message: rows.Message) -> tuple[str, ...]:
    """Flags and keywords as a script has them."""
    system = (name for name, bit in SYSTEM_FLAGS.items() if message.flags & bit)
    return (*system, *message.keywords.split())


class EventEffects(Effects):
    """What a script wants done with a message in its mailbox (RFC 6785 section 3)."""

    table: ClassVar[Table] = ()
    check_quota = True
    vouches = False

    def __init__(
        self, doors: Doors, mail: Delivery, view: DeliveryView, box: rows.Mailbox, message: rows.Message
    ) -> None:
        super().__init__(doors, mail, view, Work())
        self._box = box
        self._message = message
        self._keeps: Keep | None = None

    @property
    def date(self) -> int:
        """That of the message."""
        return self._message.internal_date

    @property
    def where(self) -> str:
        """Its mailbox."""
        return self._box.name

    @property
    def work(self) -> Work:
        """What is to be done."""
        return self._work

    def _content(self, octets: bytes) -> int:
        """A number for what is filed: nothing comes with an event."""
        number = self._contents.get(octets)
        if number is None:
            number = self._contents[octets] = self._work.keep(octets)
        return number

    async def _keep(self, action: Keep) -> None:
        """It stays as it is; what a script has changed of it is not kept (section 3.1)."""
        self._keeps = action

    async def _file(self, action: FileInto) -> None:
        """A further message, also in the same mailbox (section 3.3)."""
        mailbox = await self._mailbox(action)
        if mailbox is None:
            self.fail(f"mailbox {action.mailbox}", f'there is no mailbox "{action.mailbox}" to file it into')
            self._keeps = Keep()
        else:
            self._append(mailbox, action)

    def finish(self) -> None:
        """What becomes of the message itself."""
        had, words = self._message.flags, frozenset(self._message.keywords.split())
        bits, wanted = had | DELETED, words
        if self._keeps is not None:
            bits, wanted = had, words
            if self._keeps.flags is not None:
                bits, named = flags_of(self._keeps.flags)
                wanted = frozenset(named)
        for mode, mask, keywords in (("+", bits & ~had, wanted - words), ("-", had & ~bits, words - wanted)):
            if mask or keywords:
                place = (self._box.account, self._box.id, (self._message.uid,))
                self._work.operations.append(StoreFlags(*place, mode, mask, tuple(sorted(keywords))))


EventEffects.table = (
    (Keep, EventEffects._keep),
    (FileInto, EventEffects._file),
    (Redirect, Effects._redirect),
    (Notify, Effects._notify),
)


class Events:
    """One object a process; what ``access/events.py`` wants done."""

    __slots__ = ("_clock", "_filtering")

    def __init__(self, filtering: Filtering, clock: Clock) -> None:
        self._filtering = filtering
        self._clock = clock

    def shared(self, name: str) -> Program | None:
        """A script of the operator's (``sieve.include``)."""
        return self._filtering.included.get(name)

    async def run(self, script: Active, box: rows.Mailbox, uid: Uid, event: Event) -> ModSeq:
        """Run a script for one message; the modseq of the last change of its account, 0 without one.

        ``box``: its mailbox, as the owner sees it. A script without a digest is the operator's."""
        trouble = ""
        for _ in range(TRIES):
            try:
                return await self._taken(script, box, uid, event, trouble)
            except AlreadyExists:  # another one tells it now
                continue
            except MailError as error:
                emit("sieve.event.failed", level="warning", account=box.account, error=repr(error))
                trouble = f"what it wants could not be done: {str(error) or type(error).__name__}"
        return NOTHING

    async def _taken(self, script: Active, box: rows.Mailbox, uid: Uid, event: Event, trouble: str) -> ModSeq:
        """Errors: MailError."""
        doors = self._filtering.doors
        found = await doors.store.messages(box.account, box.id, [uid])
        owner = await doors.store.account(box.account)
        if not found or owner is None:
            return NOTHING
        (message,) = found
        mail = await self._mail(box, message, owner)
        answers = EventAnswers(self._filtering.included)
        told = {"location": "MS", "phase": "post", **items(event, box.name)}
        view = EventView(mail, doors.settings, answers, message, told)
        effects = EventEffects(doors, mail, view, box, message)
        if trouble:
            effects.fail("event", trouble)
        else:
            await self._followed(script, mail, view, answers, effects)
        await self._told(script, mail, effects)
        return await self._committed(box, owner, effects.work)

    async def _mail(self, box: rows.Mailbox, message: rows.Message, owner: rows.Account) -> Delivery:
        octets = bytes(await self._filtering.doors.store.octets(box.account, message.blob))
        parts = None
        if len(octets) > INDEXED_HERE:
            parts = (await asyncio.to_thread(index, octets)).parts
        address = parse_stored(owner.address)
        return Delivery(
            Local(box.account, owner.tenant, box.id, owner.address),
            Recipient(address),
            octets,
            parts,
            ReversePath(address),
            count_hops(octets[: header_end(octets, 0, len(octets))]),
            new_trace(),
            int(self._clock.now()),
        )

    async def _followed(
        self, script: Active, mail: Delivery, view: EventView, answers: Answers, effects: EventEffects
    ) -> None:
        """Run it, and gather what it wants."""
        try:
            program = None if script.program is None else applicable(script.program)
            step = Step(script.name, program, script.digest, str(script.error or ""), charged=True)
        except ScriptError as error:
            step = Step(script.name, None, script.digest, str(error), charged=True)
        steps = self._filtering.settings.sieve.steps
        result = await self._filtering.run(step, mail, view, answers, steps)
        count("a3_sieve_events_total", "done" if result.error is None else "failed")
        if result.error is not None:
            effects.fail(f"{result.error.line}:{result.error.column}", str(result.error))
            return
        for action in result.actions:
            await effects.take(action)
        effects.finish()

    async def _told(self, script: Active, mail: Delivery, effects: EventEffects) -> None:
        """Trouble is told to whose script it is."""
        made = effects.made
        if made.trouble and script.digest:
            await effects.tell(script.name, script.digest)
        elif made.trouble:
            emit(
                "sieve.script.failed", level="error", trace=mail.trace, script=script.name, error=made.trouble
            )

    async def _committed(self, box: rows.Mailbox, owner: rows.Account, work: Work) -> ModSeq:
        """Errors: MailError."""
        if not work.operations:
            return NOTHING
        turn = Transaction(tuple(work.operations), tuple(work.contents), owner.tenant)
        results = await self._filtering.doors.store.commit(turn)
        pairs = zip(work.operations, results, strict=True)
        own = (made for done, made in pairs if getattr(done, "account", None) == box.account)
        return max((made.modseq for made in own if isinstance(made, Appended | Flagged)), default=NOTHING)
