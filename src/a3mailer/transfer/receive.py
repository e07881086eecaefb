"""Take responsibility for a mail (RFC 5321 section 6.1): all its effects in one durable transaction.

When the call returns, the mail is in every mailbox and in the queue, or nowhere. Nothing here raises a
``MailError``: each recipient has its own outcome, as LMTP tells them (RFC 2033 section 4.2).
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3
from msgspec import structs

from a3mailer.config.tree import Settings
from a3mailer.identity.directory import Directory
from a3mailer.mail.address import ReversePath
from a3mailer.mail.envelope import Recipient
from a3mailer.mail.errors import (
    AlreadyExists,
    MailError,
    MailLoop,
    NoSuchAccount,
    NoSuchMailbox,
    Refused,
    TooMany,
    TryLater,
)
from a3mailer.mail.ids import INBOX, AccountId, TenantId
from a3mailer.mail.message import MessageIndex, glance, index
from a3mailer.mail.message.headers import header_end
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import Append, Doubt, Enqueue, Operation, QueueRecipient
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.bounce import Sent, Voice, notice, wants
from a3mailer.transfer.deliver import appends
from a3mailer.transfer.filtering.arriving import deliveries
from a3mailer.transfer.filtering.filtering import Filtering
from a3mailer.transfer.filtering.gather import gathered, packed
from a3mailer.transfer.forwarding.forward import Forwarding
from a3mailer.transfer.forwarding.masked import Sender, has_form, noted
from a3mailer.transfer.forwarding.returns import Returns
from a3mailer.transfer.lists.lists import Lists
from a3mailer.transfer.policy.judge import NOBODY, Judged, Judges, outcomes_of
from a3mailer.transfer.policy.stages import field_of
from a3mailer.transfer.queue.handing import Handing
from a3mailer.transfer.relay.tls_wish import HEADER_LOOKED_AT, tls_of
from a3mailer.transfer.route import Listed, Local, Remote, Returned, Route, is_relayed, notify_onward
from a3mailer.transfer.submission import check_authors, completed
from a3mailer.transfer.trace import Stamp, count_hops
from a3mailer.transfer.work import Work
from a3mailer.wire.dsn.report import Action, RecipientStatus
from a3mailer.wire.smtp.xtext import original_of

MAX_ROUTES: Final = 10_000
"""Mailboxes and addresses one mail may lead to; recipients beyond are refused for now."""
GLANCED: Final = 64 * 1024
"""Octets up to which a mail that only passes is not indexed."""
JUNK_FLAG: Final = b"X-Spam-Flag: YES\r\n"
"""Tells the next server of a domain of ours what would go to Junk here."""
TRIES: Final = 8
"""How often a transaction is made anew, as something it counts on has changed."""
LARGE: Final = 256 * 1024
"""Octets above which a mail is indexed and hashed outside the event loop (about 1 ms)."""


@dataclass(slots=True)
class _Share:
    """What a mail does in one tenant: its contents are placed and sealed there (attacks.md, placement)."""

    locals: dict[Local, list[int]] = field(default_factory=dict)
    """Route -> numbers of the recipients it serves."""
    remotes: dict[str, tuple[QueueRecipient, int]] = field(default_factory=dict)
    reverse_path: str = ""
    """What is queued in ``remotes`` goes out with it."""
    relayed: dict[str, tuple[QueueRecipient, int]] = field(default_factory=dict)
    """Likewise, with the reverse-path as it came: the next server counts on us (``identity/relaying.py``)."""
    returned: set[Returned] = field(default_factory=set)
    beside: tuple[Operation, ...] = ()
    """What else is done with it: what has come back to ``returned`` comes to, and with the last share the
    operations of the arrival, for what they say holds only when all is done."""
    work: Work | None = None
    """What scripts make of it."""


class Receive:
    """The end of DATA. One object serves all sessions of a process."""

    __slots__ = ("_clock", "_directory", "_filtering", "_forwarding", "_judges", "_lists", "_make_durable",
                 "_returns", "_settings", "_stamp", "_store")  # fmt: skip

    def __init__(
        self,
        store: Store,
        directory: Directory,
        settings: Settings,
        clock: Clock,
        judges: Judges = NOBODY,
        forwarding: Forwarding | None = None,
        returns: Returns | None = None,
        lists: Lists | None = None,
        handing: Handing | None = None,
        filtering: Filtering | None = None,
    ) -> None:
        """Without ``forwarding`` what an alias sends on keeps its reverse-path; without ``handing`` what is
        queued waits for the queue; without ``filtering`` no scripts run."""
        self._filtering = filtering
        self._forwarding = forwarding
        self._returns = returns
        self._lists = lists
        self._store = store
        self._make_durable: Callable[[Transaction], Awaitable[object]] = (handing or store).commit
        self._directory = directory
        self._clock = clock
        self._judges = judges
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._settings = settings
        self._judges.reconfigure(settings)
        self._stamp = Stamp(settings.server.hostname)

    async def __call__(self, arrival: Arrival) -> tuple[MailError | None, ...]:
        """Store and queue it. One outcome a recipient; None means: it is ours now."""
        try:
            outcomes, message_id = await self._receive(arrival)
        except MailError as error:
            outcomes, message_id = [error] * len(arrival.routes), ""
        self._report(arrival, outcomes, message_id)
        return tuple(outcomes)

    async def doubt(self, fingerprints: Collection[bytes]) -> None:
        """A client has gone without a word: it may not have heard that these mails are ours, and sends each
        once more. Errors: none; at the worst a mail is there twice."""
        try:
            await self._store.commit(Transaction((Doubt(tuple(fingerprints)),)))
        except MailError as error:
            emit("mail.doubt_lost", level="warning", mails=len(fingerprints), error=type(error).__name__)

    async def _receive(self, came: Arrival) -> tuple[list[MailError | None], str]:
        """(an outcome a recipient, the Message-ID). Errors: MailError."""
        octets = came.octets
        end = header_end(octets, 0, len(octets))
        header = octets[:end]
        hops = count_hops(header) + 1
        if hops > self._settings.smtp.hops:
            raise MailLoop(f"more than {self._settings.smtp.hops} Received fields")
        now = self._clock.now()
        if came.envelope.not_before:
            came = _held(came)
        added, top, author = b"", b"", ""
        pieces: tuple[bytes | mmap.mmap | memoryview, ...] = (octets,)
        arrival = came
        if came.client.account:
            added, pieces = await self._submitted(came, header, end, now)
        if self._judges.wanted(came):
            judged = await self._judged(came, (added, *pieces))
            arrival, added, top, pieces = judged.arrival, b"", judged.top, (judged.arrival.octets,)
            author = judged.author
        if came.notes:
            top += field_of(came.notes)
        arrival, refused = await self._asked_lists(arrival)
        shares, outcomes = _shares(arrival)
        for number, error in refused.items():
            outcomes[number] = error
        final = any(share.locals for share in shares.values())
        stamp = self._stamp.header(arrival.client, arrival.envelope, arrival.trace, now, final=final, top=top)
        whole = b"".join((stamp, added, *pieces))
        content = Content(whole, await self._indexed(whole, passes=not final), unique=True)
        await self._commit_all(arrival, shares, content, author, int(now), hops, outcomes)
        if any(outcomes) or any("SUCCESS" in r.notify for r in arrival.envelope.recipients):
            await self._notify(arrival, content, int(now), outcomes)
        return outcomes_of(came, arrival, outcomes), content.index.message_id.decode("utf-8", "replace")

    async def _indexed(self, octets: bytes, *, passes: bool) -> MessageIndex:
        """The index; of a small mail that only passes no more than its name (of a large one the store keeps
        the parts apart)."""
        if passes and len(octets) <= GLANCED:
            return glance(octets)
        return index(octets) if len(octets) < LARGE else await asyncio.to_thread(index, octets)

    async def _commit_all(
        self,
        arrival: Arrival,
        shares: Mapping[TenantId, _Share],
        content: Content,
        author: str,
        now: int,
        hops: int,
        outcomes: list[MailError | None],
    ) -> None:
        """One tenant after the other. When one cannot now, the sender is told to try again, and those that
        have the mail by then do not get another."""
        done: list[bytes] = []
        try:
            for number, (tenant, share) in enumerate(shares.items(), 1):
                share.beside = await self._masked(arrival, tenant, author, now)
                if number == len(shares):
                    share.beside += arrival.beside
                await self._commit(arrival, tenant, share, content, now, hops, outcomes)
                if number < len(shares):
                    done.append(fingerprint(arrival, tenant))
        except MailError as error:
            if done and error.transient:
                await self.doubt(done)
            raise

    async def _asked_lists(self, arrival: Arrival) -> tuple[Arrival, dict[int, MailError]]:
        """The arrival without the lists that do not take it, and what they say, by number of recipient."""
        refused: dict[int, MailError] = {}
        if self._lists is None or not any(isinstance(r, Listed) for each in arrival.routes for r in each):
            return arrival, refused
        routes = [list(each) for each in arrival.routes]
        for number, each in enumerate(arrival.routes):
            for route in each:
                if isinstance(route, Listed):
                    try:
                        await self._lists.check(route, bytes(arrival.octets[:HEADER_LOOKED_AT]))
                    except MailError as error:
                        refused[number] = error
                        routes[number].remove(route)
        return structs.replace(arrival, routes=tuple(map(tuple, routes))), refused

    async def _masked(
        self, arrival: Arrival, tenant: TenantId, author: str, now: int
    ) -> tuple[Operation, ...]:
        """Who wrote to masked addresses of accounts of a tenant for the first time."""
        found: tuple[Operation, ...] = ()
        for recipient, routes in zip(arrival.envelope.recipients, arrival.routes, strict=True):
            if has_form(recipient.address.local_part) and not arrival.client.account:
                path = arrival.envelope.reverse_path.address
                said = path.domain.lower() if path is not None else ""
                sender = Sender(author or said, now, bool(author))
                for route in routes:
                    if isinstance(route, Local) and route.tenant == tenant:
                        found += await noted(self._store, route.account, recipient.address, sender)
        return found

    async def _judged(self, came: Arrival, pieces: tuple[bytes | mmap.mmap | memoryview, ...]) -> Judged:
        """What the judges make of a mail; whatever they change, it is known by what came (ADR 0010)."""
        seen = came if len(pieces) == 2 and not pieces[0] else structs.replace(came, octets=b"".join(pieces))
        judged = await self._judges(seen)
        arrival = judged.arrival
        if judged.discarded:
            arrival = structs.replace(
                arrival, envelope=structs.replace(arrival.envelope, recipients=()), routes=()
            )
        elif judged.junk:
            if is_relayed(arrival.routes):
                judged = judged.with_top(JUNK_FLAG)
            arrival = structs.replace(arrival, routes=await self._to_junk(arrival.routes))
        if arrival is not came:
            arrival = structs.replace(arrival, mark=fingerprint(came, TenantId(0)))
        return structs.replace(judged, arrival=arrival)

    async def _to_junk(self, routes: tuple[tuple[Route, ...], ...]) -> tuple[tuple[Route, ...], ...]:
        """The routes with Junk for INBOX; who has none keeps what leads to the INBOX."""
        found: dict[Route, Route] = {}
        for route in {route for each in routes for route in each}:
            if isinstance(route, Local) and route.mailbox == INBOX:
                boxes = await self._store.mailboxes(route.account)
                junk = next((box.id for box in boxes if box.special_use == "\\Junk"), INBOX)
                found[route] = Local(route.account, route.tenant, junk, route.address)
        return tuple(tuple(found.get(route, route) for route in each) for each in routes)

    async def _onward(self, arrival: Arrival) -> ReversePath:
        """The reverse-path of what is queued: a stranger's mail has come here to be forwarded."""
        path = arrival.envelope.reverse_path
        if self._forwarding is None or arrival.client.account:
            return path
        return await self._forwarding.reverse_path(path)

    async def _submitted(
        self, arrival: Arrival, header: bytes, end: int, now: float
    ) -> tuple[bytes, tuple[bytes | memoryview, ...]]:
        """(fields to add, the pieces of the mail) once its authors are known to be the submitter's own."""
        await check_authors(header, AccountId(arrival.client.account), self._directory)
        top, kept = completed(header, self._settings.server.hostname, self._stamp.date(now))
        whole = memoryview(arrival.octets)
        return top, (whole,) if kept is header else (kept, whole[end:])

    async def _commit(
        self,
        arrival: Arrival,
        tenant: TenantId,
        share: _Share,
        content: Content,
        now: int,
        hops: int,
        outcomes: list[MailError | None],
    ) -> None:
        """One transaction; once more without the mailboxes that went away since RCPT."""
        if share.remotes:
            share.reverse_path = str(await self._onward(arrival))
        if share.returned and self._returns is not None:
            share.beside += await self._returns.operations(
                share.returned, bytes(content.octets), arrival.trace
            )
        mark = await self._until_durable(arrival, tenant, share, content, (now, hops), outcomes)
        if mark and content.index.message_id and hops > 1:  # a server before us may repeat it
            arrival.kept(mark)
        made = share.work.operations if share.work is not None else ()
        count("a3_deliveries_total", "", len(share.locals) + sum(isinstance(each, Append) for each in made))

    async def _until_durable(
        self,
        arrival: Arrival,
        tenant: TenantId,
        share: _Share,
        content: Content,
        at: tuple[int, int],
        outcomes: list[MailError | None],
    ) -> bytes:
        """Commit what scripts leave of it, made anew where something it counts on has changed.

        Returns its fingerprint; empty where all of it was refused. ``at``: the time, and the hops."""
        every, refused, mark = share.locals, dict[int, Refused](), b""
        for _ in range(TRIES):
            share.work = None
            if self._filtering is not None and self._filtering.concerns(every):
                refused = await self._filtered(self._filtering, arrival, share, content, at)
            transaction = self._transaction(arrival, tenant, share, content, *at)
            if refused and not transaction.operations:
                break
            if await self._is_durable(transaction, share, every, outcomes):
                mark = transaction.fingerprint
                break
        else:
            raise TryLater("the mailbox is being changed all the time")
        for number, error in refused.items():
            outcomes[number] = error
        return mark

    async def _is_durable(
        self,
        transaction: Transaction,
        share: _Share,
        every: dict[Local, list[int]],
        outcomes: list[MailError | None],
    ) -> bool:
        """False: it has to be made anew. Errors: those of a commit."""
        try:
            await self._make_durable(transaction)
        except AlreadyExists:  # another delivery has noted the same meanwhile: a script sees it now
            if share.work is None:
                raise
            share.locals = every
            return False
        except (NoSuchMailbox, NoSuchAccount):
            share.locals = every
            if not await self._drop_gone(share, outcomes) and share.work is None:
                raise
            return not (share.locals or share.remotes or share.relayed)
        return True

    async def _filtered(
        self, filtering: Filtering, arrival: Arrival, share: _Share, content: Content, at: tuple[int, int]
    ) -> dict[int, Refused]:
        """Run the scripts; the recipients whose refusal is still to be told."""
        every = share.locals
        found = await gathered(filtering, every, deliveries(arrival, content, *at))
        share.locals, share.work = found.left, found.work
        if not found.rejected:
            return {}
        served = {
            n for n, routes in enumerate(arrival.routes) if any(r not in found.rejected for r in routes)
        }
        at_once = arrival.client.protocol == "LMTP" or not served
        return found.refused(every, served, at_once=at_once)

    def _transaction(
        self, arrival: Arrival, tenant: TenantId, share: _Share, content: Content, now: int, hops: int
    ) -> Transaction:
        operations: tuple[Operation, ...] = appends(share.locals, 0, now)
        envelope = arrival.envelope
        for reverse_path, queued in (
            (share.reverse_path, share.remotes),
            (str(envelope.reverse_path), share.relayed),
        ):
            if not queued:
                continue
            operations += (
                Enqueue(
                    AccountId(arrival.client.account),
                    tenant,
                    0,
                    reverse_path,
                    tuple(recipient for recipient, _ in queued.values()),
                    arrival.trace,
                    envelope.body.value,
                    envelope.smtputf8,
                    envelope.return_content,
                    envelope.envelope_id,
                    envelope.not_before,
                    hops,
                    envelope.priority,
                    envelope.deliver_by,
                    envelope.by_mode,
                    tls=tls_of(envelope, bytes(arrival.octets[:HEADER_LOOKED_AT])),
                    message_id=content.index.message_id.decode("utf-8", "replace"),
                ),
            )
        if share.work is not None:
            operations, contents = packed(
                (*operations, *share.work.operations), (content, *share.work.contents)
            )
            return Transaction((*operations, *share.beside), contents, tenant, fingerprint(arrival, tenant))
        contents = (content,) if share.locals or share.remotes or share.relayed else ()
        return Transaction((*operations, *share.beside), contents, tenant, fingerprint(arrival, tenant))

    async def _drop_gone(self, share: _Share, outcomes: list[MailError | None]) -> bool:
        """Take out routes whose mailbox is gone; a recipient left without any route has failed."""
        gone = []
        for route in share.locals:
            try:
                await self._store.mailbox(route.account, route.mailbox)
            except (NoSuchMailbox, NoSuchAccount):
                gone.append(route)
        served = {n for route, numbers in share.locals.items() if route not in gone for n in numbers}
        served |= {number for _, number in (*share.remotes.values(), *share.relayed.values())}
        for route in gone:
            for number in set(share.locals.pop(route)) - served:
                outcomes[number] = NoSuchAccount(route.address)
        return bool(gone)

    async def _notify(
        self, arrival: Arrival, content: Content, now: int, outcomes: list[MailError | None]
    ) -> None:
        """Queue the notifications that are due before the sender hears 250.

        SMTP has one reply for all: whoever failed while others were served is reported by mail and counts as
        taken care of. Should the server die before this, the sender repeats the mail: what is already stored
        is known by its fingerprint."""
        failed, delivered, expanded = (
            list[RecipientStatus](),
            list[RecipientStatus](),
            list[RecipientStatus](),
        )
        told = arrival.client.protocol != "LMTP" and None in outcomes
        for number, (recipient, routes) in enumerate(
            zip(arrival.envelope.recipients, arrival.routes, strict=True)
        ):
            error = outcomes[number]
            if error is None and "SUCCESS" in recipient.notify and (done := _done(routes)) is not None:
                told_of = delivered if done is Action.DELIVERED else expanded
                told_of.append(RecipientStatus(str(recipient.address), done, "2.1.5", recipient.original))
            elif error is not None and told:
                outcomes[number] = None
                if wants(recipient.notify, Action.FAILED):
                    failed.append(_failure(recipient, error))
        await self._queue_notices(arrival, content, now, (tuple(failed), tuple(delivered), tuple(expanded)))

    async def _queue_notices(
        self, arrival: Arrival, content: Content, now: int, groups: tuple[tuple[RecipientStatus, ...], ...]
    ) -> None:
        envelope, routes = arrival.envelope, [route for each in arrival.routes for route in each]
        if not any(groups) or not routes:
            return
        sent = Sent(
            str(envelope.reverse_path),
            routes[0].tenant,
            arrival.trace,
            now,
            envelope.envelope_id,
            envelope.return_content,
            envelope.smtputf8,
            envelope.priority,
            envelope.deliver_by,
            envelope.tls,
        )
        octets, voice = bytes(content.octets), Voice.of(self._settings)
        contents: list[Content] = []
        operations: list[Operation] = []
        for group in groups:
            made = notice(sent, group, octets, voice, now, len(contents))
            if made is not None:
                contents.append(made[0])
                operations.append(made[1])
        if operations:
            mark = fingerprint(arrival, TenantId(-1))
            await self._store.commit(Transaction(tuple(operations), tuple(contents), sent.tenant, mark))

    def _report(self, arrival: Arrival, outcomes: Sequence[MailError | None], message_id: str) -> None:
        refused = [type(error).__name__ for error in outcomes if error is not None]
        emit(
            "mail.received" if len(refused) < len(outcomes) else "mail.refused",
            trace=arrival.trace,
            client=arrival.client.ip,
            account=arrival.client.account,
            octets=len(arrival.octets),
            recipients=len(outcomes),
            refused=refused,
            message_id=message_id,
            priority=arrival.envelope.priority,
        )


def _held(arrival: Arrival) -> Arrival:
    """All of it is queued: the ways of a held mail are looked for when it is let go."""
    pairs = zip(arrival.envelope.recipients, arrival.routes, strict=True)
    routes = tuple((Remote(r.address, routes[0].tenant),) if routes else () for r, routes in pairs)
    return structs.replace(arrival, routes=routes)


def _shares(arrival: Arrival) -> tuple[dict[TenantId, _Share], list[MailError | None]]:
    """The effects by tenant, each mailbox and each remote address once."""
    shares: dict[TenantId, _Share] = {}
    outcomes: list[MailError | None] = [None] * len(arrival.routes)
    total = 0
    for number, (recipient, routes) in enumerate(
        zip(arrival.envelope.recipients, arrival.routes, strict=True)
    ):
        total += len(routes)
        if total > MAX_ROUTES:
            outcomes[number] = TooMany(f"more than {MAX_ROUTES} destinations")
            continue
        for route in routes:
            share = shares.get(route.tenant)
            if share is None:
                share = shares[route.tenant] = _Share()
            if isinstance(route, Returned):
                share.returned.add(route)
            elif isinstance(route, Local):
                share.locals.setdefault(route, []).append(number)
            elif isinstance(route, Listed):  # from the queue it goes to all at once
                share.remotes.setdefault(route.address, (_queued(recipient, route, routes), number))
            else:
                queued = share.relayed if route.relayed else share.remotes
                queued.setdefault(str(route.address), (_queued(recipient, route, routes), number))
    return shares, outcomes


def _queued(recipient: Recipient, route: Remote | Listed, routes: Sequence[Route]) -> QueueRecipient:
    """An alias hands its DSN parameters on; the original recipient stays known (RFC 3461 section 5.2.7)."""
    original = recipient.original
    if not original and str(route.address) != str(recipient.address):
        original = original_of(str(recipient.address))
    return QueueRecipient(str(route.address), notify_onward(recipient.notify, routes), original)


def _done(routes: Sequence[Route]) -> Action | None:
    """What has become of a recipient with these routes (RFC 3461 sections 5.2.3 and 5.2.7); None: that is
    for the next one to tell."""
    if routes and all(isinstance(route, Local) for route in routes):
        return Action.DELIVERED
    return Action.EXPANDED if len(routes) > 1 else None


def _failure(recipient: Recipient, error: MailError) -> RecipientStatus:
    if isinstance(error, Refused):
        return RecipientStatus(
            str(recipient.address), Action.FAILED, error.status, recipient.original, reason=str(error)
        )
    status = "5.1.1" if isinstance(error, NoSuchAccount) else "5.5.3"
    text = "the mailbox no longer exists" if isinstance(error, NoSuchAccount) else "too many destinations"
    return RecipientStatus(str(recipient.address), Action.FAILED, status, recipient.original, "", text)


def fingerprint(arrival: Arrival, tenant: TenantId) -> bytes:
    """Names this mail for this tenant: its envelope and the octets as received, before any trace field."""
    if arrival.mark:
        return blake3(b"%d\n%b" % (tenant, arrival.mark)).digest()
    envelope = arrival.envelope
    words = [_words(recipient) for recipient in envelope.recipients]
    words.sort()
    head = "\n".join(
        [
            f"{tenant}\0{arrival.client.account}\0{envelope.reverse_path}\0{envelope.body.value}\0"
            f"{envelope.return_content}\0{envelope.envelope_id}",
            *words,
        ]
    ).encode()
    # one call for a small mail: a second one costs more than the copy
    mark = blake3(b"%d\n%b%b" % (len(head), head, arrival.octets[:LARGE]))
    if len(arrival.octets) > LARGE:
        mark.update(memoryview(arrival.octets)[LARGE:])
    return mark.digest()


def _words(recipient: Recipient) -> str:
    notify = ",".join(sorted(recipient.notify)) if recipient.notify else ""
    return f"{recipient.address}\0{notify}\0{recipient.original}"
