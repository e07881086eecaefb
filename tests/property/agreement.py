"""The stage of the agreement: sessions of an owner and of a reader, and what is true by the model.

Alice's INBOX and Work are shared with Bob, who has his own \\Seen there (RFC 4314 section 4), and an INBOX.

The model knows uids, flags, sizes and contents by itself, by the rules of RFC 9051. Modseqs it learns, and
checks: what changed has a higher one than all before it, what did not has the one it had. Three are compared
with it: the store's own columns after every act, each session's mirror whenever that session has been told
everything, and at the end a new session that asks for all there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from a3mailer.access.rights import Rights
from a3mailer.access.watch import Views
from a3mailer.config.tree import Auth, Limits, Server, Settings
from a3mailer.edge.imap.door import ImapDoor
from a3mailer.edge.imap.services import Services
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.credentials import hash_password
from a3mailer.identity.directory import Directory
from a3mailer.mail.changes import Change
from a3mailer.mail.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId, MailboxId
from a3mailer.runtime.spool import Spool
from a3mailer.store import operations as op
from a3mailer.store.ports import Store, Transaction
from a3mailer.store.rows import Columns
from a3mailer.telemetry.events import Secret
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.memory_connection import PATIENCE, MemoryConnection, MemorySession
from a3mailer.testing.memory_connection import Stage as Connections
from a3mailer.testing.store.case import content
from tests.property.agreement_acts import MAILS, THREADS, Act
from tests.property.imap_mirror import Mirror, Response, attributes, responses
from tests.unit.identity.world import Audit

Doing = Callable[..., Awaitable[None]]
INSIDE: Final = ("store", "expunge", "copy", "move", "body", "search", "since", "leave")
"""What can be done in a mailbox only."""
STORED: Final = hash_password(Secret("secret-a"))
CONTENTS: Final = tuple(content(octets) for octets in MAILS)
BITS: Final = {
    b"\\Seen": SEEN,
    b"\\Answered": ANSWERED,
    b"\\Flagged": FLAGGED,
    b"\\Deleted": DELETED,
    b"\\Draft": DRAFT,
}
ALICE: Final = 1
"""The account of the owner."""
SHARED: Final = ("INBOX", "Work")
ENABLE: Final = {
    "plain": b"",
    "condstore": b"CONDSTORE",
    "qresync": b"QRESYNC",
    "rev2": b"IMAP4rev2",
}


@dataclass(slots=True)
class Letter:
    """A message of the model."""

    uid: int
    content: int
    flags: frozenset[bytes]
    modseq: int = 0
    origin: int = 0
    """Copies have the same."""
    twin: int = 0
    """What tells copies from each other by POP3; it goes with the message."""
    seen: bool = False
    """Whether the reader has seen it."""
    theirs: int = 0
    """Its modseq as the reader is told."""


@dataclass(slots=True)
class Box:
    """A mailbox of the model."""

    id: int
    uid_validity: int
    account: int
    letters: dict[int, Letter] = field(default_factory=dict)
    gone: dict[int, int] = field(default_factory=dict)
    """Uids that were, and the lowest modseq that their end can have: an act may be several changes."""
    first: dict[int, Mirror] = field(default_factory=dict)
    """The session to which a message was \\Recent, by its uid."""
    uid_next: int = 1
    modseq: int = 0
    deleted: bool = False

    def add(
        self, content: int, flags: Iterable[bytes], origin: int, twin: int = 0, *, seen: bool = False
    ) -> int:
        uid = self.uid_next
        taken = [one.twin for one in self.letters.values() if one.origin == origin]
        twin = uid if self.id == INBOX and twin in taken else twin
        self.letters[uid] = Letter(uid, content, frozenset(flags), origin=origin, twin=twin, seen=seen)
        self.uid_next += 1
        return uid

    def remove(self, uids: Iterable[int]) -> None:
        for uid in uids:
            del self.letters[uid]
            self.gone[uid] = 0


class Client:
    """One mail program: a connection, what it knows of its mailbox, and which one that is."""

    def __init__(self, session: MemorySession, kind: str) -> None:
        self.session = session
        self.called = kind
        who, _, kind = kind.rpartition(" ")
        self.name = who or "alice"
        self.kind = kind
        self.mirror = Mirror()
        self.box: Box | None = None
        self.read_only = False
        self.idle = False
        self.before: list[int] = []
        """Uids in their order, as the last command found them."""
        self.left: tuple[Box, Mirror] | None = None
        """The mailbox it was in when its connection was lost."""
        self._tags = 0

    def take(self, octets: bytes, *, expunges: bool = True) -> list[Response]:
        """Believe what was said; EXPUNGE and VANISHED only where they may be said."""
        said = list(responses(octets))
        for response in said:
            if response.tag == b"*" and self.box is not None:
                self.mirror.apply(response, expunges=expunges)
        return said

    async def command(
        self, text: bytes, *, expunges: bool = True, ok: bytes = b"OK"
    ) -> tuple[bytes, list[Response]]:
        """The code of the tagged line, and all that came before it."""
        self.before = [one.uid for one in self.mirror.messages if one.uid is not None]
        self._tags += 1
        tag = b"a%d" % self._tags
        said = self.take(await self.session.feed(b"%b %b\r\n" % (tag, text)), expunges=expunges)
        ended = said.pop()
        assert (ended.tag, ended.status) == (tag, ok), f"{text!r}: {ended}"
        assert not [one for one in said if one.tag not in (b"*", b"+")]
        if expunges and ok == b"OK" and self.box is not None:
            self.mirror.settled()
        return ended.code, said

    async def log_in(self) -> None:
        self.take(await self.session.greeting())
        await self.command(b"LOGIN %b@a.test secret-a" % self.name.encode())
        if ENABLE[self.kind]:
            await self.command(b"ENABLE " + ENABLE[self.kind])

    def shown(self, letter: Letter, box: Box | None = None) -> Letter:
        """As this client is told it."""
        box = box or self.box
        if box is None or self.name == "alice" or box.account != ALICE:
            return letter
        flags = letter.flags - {b"\\Seen"} | ({b"\\Seen"} if letter.seen else set())
        return replace(letter, flags=flags, modseq=letter.theirs)

    async def learn(self) -> None:
        """Ask for what was announced and not described, as clients do; the answer may announce more."""
        while unknown := [
            at + 1 for at, one in enumerate(self.mirror.messages) if one.uid is None or one.flags is None
        ]:
            await self.command(b"FETCH %b (UID FLAGS)" % joined(unknown), expunges=False)

    def places(self, chosen: Iterable[int]) -> list[int]:
        """Sequence numbers that a draw means now."""
        count = len(self.mirror.messages)
        return sorted({number % count + 1 for number in chosen}) if count else []

    def uid(self, place: int) -> int:
        uid = self.mirror.messages[place - 1].uid
        assert uid is not None
        return uid


class Between:
    """A store in which something else can happen just before a session's transaction, once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.once: Callable[[], Awaitable[None]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def happen(self) -> None:
        """Now, when it has not happened yet."""
        once, self.once = self.once, None
        if once is not None:
            await once()

    async def commit(self, transaction: Transaction) -> tuple[op.Result, ...]:
        if not all(isinstance(one, op.Notice) for one in transaction.operations):  # before the act itself
            await self.happen()
        return await self._store.commit(transaction)


class Stage:
    """One history on one backend."""

    def __init__(self, store: Store, clock: FakeClock, spools: Path, acts: Mapping[str, Doing]) -> None:
        self.store = store
        self.acts = acts
        self.account = AccountId(0)
        self.settings = Settings(
            server=Server(hostname="mx.a.test", domain="a.test"),
            auth=Auth(plaintext=True),
            limits=Limits(tarpit_seconds=0.0),
        )
        directory = Directory(store, self.settings)
        rights = Rights(store, directory)
        self._forgets = [store.watch(each) for each in (directory.heard, rights.heard)]
        self.views = Views(store, store)
        self._heard: dict[tuple[int, int], int] = {}
        self._news = asyncio.Event()
        self._forgets.append(store.watch(self._hear))  # after the views: what we have heard, they have
        self.authenticator = Authenticator(store, self.settings, clock, Audit(), b"k" * 32, self._no_sleep)
        self.between = Between(store)
        services = Services(
            cast(Store, self.between),
            self.views,
            self.authenticator,
            self.settings,
            clock,
            lambda: Spool(spools),
            rights=rights,
        )
        door = ImapDoor(services)

        self._doors: dict[MemoryConnection, Any] = {}

        async def serve(connection: MemoryConnection) -> None:
            await self._doors.pop(connection, door).serve(connection, "0" * 16)

        self._next: MemoryConnection | None = None
        self.connections = Connections(serve, self._connection)
        self.clients: list[Client] = []
        self.boxes: dict[str, Box] = {}
        """Alice's."""
        self.mine = Box(0, 0, 0)
        """Bob's INBOX."""
        self.reader = AccountId(0)
        self.sessions = 0
        self.origins = 0
        self.emails: dict[int, int] = {}
        """The number the store gave to the email of each origin."""
        self.clock = clock
        self.folder = spools
        self.pop3: Any = None
        self.jmap: Any = None
        self.uidls: dict[tuple[int, int], bytes] = {}
        """Unique-ids of POP3 by origin and twin."""
        self.closes: list[Callable[[], None]] = []

    def _connection(self, number: int) -> MemoryConnection:
        if self._next is not None:
            made, self._next = self._next, None
            return made
        return MemoryConnection(("127.0.0.1", 40000 + number), ("127.0.0.1", 143))

    @staticmethod
    async def _no_sleep(seconds: float) -> None:
        raise AssertionError("nobody was to be slowed down")

    def _hear(self, change: Change) -> None:
        key = (change.account, change.mailbox)
        self._heard[key] = max(self._heard.get(key, 0), change.modseq)
        self._news.set()

    # --- life --------------------------------------------------------------------------------------

    async def begin(self, kinds: tuple[str, ...]) -> None:
        tenant = op.PutTenant(DEFAULT_TENANT, "default")
        made = [op.CreateAccount(DEFAULT_TENANT, f"{name}@a.test") for name in ("alice", "bob")]
        *_, alice, bob = await self.store.commit(
            Transaction((tenant, op.PutDomain(DEFAULT_TENANT, "a.test"), *made))
        )
        assert isinstance(alice, op.AccountCreated) and isinstance(bob, op.AccountCreated)
        self.account, self.reader = alice.account, bob.account
        assert self.account == ALICE
        for each in (self.account, self.reader):
            await self.store.commit(Transaction((op.PutCredential(each, "main", "password", STORED),)))
        await self.store.commit(Transaction((op.CreateMailbox(self.account, "Work", "", False),)))
        await self.made("INBOX")
        await self.made("Work")
        row = await self.store.mailbox_named(self.reader, "INBOX")
        self.mine = Box(row.id, row.uid_validity, self.reader, uid_next=row.uid_next, modseq=row.modseq)
        owner = await self.connect("plain")
        for name in SHARED:
            await owner.command(b"SETACL %b bob lrswipkxteacd" % name.encode())
        owner.session.connection.end()
        self.clients = [await self.connect(kind) for kind in kinds]
        await self.act(("deliver", 0, "INBOX", (0, 2, 3)))
        for number in range(1, len(kinds)):
            await self.act(("select", number, "INBOX", "SELECT"))

    def origin(self) -> int:
        """A number for a mail that came in."""
        self.origins += 1
        return self.origins

    async def made(self, name: str) -> None:
        """A mailbox is there that was not."""
        row = await self.store.mailbox_named(self.account, name)
        self.boxes[name] = Box(
            row.id, row.uid_validity, self.account, uid_next=row.uid_next, modseq=row.modseq
        )

    def box(self, client: Client, name: str) -> Box | None:
        """What a client means by a name: for Bob all that is not shared is his own."""
        if client.name == "alice" or name in SHARED:
            return self.boxes.get(name)
        return self.mine

    def word(self, client: Client, name: str) -> bytes:
        """How it calls it."""
        if client.name == "alice":
            return name.encode()
        return b'"Other Users/alice/%b"' % name.encode() if name in SHARED else b"INBOX"

    def open(self, connection: MemoryConnection, door: Any) -> MemorySession:
        """A connection to another door than IMAP's."""
        self.sessions += 1
        self._doors[connection] = door
        self._next = connection
        return self.connections.open(self.sessions)

    async def connect(self, kind: str) -> Client:
        self.sessions += 1
        client = Client(self.connections.open(self.sessions), kind)
        await client.log_in()
        return client

    async def act(self, act: Act) -> None:
        """Do it, look whether the store is what it has to be, and let those who wait hear of it."""
        name, who, *values = act
        client = self.clients[who % len(self.clients)]
        if client.box is not None and client.box.deleted:
            client = await self.bereft(client)
        if client.idle and name != "deliver":
            await self.awake(client)
        if client.left is not None:
            await self.acts["back"](self, client)
        if client.box is None and name in INSIDE:
            await self.acts["select"](self, client, "INBOX", "SELECT")
        await self.acts[name](self, client, *values)
        await self.check_store()
        for each in self.clients:
            if each.idle and not (each.box and each.box.deleted):
                each.take(await each.session.feed(b""))
                self.check(each)
            elif not each.idle:
                await each.learn()

    async def awake(self, client: Client) -> None:
        """DONE."""
        said = client.take(await client.session.feed(b"DONE\r\n"))
        assert said[-1].status == b"OK", said
        client.idle = False
        await client.learn()

    async def bereft(self, client: Client) -> Client:
        """Its mailbox was deleted: the session ends with BYE, and the program comes back."""
        assert client.box is not None
        async with asyncio.timeout(PATIENCE):
            while self._heard.get((client.box.account, client.box.id), 0) <= client.box.modseq:
                self._news.clear()
                await self._news.wait()
        said = list(responses(await client.session.feed(b"" if client.idle else b"z NOOP\r\n")))
        assert said[-1].status == b"BYE" and client.session.closed, said
        return await self.replace(client)

    async def replace(self, client: Client) -> Client:
        client.session.connection.end()
        new = await self.connect(client.called)
        self.clients[self.clients.index(client)] = new
        return new

    # --- what is true ------------------------------------------------------------------------------

    async def check_store(self) -> None:
        """The store holds what the model does; then the model learns the modseqs."""
        for box in (*self.boxes.values(), self.mine):
            account, mailbox = AccountId(box.account), MailboxId(box.id)
            row, columns = await self.store.columns(account, mailbox)
            expected = [(uid, one.flags) for uid, one in box.letters.items()]
            assert flags_in(columns) == expected
            if box is not self.mine:
                for one, email in zip(box.letters.values(), columns.emails, strict=True):
                    assert self.emails.setdefault(one.origin, email) == email, "copies are one email"
                theirs, columns_seen = await self.store.columns_seen_by(self.reader, account, mailbox)
                marks = [(uid, b"\\Seen" in flags) for uid, flags in flags_in(columns_seen)]
                assert marks == [(uid, one.seen) for uid, one in box.letters.items()]
                assert theirs.unseen == sum(not one.seen for one in box.letters.values())
                modseqs = columns_seen.modseqs
            else:
                modseqs = columns.modseqs
            assert list(columns.sizes) == [len(MAILS[one.content]) for one in box.letters.values()]
            assert (row.uid_next, row.uid_validity) == (box.uid_next, box.uid_validity)
            self._learn(box, row.modseq, columns.modseqs, modseqs)
            await self._until_heard(box)

    def _learn(self, box: Box, modseq: int, modseqs: Iterable[int], theirs: Iterable[int]) -> None:
        letters = box.letters.values()
        changed = [one for one in letters if one.modseq == 0 or one.theirs == 0]
        for one, now, told in zip(letters, modseqs, theirs, strict=True):
            for known, new in ((one.modseq, now), (one.theirs, told)):
                if known:
                    assert new == known, f"uid {one.uid} has not changed"
                else:
                    assert box.modseq < new <= modseq, f"uid {one.uid} has changed"
            one.modseq, one.theirs = now, told
        ended = [uid for uid, when in box.gone.items() if when == 0]
        assert (modseq > box.modseq) == bool(changed or ended)
        box.gone.update(dict.fromkeys(ended, box.modseq + 1))
        box.modseq = modseq

    async def _until_heard(self, box: Box) -> None:
        """Until the views have the hint of it. Errors: TimeoutError when none comes."""
        if not box.letters and not box.gone:
            return
        async with asyncio.timeout(PATIENCE):
            while self._heard.get((box.account, box.id), 0) < box.modseq:
                self._news.clear()
                await self._news.wait()

    def check(self, client: Client) -> None:
        """What a client that was told everything knows."""
        box = client.box
        if box is None:
            return
        known = client.mirror.messages
        assert len(known) == len(box.letters)
        for one, letter in zip(known, map(client.shown, box.letters.values()), strict=True):
            assert one.uid in (None, letter.uid)
            assert one.flags in (None, letter.flags), f"uid {letter.uid}"
            assert one.modseq in (0, letter.modseq), f"uid {letter.uid}"
            if one.recent and not client.read_only:
                assert box.first.setdefault(letter.uid, client.mirror) is client.mirror, f"uid {letter.uid}"

    async def finish(self) -> None:
        """Everybody looks, and new clients read all there is."""
        for number in range(len(self.clients)):
            await self.act(("look", number))
        emails: dict[tuple[str, int], bytes] = {}
        threads: dict[bytes, set[int]] = {}
        for kind, names in (("rev2", tuple(self.boxes)), ("bob rev2", (*SHARED, "mine"))):
            reader = await self.connect(kind)
            self.clients.append(reader)
            for name in names:
                await self.act(("status", len(self.clients) - 1, name))
                await self.act(("select", len(self.clients) - 1, name, "EXAMINE"))
                _, said = await reader.command(
                    b"UID FETCH 1:* (FLAGS MODSEQ RFC822.SIZE EMAILID THREADID BODY.PEEK[])"
                )
                assert reader.box is not None
                for one, letter in zip(said, map(reader.shown, reader.box.letters.values()), strict=True):
                    told = attributes(one.words[2])
                    assert int(told[b"RFC822.SIZE"]) == len(MAILS[letter.content])
                    assert told[b"BODY[]"] == MAILS[letter.content]
                    assert told[b"MODSEQ"] == [b"%d" % letter.modseq]
                    key = reader.name, letter.origin
                    assert emails.setdefault(key, told[b"EMAILID"][0]) == told[b"EMAILID"][0]
                    if reader.name == "alice":
                        threads.setdefault(told[b"THREADID"][0], set()).add(letter.content)
                self.check(reader)
        assert len({(who, told) for (who, _), told in emails.items()}) == len(emails)
        seen = {number for group in threads.values() for number in group}
        for together in THREADS:
            group = seen & set(together)
            holding = [found for found in threads.values() if found & group]
            assert len(holding) == bool(group) and all(found <= set(together) for found in holding), threads

    def close(self) -> None:
        for close in self.closes:
            close()
        self.views.close()
        for forget in self._forgets:
            forget()
        self.authenticator.close()


def flags_in(columns: Columns) -> list[tuple[int, frozenset[bytes]]]:
    """By uid."""
    words = [columns.keywords.get(uid, "") for uid in columns.uids]
    return [
        (uid, named(bits, text)) for uid, bits, text in zip(columns.uids, columns.flags, words, strict=True)
    ]


def named(bits: int, words: str) -> frozenset[bytes]:
    """Flags of the store as they are called."""
    return frozenset([name for name, bit in BITS.items() if bits & bit] + words.encode().split())


def joined(values: Iterable[int]) -> bytes:
    """A set."""
    return b",".join(b"%d" % value for value in values)
