"""Submitting a mail that is there already, under an envelope (RFC 6409; RFC 8621 section 7): what SMTP does.

Sender ownership, checks of the stages, rates, recipients, what MAIL and RCPT may ask for and the one durable
transaction are those of SMTP submission. What becomes of each recipient is kept as for mails of applications
(``transfer.outcomes``), so whoever submitted can be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from a3mailer.config.tree import Settings
from a3mailer.identity.directory import Directory
from a3mailer.mail.envelope import Body, Client, Envelope, Recipient
from a3mailer.mail.errors import BadName, MailError, NoSuchAccount, NotAllowed, TooLarge, TooMany
from a3mailer.mail.ids import AccountId, QueueId
from a3mailer.mail.message.index import glance
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import ChangeQueue, Operation
from a3mailer.store.ports import Store, Transaction
from a3mailer.transfer.applications.sending import first_outcome
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.outcomes import DAY, KEPT_DAYS, Mail, Outcome, put_mail, put_outcome, told
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.policy.stages import Facts, Stage
from a3mailer.transfer.promise import offered, promised
from a3mailer.transfer.receive import Receive
from a3mailer.wire.smtp.commands import parse_mail, parse_rcpt
from a3mailer.wire.smtp.replies import Rejected

LOOKED_AT: Final = 1000
"""Entries of the queue that are read at once where one is looked for."""
SUBMISSION: Final = "submission"


class BadRecipients(BadName):
    """These forward-paths cannot be; ``addresses`` names them."""

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__("some recipients are no mail addresses, or nobody's")
        self.addresses = tuple(addresses)


@dataclass(frozen=True, slots=True)
class Path:
    """A path of the envelope with its parameters as SMTP writes them, xtext and all."""

    address: str
    parameters: str = ""


class Submitting:
    """One object serves a process."""

    __slots__ = ("_clock", "_policy", "_receive", "_settings", "_store", "directory")

    def __init__(
        self,
        store: Store,
        directory: Directory,
        policy: Policy,
        receive: Receive,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self.directory = directory
        self._store = store
        self._policy = policy
        self._receive = receive
        self._clock = clock
        self._settings = settings

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._settings = settings

    @property
    def longest_hold(self) -> int:
        """Seconds that a mail may be held (RFC 4865)."""
        return self._settings.queue.hold_seconds

    @property
    def most_recipients(self) -> int:
        """Recipients that one mail may have."""
        return self._settings.smtp.recipients

    def envelope(self, client: Client, sender: Path, recipients: Sequence[Path], octets: bytes) -> Envelope:
        """What SMTP would make of it. Errors: NotAllowed (the reverse-path or a parameter), BadRecipients,
        TooMany."""
        if len(recipients) > self._settings.smtp.recipients:
            raise TooMany(f"more than {self._settings.smtp.recipients} recipients")
        try:
            mail = parse_mail(f"FROM:<{sender.address}>{sender.parameters}".encode())
            offer = offered(SUBMISSION, self._settings, self._clock.now())
            offer.check(mail.asks)
        except Rejected as error:
            raise NotAllowed(error.reply.text) from error
        wrong: list[str] = []
        paths: dict[Recipient, None] = {}
        for each in recipients:
            try:
                found = parse_rcpt(f"TO:<{each.address}>{each.parameters}".encode())
                paths[found.recipient] = None
            except Rejected:
                wrong.append(each.address)
        if wrong:
            raise BadRecipients(wrong)
        body = Body.SEVEN_BIT if octets.isascii() else Body.EIGHT_BIT
        envelope = structs.replace(mail.envelope, recipients=tuple(paths), body=body, size=len(octets))
        return promised(envelope, mail.asks, client, self._settings, self._clock.now())

    async def __call__(
        self, client: Client, number: str, envelope: Envelope, octets: bytes, beside: tuple[Operation, ...]
    ) -> None:
        """Take responsibility for it; ``beside`` becomes durable with it, ``number`` names it in the queue.

        Errors: TooLarge, BadRecipients, and those of submission."""
        if len(octets) > self._settings.smtp.size:
            raise TooLarge(f"at most {self._settings.smtp.size} octets")
        course = self._policy.course(client, number)
        await course.run(Stage.AUTH, Facts(client, envelope))
        await self._policy.sender(client, envelope)
        await course.run(Stage.MAIL, Facts(client, envelope))
        routes, nobody = [], []
        for recipient in envelope.recipients:
            try:
                routes.append(await self._policy.recipient(client, envelope, recipient))
            except NoSuchAccount:
                nobody.append(str(recipient.address))
                continue
            await course.run(Stage.RCPT, Facts(client, envelope, recipient, routes[-1]))
        if nobody:
            raise BadRecipients(nobody)
        await course.run(Stage.DATA, Facts(client, envelope))
        account, now = AccountId(client.account), int(self._clock.now())
        mail = Mail(now, glance(octets).message_id.decode("ascii", "replace"), str(envelope.reverse_path))
        made: list[Operation] = [put_mail(account, number, mail)]
        news: list[tuple[str, Outcome]] = []
        for recipient, ways in zip(envelope.recipients, routes, strict=True):
            outcome = None if envelope.not_before else first_outcome(recipient, ways, now)
            if outcome is None:
                address, until = str(recipient.address), now + KEPT_DAYS * DAY
                made.append(put_outcome(account, number, address, Outcome("accepted", now), until))
            else:
                news.append((str(recipient.address), outcome))
        made += await told(self._store, account, number, mail, news)
        arrival = Arrival(
            client, envelope, tuple(routes), octets, number, course.notes, beside=(*made, *beside)
        )
        outcomes = await self._receive(arrival)
        refused: MailError | None = next((error for error in outcomes if error is not None), None)
        if refused is not None and None not in outcomes:
            raise refused

    async def waiting(self, account: AccountId, number: str) -> QueueId | None:
        """The entry of the queue that holds all of a mail that has not left; None when there is none."""
        after = 0
        while rows := await self._store.queue(LOOKED_AT, after):
            for entry in rows:
                if entry.trace == number and entry.account == account:
                    untouched = not entry.lease_owner and all(one.attempts == 0 for one in entry.recipients)
                    return entry.id if untouched and entry.not_before > self._clock.now() else None
            after = int(rows[-1].id)
        return None

    async def recall(self, queue: QueueId, beside: tuple[Operation, ...]) -> None:
        """Take a held mail out of the queue. Errors: NoSuchThing (it is gone), Conflict."""
        change = ChangeQueue(queue, "remove", int(self._clock.now()))
        await self._store.commit(Transaction((change, *beside)))
