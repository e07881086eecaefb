"""What scripts want done with one mail becomes operations of the transaction that delivers it.

Nothing here acts. What cannot be done as it was wanted (a mailbox that is not there, one redirect too many,
a mail that has been here before) becomes a keep, so that no mail is lost, and ``trouble`` says what it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Final, NamedTuple

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.identity.directory import Directory, parse_stored
from a3mailer.mail.address import Address, ReversePath
from a3mailer.mail.compose import BadPiece, Mailbox
from a3mailer.mail.errors import MailError, TooMany
from a3mailer.mail.flags import SYSTEM_FLAGS
from a3mailer.mail.ids import INBOX, SYSTEM_ACCOUNT, AccountId, MailboxId
from a3mailer.mail.mailbox import INITIAL, MAX_MAILBOXES
from a3mailer.mail.message.headers import header_end
from a3mailer.store import rows
from a3mailer.store.operations import (
    Append,
    AppendInto,
    Enqueue,
    PutDocument,
    QueueRecipient,
)
from a3mailer.store.ports import Store
from a3mailer.telemetry.events import emit, redact_address
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.fields import without
from a3mailer.transfer.filtering import hourly
from a3mailer.transfer.filtering.answering import is_automatic, is_forged, recipients, why_not
from a3mailer.transfer.filtering.hourly import Hourly
from a3mailer.transfer.filtering.letters import Letters, sender_of
from a3mailer.transfer.filtering.mail import (
    OWN_ONLY,
    Delivery,
    DeliveryView,
    Filing,
    mailbox_by,
    memory_name,
    named,
)
from a3mailer.transfer.forwarding.forward import Forwarding
from a3mailer.transfer.trace import without_return_path
from a3mailer.transfer.work import Work
from a3mailer.wire.sieve.actions import (
    Action,
    FileInto,
    Keep,
    Notify,
    Redirect,
    Reject,
    Remember,
    Vacation,
)
from a3mailer.wire.sieve.door import Field
from a3mailer.wire.sieve.view import read_fields
from a3mailer.wire.smtp.paths import encode_mailbox
from a3mailer.wire.smtp.xtext import original_of

SEEN: Final = "sieve-seen"
ANSWERED: Final = "sieve-answered"
TOLD: Final = "sieve-told"
"""Kinds of documents: what ``duplicate`` remembers, who was answered, and what the owner was told of."""
RESULTS: Final = frozenset((b"authentication-results",))
TOLD_SECONDS: Final = 7 * 86_400
ANSWERED_SECONDS: Final = 7 * 86_400
"""An answer is remembered so long at least: the next command may name a longer time than the last one."""
NAMED: Final = 50
"""Recipients that are looked at for the account's own."""
DELIVERED_TO: Final = b"delivered-to"
"""The field by which a mail that comes back is known."""


USES: Final = {use.lower(): use for _name, use in INITIAL if use}
"""What a new mailbox may be for (RFC 8579 section 4.1); another use is passed over."""

Refuse = Callable[[Reject], None]
Does = Callable[[Any, Any], Awaitable[None]]
"""What one kind of action makes of the effects."""
Table = tuple[tuple[type[Action], Does], ...]


def _nobody(action: Reject) -> None:
    """There was no script."""


class Made(msgspec.Struct):
    """What becomes of one delivery."""

    plain: bool = False
    """It is also kept as if there were no script: in the mailbox it was on its way to, unchanged."""
    rejected: Reject | None = None
    refuse: Refuse = _nobody
    """Tells the sender of it by a mail, where SMTP cannot."""
    trouble: str = ""
    """What could not be done, for the owner of the script."""
    at: str = ""
    """Tells this trouble from others of the same script."""


class Place(NamedTuple):
    """A mailbox that something is filed into."""

    account: AccountId
    mailbox: MailboxId
    """Of one that is not there yet: which one takes its place where it cannot be made."""
    name: str = ""
    """As it is kept; empty where the mail was on its way to anyhow."""
    is_new: bool = False
    special_use: str = ""
    """Of a new one."""


class Doors(msgspec.Struct, frozen=True):
    """What the effects of all deliveries of a process ask and use."""

    store: Store
    directory: Directory
    settings: Settings
    letters: Letters
    hourly: Hourly
    forwarding: Forwarding | None = None
    filing: Filing = OWN_ONLY


class Effects:
    """Of one delivery."""

    table: ClassVar[Table] = ()
    """What is done for which action."""
    check_quota: ClassVar[bool] = False
    """May what is filed be too much for the account?"""
    vouches: ClassVar[bool] = True
    """Did we see ourselves where the mail is from?"""

    def __init__(self, doors: Doors, mail: Delivery, view: DeliveryView, work: Work) -> None:
        """``view``: the mail as it came."""
        self._doors = doors
        self._mail = mail
        self._view = view
        self._seen = view
        """As the script that runs sees it."""
        self._octets = mail.octets
        self._work = work
        self._contents: dict[bytes, int] = {}
        """Numbers of what was changed, by its octets."""
        self._appended: dict[tuple[AccountId, MailboxId | str], int] = {}
        """Mailbox, a new one by its name -> place of its Append in the work."""
        self._boxes: tuple[rows.Mailbox, ...] | None = None
        self._redirects = 0
        self._noted: set[str] = set()
        """Names of documents that are put: each once."""
        self._account = mail.route.account
        self.made = Made(refuse=self._refuse)

    async def take(self, action: Action) -> None:
        """One action of a script, in its turn."""
        for kind, does in self.table:
            if isinstance(action, kind):
                await does(self, action)
                count("a3_sieve_actions_total", action.word)
                return

    @property
    def where(self) -> str:
        """The mailbox that the mail lies in already, for the owner of the script; empty where it arrives."""
        return ""

    def fail(self, at: str, text: str) -> None:
        """The first trouble is told."""
        if not self.made.trouble:
            self.made.at, self.made.trouble = at, text

    # --- mailboxes ---------------------------------------------------------------------------------

    @property
    def date(self) -> int:
        """The INTERNALDATE of what is filed."""
        return self._mail.now

    async def _keep(self, action: Keep) -> None:
        if self.octets_of(action) is self._mail.octets and not action.flags:
            self.made.plain = True
        else:
            self._append(self._arriving, action)

    @property
    def _arriving(self) -> Place:
        """Where the mail is on its way to."""
        return Place(self._account, self._mail.route.mailbox)

    async def _file(self, action: FileInto) -> None:
        mailbox = await self._mailbox(action)
        if mailbox is None:
            self.fail(f"mailbox {action.mailbox}", f'there is no mailbox "{action.mailbox}" to file it into')
            await self._keep(_kept(action))
        elif mailbox[:2] == self._arriving[:2] and not mailbox.is_new:
            await self._keep(_kept(action))
        else:
            self._append(mailbox, action)

    def _append(self, at: Place, action: Keep | FileInto) -> None:
        """One copy a mailbox, however often it is named; the last word on its flags counts.

        In a mailbox of another it has none: they would be his."""
        key = self._mail.key
        if key and at.name:  # the same when it is tried again, be the mailbox made by then or not
            key = b"%b/%d.%b" % (key, at.account, memory_name(at.name.encode()).encode())
        elif key:
            key = b"%b/%d.%d" % (key, *at[:2])
        content = self._content(self.octets_of(action))
        made = self._put(at, content, action, key, self.date, check_quota=self.check_quota)
        known = (at.account, at.name if at.is_new else at.mailbox)
        place = self._appended.setdefault(known, len(self._work.operations))
        if place < len(self._work.operations):
            self._work.operations[place] = made
        else:
            self._work.operations.append(made)

    def _put(
        self, at: Place, content: int, action: Keep | FileInto, key: bytes, date: int, *, check_quota: bool
    ) -> Append:
        """A mailbox that is not there is made as it is filed."""
        bits, words = flags_of(action.flags if at.account == self._account else None)
        if at.is_new:
            return AppendInto(
                *at[:2],
                content,
                bits,
                words,
                date,
                check_quota,
                key,
                name=at.name,
                special_use=at.special_use,
            )
        return Append(*at[:2], content, bits, words, date, check_quota, key)

    def _content(self, octets: bytes) -> int:
        """The number of the mail as it came, or as it was changed."""
        if octets is self._mail.octets:
            return 0
        number = self._contents.get(octets)
        if number is None:
            number = self._contents[octets] = self._work.keep(octets)
        return number

    def octets_of(self, action: Keep | FileInto | Redirect) -> bytes:
        """The mail as an action has it."""
        if action.octets is not None:
            return self._topped(action.octets)
        if action.header is None:
            return self._octets
        before = sum(len(field.octets) for field in self._seen.fields)
        return self._topped(action.header + self._octets[before:])

    def _topped(self, octets: bytes) -> bytes:
        """With our Return-Path as the first field, whatever a script has put above it."""
        top = self._mail.octets[: self._mail.octets.find(b"\n") + 1]
        if octets.startswith(top) or not top.startswith(b"Return-Path: <"):
            return octets
        return top + octets.replace(b"\r\n" + top, b"\r\n", 1)

    def go_on(self, octets: bytes, view: DeliveryView) -> None:
        """The next script sees the mail so."""
        self._octets = octets
        self._seen = view

    @property
    def _fields(self) -> Sequence[Field]:
        """The header as it came."""
        return self._view.fields

    def _fields_of(self, action: Vacation | Notify) -> Sequence[Field]:
        """The header as the script has made it for an answer or a notice (RFC 5293 section 7)."""
        if action.octets is not None:
            return read_fields(action.octets[: header_end(action.octets, 0, len(action.octets))])
        return self._seen.fields if action.header is None else read_fields(action.header)

    async def _mailbox(self, action: FileInto) -> Place | None:
        """Where to file: by its id, its use, its name; made where that is wanted (RFC 5490 section 3.2)."""
        if self._boxes is None:
            self._boxes = await self._doors.store.mailboxes(self._account)
        found = None
        if action.mailbox_id:
            found = mailbox_by(self._boxes, "id", action.mailbox_id)
        if found is None and action.special_use:
            found = mailbox_by(self._boxes, "special-use", action.special_use, action.mailbox)
        found = found or named(self._boxes, action.mailbox)
        found = found or await self._doors.filing.find(self._account, action.mailbox)
        if found is None and action.create:
            return self._new(action, self._boxes)
        return Place(found.account, found.id, found.name) if found is not None else None

    def _new(self, action: FileInto, boxes: Sequence[rows.Mailbox]) -> Place | None:
        """A mailbox that is made in the transaction of the delivery."""
        try:
            name = self._doors.filing.new_name(action.mailbox)
            if len(boxes) >= MAX_MAILBOXES:
                raise TooMany(f"an account has at most {MAX_MAILBOXES} mailboxes")
        except MailError as error:
            emit("sieve.mailbox.not_made", level="warning", trace=self._mail.trace, error=str(error))
            return None
        found = named(boxes, name)
        if found is not None:
            return Place(found.account, found.id, found.name)
        use = USES.get(action.special_use.lower(), "")
        return Place(self._account, self._mail.route.mailbox, name, True, use)

    # --- other addresses -----------------------------------------------------------------------------

    async def _redirect(self, action: Redirect) -> None:
        why = self._why_not_redirected()
        if why:
            self.fail("redirect", f"it was not redirected to {action.address}: {why}")
            if not action.copy:
                await self._keep(_kept(action))
            return
        self._redirects += 1
        mail = self._mail
        path = mail.reverse_path
        if not path.is_null and (action.notify is not None or action.ret or action.by):
            path = ReversePath(parse_stored(mail.route.address))  # RFC 6009 sections 6.1 and 7.1
        if self._doors.forwarding is not None and not mail.client.account:
            path = await self._doors.forwarding.reverse_path(path)
        trace = b"Delivered-To: %b\r\n" % encode_mailbox(parse_stored(mail.route.address))
        octets, owner = self.octets_of(action), AccountId(mail.client.account)
        if (
            octets is not mail.octets or not self.vouches
        ):  # not what its author has written: nothing of ours vouches for it
            octets, owner = _unvouched(octets), SYSTEM_ACCOUNT
        number = self._work.keep(trace + without_return_path(octets))
        by, by_mode = mail.deliver_by, mail.by_mode
        if action.by:
            by, by_mode = (action.by if action.by > 0 else mail.now - action.by), action.by_mode
        self._work.operations.append(
            Enqueue(
                owner,
                mail.route.tenant,
                number,
                str(path),
                (
                    QueueRecipient(
                        str(action.address),
                        _notify_of(mail, action),
                        mail.recipient.original or original_of(str(mail.recipient.address)),
                    ),
                ),
                mail.trace,
                mail.body.value,
                mail.smtputf8,
                action.ret or mail.return_content,
                mail.envelope_id,
                hops=mail.hops,
                priority=mail.priority,
                deliver_by=by,
                by_mode=by_mode,
                tls=mail.tls,
                message_id=self._work.contents[-1].index.message_id.decode("utf-8", "replace"),
            )
        )

    def _why_not_redirected(self) -> str:
        """RFC 5228 section 4.2: loops and limits; such a redirect cancels no keep."""
        mail = self._mail
        here = mail.route.address.lower().encode("utf-8", "replace")
        if any(f.name == DELIVERED_TO and f.value.strip().lower() == here for f in self._fields):
            return "it has been redirected from here before and has come back"
        if self._redirects >= self._doors.settings.sieve.redirects:
            return f"more than {self._doors.settings.sieve.redirects} redirects"
        if not self._doors.hourly.take(self._account, hourly.REDIRECTS):
            return "too many redirects in an hour"
        return ""

    async def _own(self, further: Sequence[str] = ()) -> frozenset[str]:
        """The addresses of the account, lower case."""
        mail = self._mail
        known = await self._doors.store.addresses_of(self._account)
        said = (*known, mail.route.address, str(mail.recipient.address), *further)
        return frozenset(each.strip().lower() for each in said if each)

    async def _sender(self, text: str) -> Mailbox:
        """Whom a letter is from: what the script says, where that is the account's; else its address."""
        wanted = sender_of(text) if text else None
        if wanted is not None and wanted.address.isascii():
            local, _, domain = wanted.address.rpartition("@")
            if await self._doors.directory.owns(self._account, Address(local, domain.lower())):
                return wanted
        return Mailbox("", self._mail.route.address)

    async def _addressed(self, fields: Sequence[Field]) -> str:
        """The account's address that a mail names as its recipient: an answer is from there, as a sender may
        know no other one (erratum 2035 of RFC 5230)."""
        for each in itertools.islice(recipients(fields), NAMED):
            local, _, domain = each.addr_spec.rpartition("@")
            if await self._doors.directory.owns(self._account, Address(local, domain.lower())):
                return each.addr_spec
        return ""

    async def _vacation(self, action: Vacation) -> None:
        mail, doors = self._mail, self._doors
        fields = self._fields_of(action)
        addressed = await self._addressed(fields)
        own = await self._own((*action.addresses, addressed))
        why = why_not(mail, fields, own, doors.settings.server.hostname)
        name = memory_name(action.handle, str(mail.reverse_path).lower().encode("utf-8", "replace"))
        before = None if why else await doors.store.document(self._account, ANSWERED, name)
        if before is not None and mail.now - before.created < action.seconds:
            why = "it was answered before"
        if not why and not doors.hourly.take(self._account, hourly.ANSWERS):
            why = "too many answers in an hour"
        if why:
            emit("sieve.not_answered", trace=mail.trace, account=self._account, why=why)
            return
        sender = await self._sender(action.sender or addressed)
        try:
            octets = doors.letters.answer(mail, fields, action, sender)
        except BadPiece as error:
            self.fail("vacation", f"the answer cannot be sent: {error}")
            return
        number = self._post(octets, SYSTEM_ACCOUNT, "", (str(mail.reverse_path),), ("NEVER",))
        await self._copy(action.fcc, number, name)
        if action.seconds:
            self._note(ANSWERED, name, max(action.seconds, ANSWERED_SECONDS), again=before is not None)

    async def _notify(self, action: Notify) -> None:
        mail, doors = self._mail, self._doors
        fields = self._fields_of(action)
        if is_automatic(fields):
            return
        if not doors.hourly.take(self._account, hourly.NOTICES):
            emit("sieve.not_notified", trace=mail.trace, account=self._account, why="too many in an hour")
            return
        sender = await self._sender(action.sender)
        try:
            octets = doors.letters.notice(mail, fields, action, sender)
        except BadPiece as error:
            self.fail("notify", f"the notice cannot be sent: {error}")
            return
        path = "" if mail.reverse_path.is_null else sender.address
        to = tuple(dict.fromkeys(str(each) for each in (*action.recipients, *action.cc)))
        number = self._post(octets, self._account, path, to, ())
        await self._copy(action.fcc, number, f"notice{number}")

    async def _copy(self, action: FileInto | None, number: int, name: str) -> None:
        """File a copy of what is sent (RFC 8580); where it cannot be, it goes without (section 3)."""
        mailbox = None if action is None else await self._mailbox(action)
        if action is None:
            return
        if mailbox is None:
            self.fail(f"fcc {action.mailbox}", f'there is no mailbox "{action.mailbox}" for a copy')
            return
        key = b"%b/%b" % (self._mail.key, name.encode()) if self._mail.key else b""
        self._work.operations.append(
            self._put(mailbox, number, action, key, self._mail.now, check_quota=False)
        )

    def _refuse(self, action: Reject) -> None:
        """RFC 5429 section 2.2.1."""
        mail = self._mail
        why = "the null reverse-path" if mail.reverse_path.is_null else ""
        if not why and is_forged(mail, self._doors.settings.server.hostname):
            why = "the sender is forged"
        if not why and not self._doors.hourly.take(self._account, hourly.ANSWERS):
            why = "too many answers in an hour"
        if why:
            emit(
                "sieve.refusal_not_told", trace=mail.trace, to=redact_address(str(mail.reverse_path)), why=why
            )
            return
        try:
            octets = self._doors.letters.refusal(mail, self._fields, action)
        except BadPiece as error:
            emit("sieve.refusal_not_told", trace=mail.trace, error=str(error))
            return
        self._post(octets, SYSTEM_ACCOUNT, "", (str(mail.reverse_path),), ("NEVER",))

    def _post(
        self, octets: bytes, account: AccountId, path: str, to: Sequence[str], notify: tuple[str, ...]
    ) -> int:
        """Queue a letter; the number of its content."""
        number = self._work.keep(octets)
        self._work.operations.append(
            Enqueue(
                account,
                self._mail.route.tenant,
                number,
                path,
                tuple(QueueRecipient(each, notify) for each in to),
                self._mail.trace,
                smtputf8=not all(each.isascii() for each in (path, *to)),
                message_id=self._work.contents[-1].index.message_id.decode(),
            )
        )
        return number

    # --- what is remembered ----------------------------------------------------------------------------

    async def _remember(self, action: Remember) -> None:
        self._note(SEEN, memory_name(action.handle, action.value), action.seconds, again=action.again)

    def _note(self, kind: str, name: str, seconds: int, *, again: bool = False) -> None:
        """Of two deliveries at once one finds it noted already, and looks again."""
        if name not in self._noted:
            self._noted.add(name)
            until = self._mail.now + seconds
            self._work.operations.append(
                PutDocument(self._account, kind, name, "", expires=until, only_new=not again)
            )

    async def tell(self, name: str, digest: str) -> None:
        """The owner of a script hears of its trouble, once a while."""
        mail, made = self._mail, self.made
        emit("sieve.trouble", level="warning", trace=mail.trace, account=self._account, error=made.trouble)
        known = memory_name(digest.encode(), made.at.encode("utf-8", "replace"))
        if await self._doors.store.document(self._account, TOLD, known) is not None:
            return
        try:
            octets = self._doors.letters.trouble(mail, self._fields, name, made.trouble, self.where)
        except BadPiece as error:
            emit("sieve.trouble.not_told", level="warning", trace=mail.trace, error=str(error))
            return
        key = b"%b/note" % mail.key if mail.key else b""
        number = self._work.keep(octets)
        self._work.operations.append(
            Append(self._account, INBOX, number, internal_date=mail.now, check_quota=False, delivery=key)
        )
        self._note(TOLD, known, TOLD_SECONDS)


def _kept(action: FileInto | Redirect) -> Keep:
    """In the place of what cannot be done."""
    flags = action.flags if isinstance(action, FileInto) else None
    return Keep(flags=flags, header=action.header, octets=action.octets)


def flags_of(flags: Sequence[str] | None) -> tuple[int, tuple[str, ...]]:
    """System flags as bits, and keywords."""
    bits = 0
    for flag in flags or ():
        bits |= SYSTEM_FLAGS.get(flag, 0)
    return bits, tuple(flag for flag in flags or () if flag not in SYSTEM_FLAGS)


def _unvouched(octets: bytes) -> bytes:
    """Without results of authentication: such a mail is neither signed nor sealed on its way out."""
    end = header_end(octets, 0, len(octets))
    return without(octets[:end], RESULTS) + octets[end:]


def _notify_of(mail: Delivery, action: Redirect) -> tuple[str, ...]:
    """NOTIFY of a redirect: what the script says (RFC 6009), else as an alias among several hands it on."""
    if action.notify is not None:
        return action.notify
    left = tuple(sorted(set(mail.recipient.notify) - {"SUCCESS"}))
    return left or (("NEVER",) if mail.recipient.notify else ())


Effects.table = (
    (Keep, Effects._keep),
    (FileInto, Effects._file),
    (Redirect, Effects._redirect),
    (Vacation, Effects._vacation),
    (Notify, Effects._notify),
    (Remember, Effects._remember),
)
