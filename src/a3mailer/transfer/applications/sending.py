"""Sending for applications: a letter in pieces becomes a submission like any other (RFC 6409).

Sender ownership, checks of the stages, rates, recipients and the one durable transaction are those of SMTP
submission. With a key the same letter is sent once: the key is committed in the mail's own transaction and
must be new there, so a retry after a crash, an answer that was lost or two requests at once lead to one mail.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.mail.address import Address, ReversePath
from a3mailer.mail.compose import Attachment, BadPiece, Draft, Mailbox, compose
from a3mailer.mail.envelope import Body, Client, Envelope, Recipient
from a3mailer.mail.errors import AlreadyExists, BadName, Conflict, MailError, TooLarge, TooMany, TryLater
from a3mailer.mail.ids import AccountId
from a3mailer.mail.message.dates import format_date
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import Operation, PutDocument
from a3mailer.store.ports import Store, Transaction
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.outcomes import (
    DAY,
    KEPT_DAYS,
    Mail,
    Outcome,
    mail_of,
    new_id,
    outcomes_of,
    put_mail,
    put_outcome,
    told,
)
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.policy.stages import Facts, Stage
from a3mailer.transfer.receive import Receive
from a3mailer.transfer.route import Local, Remote, Route
from a3mailer.wire.smtp.paths import BadPath, encode_mailbox, needs_utf8, parse_mailbox

KEY_DAYS: Final = 1
"""How long an idempotency key is known."""
MAX_KEY: Final = 255
LARGE: Final = 256 * 1024
"""Octets of attachments above which a mail is made outside the event loop."""
OURS: Final = frozenset((
    "from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "mime-version",
    "received", "return-path", "authentication-results", "received-spf", "dkim-signature", "delivered-to",
))  # fmt: skip
OURS_BEGIN: Final = ("content-", "resent-", "arc-", "x-a3-")
"""Header fields that are made here, or by others on the way, and cannot be given."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What an application wants sent."""

    sender: Mailbox | None
    """None: the account's own address."""
    to: tuple[Mailbox, ...]
    subject: str
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    text: str | None = None
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    key: str = ""
    """Idempotency key; empty: every call is a mail."""
    digest: bytes = b""
    """Of what was asked for under this key."""


class _Key(msgspec.Struct, frozen=True):
    number: str
    digest: str
    created: int


_key: Final = msgspec.json.Decoder(_Key).decode


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known of a mail."""

    number: str
    mail: Mail
    outcomes: dict[str, Outcome]


class Sending:
    """One object serves a process."""

    __slots__ = ("_clock", "_policy", "_receive", "_settings", "_store")

    def __init__(
        self, store: Store, policy: Policy, receive: Receive, settings: Settings, clock: Clock
    ) -> None:
        self._store = store
        self._policy = policy
        self._receive = receive
        self._clock = clock
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._settings = settings

    async def __call__(self, client: Client, address: str, letter: Letter) -> Sent:
        """Send it; ``client`` is a submission's, ``address`` its account's main one.

        Errors: BadName (a piece that cannot be, a recipient nobody takes), Conflict (the key stands for
        another letter), TooMany, and those of submission."""
        account, now = AccountId(client.account), int(self._clock.now())
        if (known := await self._known(account, letter)) is not None:
            return known
        key = _Key(new_id(), letter.digest.hex(), now)
        arrival, mail = await self._ready(client, letter, key, address)
        beside = await self._beside(account, letter, key, arrival, mail)
        outcomes = await self._receive(msgspec.structs.replace(arrival, beside=beside))
        refused = next((error for error in outcomes if error is not None), None)
        taken = isinstance(refused, AlreadyExists)  # another request with this key was first
        if taken and (known := await self._known(account, letter)) is not None:
            return known
        if refused is not None and None not in outcomes:
            raise refused
        found = await self.state(account, key.number)
        if found is None:  # a judge took the mail and threw it away
            await self._store.commit(Transaction(beside))
            found = await self.state(account, key.number)
        if found is None:
            raise TryLater
        return found

    async def state(self, account: AccountId, number: str) -> Sent | None:
        """What became of a mail; None: there is none of this account."""
        mail = await mail_of(self._store, account, number)
        if mail is None:
            return None
        return Sent(number, mail, await outcomes_of(self._store, account, number))

    async def _known(self, account: AccountId, letter: Letter) -> Sent | None:
        """What was sent under the letter's key. Errors: Conflict."""
        row = await self._store.document(account, "key", letter.key) if letter.key else None
        if row is None:
            return None
        key = _key(row.value)
        if key.digest != letter.digest.hex():
            raise Conflict("this idempotency key was used for another request")
        return await self.state(account, key.number)

    async def _beside(
        self, account: AccountId, letter: Letter, key: _Key, arrival: Arrival, mail: Mail
    ) -> tuple[Operation, ...]:
        """What is committed with the mail: that it was sent, what is known of it, its key, which is new."""
        now, expires = mail.created, mail.created + KEPT_DAYS * DAY
        made: list[Operation] = [put_mail(account, key.number, mail)]
        news = []
        for recipient, routes in zip(arrival.envelope.recipients, arrival.routes, strict=True):
            address, outcome = str(recipient.address), first_outcome(recipient, routes, now)
            if outcome is None:
                begun = Outcome("accepted", now)
                made.append(put_outcome(account, key.number, address, begun, expires))
            else:
                news.append((address, outcome))
        made += await told(self._store, account, key.number, mail, news)
        if letter.key:
            value = msgspec.json.encode(key).decode()
            until = now + KEY_DAYS * DAY
            made.append(PutDocument(account, "key", letter.key, value, expires=until, only_new=True))
        return tuple(made)

    # --- from letter to arrival ----------------------------------------------------------------------

    async def _ready(self, client: Client, letter: Letter, key: _Key, address: str) -> tuple[Arrival, Mail]:
        """The mail, with recipients all of whom somebody takes."""
        sender = letter.sender or Mailbox("", address)
        message_id = f"{key.number}@{self._settings.server.hostname}"
        draft, boundary = self._draft(letter, key, sender, message_id)
        large = sum(len(file.octets) for file in letter.attachments) > LARGE
        octets = await asyncio.to_thread(_made, draft, boundary) if large else _made(draft, boundary)
        if len(octets) > self._settings.smtp.size:
            raise TooLarge(f"the mail would have more than {self._settings.smtp.size} octets")
        body = Body.SEVEN_BIT if octets.isascii() else Body.EIGHT_BIT
        path = ReversePath(_parsed(sender))
        recipients = _recipients(letter, self._settings.smtp.recipients)
        envelope = Envelope(path, recipients, body, size=len(octets))
        course = self._policy.course(client, key.number)
        await course.run(Stage.AUTH, Facts(client, envelope))
        await self._policy.sender(client, envelope)
        await course.run(Stage.MAIL, Facts(client, envelope))
        routes = []
        for recipient in recipients:
            try:
                routes.append(await self._policy.recipient(client, envelope, recipient))
            except MailError as error:
                error.add_note(str(recipient.address))
                raise
            await course.run(Stage.RCPT, Facts(client, envelope, recipient, routes[-1]))
        await course.run(Stage.DATA, Facts(client, envelope))
        mark = _mark(AccountId(client.account), letter) if letter.key else b""
        arrival = Arrival(client, envelope, tuple(routes), octets, key.number, course.notes, mark=mark)
        return arrival, Mail(key.created, message_id, str(path), letter.tags)

    def _draft(self, letter: Letter, key: _Key, sender: Mailbox, message_id: str) -> tuple[Draft, str]:
        for name, _ in letter.headers:
            if name.lower() in OURS or name.lower().startswith(OURS_BEGIN):
                raise BadName(f"the header field {name[:40]} cannot be given")
        draft = Draft(
            _written(sender),
            tuple(_written(each) for each in letter.to),
            letter.subject,
            format_date(key.created),
            message_id,
            tuple(_written(each) for each in letter.cc),
            tuple(_written(each) for each in letter.reply_to),
            letter.text,
            letter.html,
            letter.attachments,
            letter.headers,
        )
        return draft, hashlib.blake2b(key.number.encode(), digest_size=12).hexdigest()


def _mark(account: AccountId, letter: Letter) -> bytes:
    """Names a keyed letter whenever it is sent: each time it has another number and date (ADR 0010)."""
    return hashlib.blake2b(b"%d\0%b\0%b" % (account, letter.key.encode(), letter.digest)).digest()


def _made(draft: Draft, boundary: str) -> bytes:
    try:
        return compose(draft, boundary)
    except BadPiece as error:
        raise BadName(str(error)) from error


def _parsed(mailbox: Mailbox) -> Address:
    """Errors: BadName."""
    try:
        address = parse_mailbox(mailbox.address.encode("utf-8", "replace"))
    except BadPath as error:
        raise BadName(f"{mailbox.address[:80]!r} is no mail address") from error
    if needs_utf8(address):
        raise BadName(f"{mailbox.address[:80]!r}: only ASCII is taken before the @")
    return address


def _written(mailbox: Mailbox) -> Mailbox:
    """As it stands in the header: the domain in A-labels. Errors: BadName."""
    return Mailbox(mailbox.name, encode_mailbox(_parsed(mailbox)).decode("ascii"))


def _recipients(letter: Letter, most: int) -> tuple[Recipient, ...]:
    """Each once. Errors: BadName, TooMany."""
    found = dict.fromkeys(_parsed(each) for each in (*letter.to, *letter.cc, *letter.bcc))
    if not found:
        raise BadName("a mail has at least one recipient")
    if len(found) > most:
        raise TooMany(f"more than {most} recipients")
    return tuple(Recipient(address) for address in found)


def first_outcome(recipient: Recipient, routes: Sequence[Route], now: int) -> Outcome | None:
    """What is known of a recipient at once; None where the queue will say it."""
    if all(isinstance(route, Local) for route in routes):
        return Outcome("delivered", now, "put into the mailbox")
    if any(isinstance(route, Remote) and route.address == recipient.address for route in routes):
        return None
    return Outcome("forwarded", now, "this address leads to others")
