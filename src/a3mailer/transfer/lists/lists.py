"""Mailing lists at work (ADR 0029): what a mail to one of their addresses comes to, as operations.

A mail to a list is queued to it, like any other; the queue asks here what it comes to, and commits that
together with its own record. So it happens once, whatever dies when, and a list of a thousand members costs
one commit. Members elsewhere get one delivery each, with a reverse-path of their own (``verp.py``).
"""

from __future__ import annotations

import hashlib
import secrets as randomness
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from a3mailer.config.tree import Settings
from a3mailer.identity.directory import Directory, LocalAccount, parse_stored
from a3mailer.mail.address import Address
from a3mailer.mail.compose import Draft, Mailbox, compose
from a3mailer.mail.errors import (
    MailError,
    NoSuchAccount,
    NoSuchMessage,
    NoSuchThing,
    NotAllowed,
    TooMany,
)
from a3mailer.mail.ids import INBOX, SYSTEM_ACCOUNT, AccountId, MailboxId, TenantId, Uid
from a3mailer.mail.message import index
from a3mailer.mail.message.dates import format_date
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import (
    Append,
    Copy,
    Enqueue,
    Operation,
    PutDocument,
    QueueRecipient,
    RemoveDocument,
)
from a3mailer.store.ports import Store, Transaction
from a3mailer.store.rows import Account
from a3mailer.telemetry.events import emit, redact_address
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.forwarding.returns import Bounced
from a3mailer.transfer.forwarding.verp import Verp
from a3mailer.transfer.lists import roll, tokens, words
from a3mailer.transfer.lists.mail import (
    Author,
    Face,
    author_of,
    has_been_here,
    is_automatic,
    made_of,
    personal,
    thread,
)
from a3mailer.transfer.lists.roll import MailingList, Member, key
from a3mailer.transfer.route import Listed, Local
from a3mailer.transfer.work import Work
from a3mailer.wire.smtp.paths import encode_mailbox

ASK_SECONDS: Final = 86_400
"""An address is asked once in this time, whoever asks for it."""
HTTPS: Final = 443
PATH: Final = "/lists/leave/"
"""Of the links by which members leave."""
MAX_HELD: Final = 200
"""Mails that wait and are looked at, the newest."""
SUBJECT: Final = 200
"""Characters of a subject that a moderator is shown."""

OF_THE_WAY: Final = ("5.7.10", "5.7.30")
"""Failures of one mail that wanted TLS throughout (RFC 8689): they say nothing of the member."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A mail that has come to an address of a list."""

    reverse_path: str
    """Empty for the null one."""
    octets: bytes
    trace: str
    body: str = "7BIT"
    smtputf8: bool = False
    hops: int = 0
    priority: int = 0
    """Members get it with the same (RFC 6710 section 4.4)."""
    tls: str = ""
    """Likewise (RFC 8689 section 6)."""


Filters = Callable[[Local], Awaitable[bool]]
"""Do scripts run for what goes into a mailbox?"""


@dataclass(frozen=True, slots=True)
class _Place:
    """A list while something is done with it."""

    account: Account
    settings: MailingList
    face: Face


def number_of(octets: bytes) -> str:
    """What a mail that waits is called by; no two have our Received field in common."""
    return hashlib.blake2b(octets, digest_size=5).hexdigest()


class Lists:
    """One object a process."""

    __slots__ = ("_clock", "_directory", "_secrets", "_settings", "_store", "_verp", "confirm", "filters")

    def __init__(
        self,
        store: Store,
        directory: Directory,
        settings: Settings,
        clock: Clock,
        secrets: tuple[bytes, ...],
    ) -> None:
        """``secrets``: the keys of ``srs.py``, the one to use first."""
        self._store = store
        self._directory = directory
        self._clock = clock
        self._secrets = secrets
        self._verp = Verp(secrets)
        self.confirm = tokens.confirmations(secrets)
        self.filters: Filters | None = None
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._settings = settings

    @property
    def _now(self) -> int:
        return int(self._clock.now())

    # --- addresses ---------------------------------------------------------------------------------

    def wish(self, address: Address, tenant: TenantId) -> Listed:
        """Where a CONFIRM address leads. Errors: NoSuchAccount (forged or too old)."""
        try:
            word, account, about = tokens.wish_of(self.confirm, address, self._clock.now())
        except tokens.BadToken as error:
            count("a3_lists_total", "forged")
            raise NoSuchAccount(f"{address}: {error}") from error
        return Listed(account, tenant, str(address), word, about)

    async def check(self, route: Listed, octets: bytes) -> None:
        """Is a mail taken? Asked while its sender still listens. Errors: NotAllowed, NoSuchAccount."""
        place = await self._place(route.account)
        if route.word in ("join", "subscribe") and place.settings.joining == "closed":
            raise NotAllowed(f"{place.face.address} takes no new members by mail")
        if route.word:
            return
        author = author_of(octets, self._settings.server.hostname)
        if not author.address:
            raise NotAllowed(f"a mail to {place.face.address} is from exactly one person")
        if not await self._may_write(place, author):
            raise NotAllowed(f"only members may write to {place.face.address}")

    async def _may_write(self, place: _Place, author: Author) -> bool:
        if place.settings.posting != "members" or author.address in place.settings.owners:
            return True
        return await roll.member_of(self._store, place.account.id, key(author.address)) is not None

    async def _place(self, account: AccountId) -> _Place:
        """Errors: NoSuchAccount."""
        row = await self._store.account(account)
        settings = await roll.settings_of(self._store, account) if row is not None else None
        if row is None or settings is None:
            raise NoSuchAccount("no such list")
        return _Place(row, settings, Face(row.address, row.display_name, tag=settings.tag))

    # --- what a mail comes to ------------------------------------------------------------------------

    async def take(self, route: Listed, mail: Incoming, work: Work) -> None:
        """Put into ``work`` what a mail comes to. Errors: NotAllowed, NoSuchAccount, TooMany."""
        place = await self._place(route.account)
        is_confirmation = route.word in tokens.CONFIRMED
        if not mail.reverse_path or is_automatic(mail.octets) or has_been_here(mail.octets, place.face):
            return self._dropped(place, mail, "automatic")
        author = author_of(mail.octets, self._settings.server.hostname)
        if is_confirmation:
            return await self._confirmed(place, route.word, route.about, mail, work)
        if route.word == "owner":
            return self._onward(place, mail, work)
        if route.word:
            return await self._asked(place, route.word, author, mail, work)
        await self.check(route, mail.octets)
        trusted = author.address in place.settings.owners and author.proved
        forged = not author.proved and await self._is_ours(place, author.address)
        if place.settings.posting == "moderated" and not trusted:
            return await self._hold(place, author, "moderated", mail, work)
        if forged or (author.doubtful and place.settings.posting != "open"):
            return await self._hold(place, author, "doubtful", mail, work)
        await self._spread(place, author, mail, work)
        return None

    def _dropped(self, place: _Place, mail: Incoming, why: str) -> None:
        count("a3_lists_total", "dropped")
        emit("list.dropped", trace=mail.trace, list=place.face.address, why=why)

    async def _is_ours(self, place: _Place, address: str) -> bool:
        """Might our signature prove this author to others (RFC 9989: alignment)? By two labels in common."""
        own, domain = (each.rpartition("@")[2].split(".")[-2:] for each in (place.face.address, address))
        name = address.rpartition("@")[2]
        return own == domain or await self._directory.domain(name) is not None

    async def _spread(self, place: _Place, author: Author, mail: Incoming, work: Work) -> None:
        """To all members, and into the archive."""
        octets = made_of(mail.octets, place.face, author)
        number = work.keep(octets)
        members = await roll.members_of(self._store, place.account.id)
        trace, reached = tokens.trace_of(mail.trace), set[AccountId]()
        for address in [a for a, member in members.items() if not member.suspended]:
            account = await self._mailbox_of(address, place.account.tenant)
            if account is None:
                work.operations.append(self._delivery(place, address, number, mail, trace))
            elif account not in reached:
                reached.add(account)
                work.operations.append(
                    Append(account, INBOX, number, internal_date=self._now, check_quota=False)
                )
        if place.settings.archive:
            archive = await self._mailbox(place, "\\Archive")
            work.operations.append(
                Append(place.account.id, archive, number, internal_date=self._now, check_quota=False)
            )
        count("a3_lists_total", "spread")
        emit(
            "list.spread", trace=mail.trace, list=place.face.address, members=len(members), here=len(reached)
        )

    async def _mailbox_of(self, address: str, tenant: TenantId) -> AccountId | None:
        """The account here that this address alone leads to; None: the queue finds the way, or scripts."""
        try:
            found = await self._directory.resolve(parse_stored(address))
        except MailError:
            return None
        first = found[0]
        if len(found) != 1 or not isinstance(first, LocalAccount) or first.tenant != tenant:
            return None
        if self.filters is not None and await self.filters(Local(first.account, tenant, INBOX, address)):
            return None
        return first.account

    async def _mailbox(self, place: _Place, use: str) -> MailboxId:
        boxes = await self._store.mailboxes(place.account.id)
        return next((box.id for box in boxes if box.special_use == use), INBOX)

    def _delivery(self, place: _Place, address: str, number: int, mail: Incoming, trace: str) -> Enqueue:
        domain = place.face.address.rpartition("@")[2]
        stream = tokens.stream_of(place.account.id)
        path = self._verp.encode(stream, parse_stored(address), domain, self._now)
        return Enqueue(
            SYSTEM_ACCOUNT,
            place.account.tenant,
            number,
            str(path) if path is not None else place.face.command("owner"),
            (QueueRecipient(address),),
            trace,
            mail.body,
            mail.smtputf8,
            hops=max(mail.hops, 1),
            priority=mail.priority,
            tls=mail.tls,
        )

    # --- moderation ----------------------------------------------------------------------------------

    async def _hold(self, place: _Place, author: Author, why: str, mail: Incoming, work: Work) -> None:
        """Into the list's INBOX; its owners are asked."""
        number = number_of(mail.octets)
        content = work.keep(mail.octets)
        work.operations.append(
            Append(place.account.id, INBOX, content, internal_date=self._now, check_quota=False)
        )
        subject = index(mail.octets).subject[:SUBJECT]
        language = self._settings.queue.language
        shown: Mapping[str, str] = {
            "author": author.address,
            "subject": "".join(c if c.isprintable() else " " for c in subject),
            "why": words.WHY[language][why],
            "number": number,
        }
        for owner in place.settings.owners:
            approve = self._confirm_address(place, f"approve.{place.account.id}.{number}", owner)
            reject = self._confirm_address(place, f"reject.{place.account.id}.{number}", owner)
            if approve is not None and reject is not None:
                self._tell(place, owner, "held", work, approve, {**shown, "reject": str(reject)})
        count("a3_lists_total", "held")
        emit("list.held", trace=mail.trace, list=place.face.address, number=number, why=why)

    async def held(self, account: AccountId) -> dict[str, tuple[Uid, bytes]]:
        """Mails that wait for a moderator, by number."""
        _, columns = await self._store.columns(account, INBOX)
        found = await self._store.contents(account, INBOX, columns.uids[-MAX_HELD:])
        return {number_of(o): (Uid(uid), o) for uid, o in found.items() if o is not None}

    async def decide(self, account: AccountId, number: str, work: Work, *, approve: bool) -> None:
        """Let a mail through, or throw it away. Errors: NoSuchMessage (it was decided on before)."""
        place = await self._place(account)
        uid, octets = (await self.held(account)).get(number, (Uid(0), b""))
        if not uid:
            raise NoSuchMessage(f"no mail {number} waits")
        # of two who decide at once one commits this first; the other one fails
        work.operations.append(
            PutDocument(account, "decided", number, "", expires=self._now + ASK_SECONDS, only_new=True)
        )
        trash = await self._mailbox(place, "\\Trash")
        work.operations.append(Copy(account, INBOX, (uid,), trash, move=True))
        if approve:
            author = author_of(octets, self._settings.server.hostname)
            if not author.proved and await self._is_ours(place, author.address):
                author = replace(author, strict=True, signed=False)  # our signature proves nobody but us
            body = "7BIT" if octets.isascii() else "8BITMIME"
            mail = Incoming("", octets, randomness.token_hex(8), body, hops=1)
            await self._spread(place, author, mail, work)
        count("a3_lists_total", "approved" if approve else "rejected")

    # --- joining and leaving -------------------------------------------------------------------------

    async def _asked(self, place: _Place, word: str, author: Author, mail: Incoming, work: Work) -> None:
        """A command by mail: whoever it names is asked, once a day."""
        if not author.address or author.doubtful:
            return self._dropped(place, mail, "nobody to answer")
        if word == "request":
            ask: Address | None = None
        else:
            act = "join" if word == "subscribe" else "leave"
            known = await roll.member_of(self._store, place.account.id, key(author.address))
            is_done = known is None if act == "leave" else known is not None and not known.suspended
            if is_done:
                return self._dropped(place, mail, "nothing to do")
            word = act
            ask = self._confirm_address(place, f"{act}.{place.account.id}", author.address)
            if ask is None:
                return self._dropped(place, mail, "an address too long")
        name = f"{word}/{key(author.address)}"
        if await self._store.document(place.account.id, "asked", name) is not None:
            return self._dropped(place, mail, "asked before")
        work.operations.append(
            PutDocument(place.account.id, "asked", name, "", expires=self._now + ASK_SECONDS)
        )
        self._tell(place, author.address, word, work, ask, about=mail.octets)
        return None

    async def _confirmed(self, place: _Place, word: str, about: str, mail: Incoming, work: Work) -> None:
        if word in ("approve", "reject"):
            try:
                return await self.decide(place.account.id, about, work, approve=word == "approve")
            except NoSuchMessage:
                return self._dropped(place, mail, "decided before")
        if word == "join":
            await self.join(place.account.id, about, work)
        else:
            await self.leave(place.account.id, about, work)
        return None

    async def join(self, account: AccountId, address: str, work: Work) -> None:
        """Put somebody on the list, or give mail to a suspended member again. Errors: TooMany."""
        place, name = await self._place(account), key(address)
        known = await roll.member_of(self._store, account, name)
        if known is not None and not known.suspended:
            return
        if known is None and len(await roll.members_of(self._store, account)) >= roll.MAX_MEMBERS:
            raise TooMany(f"a list has at most {roll.MAX_MEMBERS} members")
        work.operations.append(roll.put_member(account, name, Member(self._now)))
        self._tell(place, name, "joined", work)
        count("a3_lists_total", "joined")
        emit("list.joined", list=place.face.address, member=redact_address(name))

    async def leave(self, account: AccountId, address: str, work: Work) -> bool:
        """Take somebody off the list; False where nobody was."""
        place, name = await self._place(account), key(address)
        if await roll.member_of(self._store, account, name) is None:
            return False
        work.operations.append(RemoveDocument(account, "member", name))
        self._tell(place, name, "left", work)
        count("a3_lists_total", "left")
        emit("list.left", list=place.face.address, member=redact_address(name))
        return True

    async def leave_by(self, token: str) -> str | None:
        """A member follows a link; the list's address, None where the link is none of ours.

        Errors: TryLater. Who had left before hears the same."""
        try:
            account, address = tokens.left(self._secrets, token)
            place = await self._place(account)
        except (tokens.BadToken, NoSuchAccount, UnicodeDecodeError, ValueError):
            count("a3_lists_total", "forged")
            return None
        work = Work()
        if await self.leave(account, address, work):
            try:
                await self.commit(place.account.tenant, work)
            except NoSuchThing:
                return place.face.address
        return place.face.address

    async def commit(self, tenant: TenantId, work: Work, *more: Operation) -> None:
        """What was gathered, on its own. Errors: those of the store."""
        if work.operations or more:
            transaction = Transaction((*work.operations, *more), tuple(work.contents), tenant)
            await self._store.commit(transaction)

    async def bounced(self, bounce: Bounced) -> tuple[Operation, ...]:
        """See ``returns.BounceSink``: after failures for good on several days a member gets no more mail."""
        try:
            account = tokens.list_of(bounce.stream)
        except tokens.BadToken:
            return ()
        name = key(str(bounce.recipient))
        member = await roll.member_of(self._store, account, name)
        if member is None or not bounce.failure.permanent or bounce.failure.status in OF_THE_WAY:
            return ()
        after = roll.after_failure(member, bounce.now)
        if after == member:
            return ()
        if after.suspended and not member.suspended:
            count("a3_lists_total", "suspended")
            emit("list.suspended", level="warning", list=account, member=redact_address(name))
        return (roll.put_member(account, name, after),)

    # --- what lists say --------------------------------------------------------------------------------

    def _confirm_address(self, place: _Place, stream: str, about: str) -> Address | None:
        domain = place.face.address.rpartition("@")[2]
        return self.confirm.encode(stream, parse_stored(about), domain, self._now)

    def _tell(
        self,
        place: _Place,
        to: str,
        word: str,
        work: Work,
        answer_to: Address | None = None,
        more: Mapping[str, str] | None = None,
        about: bytes = b"",
    ) -> None:
        """A mail of the list to one person; answers to it go to ``answer_to``. ``about``: what it answers,
        which it names (RFC 3834 section 3.1.5)."""
        subject, text = words.LANGUAGES[self._settings.queue.language][word]
        face = place.face
        known = {
            "list": face.address,
            "about": to,
            **{each: face.command(each) for each in ("subscribe", "unsubscribe", "owner")},
            **(more or {}),
        }
        if not to.isascii():
            return
        draft = Draft(
            Mailbox(face.name, face.command("owner")),
            (Mailbox("", to),),
            subject.format(**known),
            format_date(self._now),
            f"{randomness.token_hex(12)}@{self._settings.server.hostname}",
            reply_to=(Mailbox("", encode_mailbox(answer_to).decode()),) if answer_to is not None else (),
            text=text.format(**known),
            headers=(("Auto-Submitted", "auto-replied"), ("List-Id", f"<{face.list_id}>"), *thread(about)),
        )
        number = work.keep(compose(draft, randomness.token_hex(12)))
        work.operations.append(
            Enqueue(
                SYSTEM_ACCOUNT, place.account.tenant, number, "", (QueueRecipient(to, ("NEVER",)),), "list"
            )
        )

    def _onward(self, place: _Place, mail: Incoming, work: Work) -> None:
        """LIST-owner@: to those who look after it, as an alias does."""
        number = work.keep(mail.octets)
        people = tuple(QueueRecipient(owner) for owner in place.settings.owners)
        work.operations.append(
            Enqueue(
                SYSTEM_ACCOUNT,
                place.account.tenant,
                number,
                mail.reverse_path,
                people,
                mail.trace,
                mail.body,
                mail.smtputf8,
                hops=max(mail.hops, 1),
                priority=mail.priority,
                tls=mail.tls,
            )
        )

    # --- on the way out --------------------------------------------------------------------------------

    def personal(self, octets: bytes, reverse_path: str, now: int) -> tuple[bytes, str]:
        """(the mail with what only its one recipient may have, the list's domain).

        ``now``: when it was queued, so that each attempt sends the same octets."""
        try:
            stream, member = self._verp.decode(parse_stored(reverse_path), now)
            account = tokens.list_of(stream)
        except ValueError:  # one whose address had no room for it, or older than its bounces
            return octets, reverse_path.rpartition("@")[2]
        domain = reverse_path.rpartition("@")[2]
        server = self._settings.server
        port = HTTPS + server.port_base
        host = server.hostname if port == HTTPS else f"{server.hostname}:{port}"
        link = f"https://{host}{PATH}{tokens.leaving(self._secrets[0], account, key(str(member)))}"
        leave = self.confirm.encode(f"leave.{account}", member, domain, now)
        return personal(octets, link, quote(str(leave), safe="@+") if leave is not None else ""), domain
