"""Scripts that run for what a client of IMAP did (RFC 6785): what they may do, and what it costs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from a3mailer.access.events import Events
from a3mailer.access.filing import Filing
from a3mailer.access.labour import Labour
from a3mailer.access.metadata import EVENT_SCRIPT
from a3mailer.access.rights import Rights
from a3mailer.access.scripts import Scripts
from a3mailer.config.tree import Settings
from a3mailer.identity.directory import Directory
from a3mailer.mail.event import APPEND, FLAG, Event
from a3mailer.mail.flags import DELETED, FLAGGED, SEEN
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, SYSTEM_ACCOUNT, ModSeq, Uid
from a3mailer.mail.message import index
from a3mailer.runtime.shared import SharedTable
from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Content, Transaction
from a3mailer.store.rows import METADATA
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import settle_in
from a3mailer.transfer.filtering.events import Events as EventScripts
from a3mailer.transfer.filtering.filtering import Filtering
from a3mailer.transfer.filtering.hourly import Hourly
from a3mailer.transfer.policy.checks.rate import HALF_LIFE, KEYS
from tests.unit.transfer.filtering.test_actions import mail
from tests.unit.transfer.filtering.town import Town

CHANGED = Event(FLAG, "alice", "alice@a.test", "\\Seen")
ADDED = Event(APPEND, "alice", "alice@a.test")
NEED = '"imapsieve", "environment", "imap4flags", "fileinto", "copy", "mailbox", "editheader", "ihave"'


class Street(Town):
    """``events`` before alice's INBOX, which has one mail."""

    def __init__(self, **sieve: object) -> None:
        super().__init__(**sieve)  # type: ignore[arg-type]
        self.events = Events(self.store, self.scripts, EventScripts(self.filtering, self.clock))

    async def names(self, script: str, text: str = "", need: str = NEED) -> None:
        """The mailbox's annotation names a script."""
        if text:
            octets = f"require [{need}];\r\n{text}".encode()
            await self.scripts.put(self.alice.id, script, octets, int(self.clock.now()))
        put = op.PutDocument(self.alice.id, METADATA, f"{INBOX}{EVENT_SCRIPT}", script)
        await self.commit(put)

    async def commit(self, *operations: op.Operation) -> None:
        """And let everybody hear of it."""
        await self.store.commit(Transaction(operations))
        await asyncio.sleep(0)

    async def add(self, octets: bytes = b"", flags: int = 0, *words: str) -> Uid:
        """A mail that somebody has appended."""
        octets = octets or mail()
        append = op.Append(self.alice.id, INBOX, 0, flags, words)
        (done,) = await self.store.commit(Transaction((append,), (Content(octets, index(octets)),)))
        assert isinstance(done, op.Appended)
        return done.uid

    async def happens(self, uid: Uid, event: Event = CHANGED) -> ModSeq:
        tenant, place = self.alice.tenant, (self.alice.id, INBOX)
        return await self.events.happened(tenant, place, [(uid, event)], Labour(self.clock))

    async def marks(self) -> list[tuple[int, str]]:
        return [(row.flags, row.keywords) for row in await self.mailbox("INBOX")]


@pytest.fixture
def street() -> Street:
    return Street()


async def test_where_no_script_is_named_nothing_is_read(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = (street.alice.id, INBOX)
    assert not street.events.is_idle(*place), "nobody has looked yet"
    assert not await street.events.wanted(street.alice.tenant, *place)
    assert street.events.is_idle(*place)
    for name in ("documents", "document", "mailbox", "messages"):
        monkeypatch.delattr(type(street.store).__mro__[1], name)
    assert await street.happens(await street.add()) == 0


async def test_an_annotation_is_heard_of(street: Street) -> None:
    place = (street.alice.id, INBOX)
    tenant = street.alice.tenant
    assert not await street.events.wanted(tenant, *place)
    await street.names("main", 'addflag "$Seen";')
    assert await street.events.wanted(tenant, *place) and not street.events.is_idle(*place)
    await street.commit(op.RemoveDocument(street.alice.id, METADATA, f"{INBOX}{EVENT_SCRIPT}"))
    assert not await street.events.wanted(tenant, *place)
    of_server = op.PutDocument(SYSTEM_ACCOUNT, METADATA, f"{tenant}{EVENT_SCRIPT}", "main")
    await street.commit(of_server)
    uid = await street.add()
    assert await street.happens(uid) > 0 and await street.marks() == [(0, "$Seen")]
    await street.names("")
    await street.happens(await street.add())
    assert (await street.marks())[1] == (0, ""), "an empty entry of the mailbox is not the server's"


async def test_the_environment(street: Street) -> None:
    """RFC 6785 section 4."""
    tests = [
        'environment "imap.cause" "FLAG"',
        'environment "imap.user" "alice"',
        'environment "imap.email" "alice@a.test"',
        'environment "imap.mailbox" "INBOX"',
        'environment "imap.changedflags" "\\\\Seen"',
        'environment "location" "MS"',
        'environment "phase" "post"',
        'hasflag "\\\\Seen"',
        'hasflag "$Word"',
        'header "subject" "hello"',
    ]
    await street.names("main", f'if allof ({", ".join(tests)}) {{ addflag "$All"; }}')
    await street.happens(await street.add(b"", SEEN, "$Word"))
    assert await street.marks() == [(SEEN, "$All $Word")]


async def test_at_a_delivery_the_items_are_empty(street: Street) -> None:
    items = " ".join(
        f'if not environment :is "imap.{item}" "" {{ discard; }}'
        for item in ("cause", "user", "email", "mailbox", "changedflags")
    )
    await street.script(f'require ["imapsieve", "environment"]; {items}')
    await street.took(mail())
    assert await street.counts() == {"INBOX": 1}


@pytest.mark.parametrize(
    ("script", "marks", "elsewhere"),
    [
        ("keep;", [(FLAGGED, "w")], {}),
        ("discard;", [(FLAGGED | DELETED, "w")], {}),
        ("discard; keep;", [(FLAGGED, "w")], {}),
        ('fileinto "Archive";', [(FLAGGED | DELETED, "w")], {"Archive": 1}),
        ('fileinto :copy "Archive";', [(FLAGGED, "w")], {"Archive": 1}),
        ('fileinto "Archive"; keep;', [(FLAGGED, "w")], {"Archive": 1}),
        ('fileinto :copy "INBOX";', [(FLAGGED, "w"), (FLAGGED, "w")], {}),
        ('fileinto :create "New/Deep";', [(FLAGGED | DELETED, "w")], {"New/Deep": 1}),
        ('setflag "\\\\Seen x";', [(SEEN, "x")], {}),
        ('removeflag "w";', [(FLAGGED, "")], {}),
        ('setflag "";', [(0, "")], {}),
        ('keep :flags "y";', [(0, "y")], {}),
        ('addflag "y"; fileinto :copy :flags "" "Archive";', [(FLAGGED, "w y")], {"Archive": 1}),
        ('deleteheader "subject"; addheader "X" "y";', [(FLAGGED, "w")], {}),
        ("stop;", [(FLAGGED, "w")], {}),
    ],
)
async def test_what_becomes_of_the_message(
    street: Street, script: str, marks: list[tuple[int, str]], elsewhere: dict[str, int]
) -> None:
    """RFC 6785 sections 3.1 to 3.9."""
    await street.names("main", script)
    octets = mail()
    await street.happens(await street.add(octets, FLAGGED, "w"))
    assert await street.marks() == marks
    counts = await street.counts()
    assert {name: count for name, count in counts.items() if name != "INBOX"} == elsewhere
    assert (await street.octets("INBOX"))[0] == octets, "a message never changes"


async def test_what_is_filed_or_sent_may_be_changed(street: Street) -> None:
    await street.names(
        "main", 'addheader "X-New" "1"; fileinto :copy "Archive"; redirect :copy "dave@c.test";'
    )
    octets = b"Authentication-Results: mail.a.test; dkim=pass\r\n" + mail()
    await street.happens(await street.add(octets))
    assert b"X-New: 1\r\n" in (await street.octets("Archive"))[0]
    (entry,) = street.store.entries
    assert entry.reverse_path == "alice@a.test", "section 3.4: the owner of the mailbox"
    assert [each.address for each in entry.recipients] == ["dave@c.test"] and entry.account == 0
    sent = street.store.content(entry)
    assert sent.startswith(b"Delivered-To: alice@a.test\r\nX-New: 1\r\n")


async def test_what_lay_in_a_mailbox_is_vouched_for_by_nobody(street: Street) -> None:
    """Else who appends a mail with results of ours would have us seal them."""
    await street.names("main", 'redirect :copy "dave@c.test";')
    await street.happens(await street.add(b"Authentication-Results: mail.a.test; dkim=pass\r\n" + mail()))
    (entry,) = street.store.entries
    assert entry.account == 0 and b"Authentication-Results" not in street.store.content(entry)


@pytest.mark.parametrize(
    "script",
    [
        'require "vacation"; vacation "Gone.";',
        'require "reject"; keep;',
        'require "ereject"; ereject "No";',
        'require "duplicate"; if duplicate { keep; }',
        'require "vacation-seconds"; keep;',
        'require ["envelope", "fileinto"]; fileinto "Archive"; if envelope "from" "x" { discard; }',
        'require ["include"]; include "other";',
        'require ["fileinto"]; fileinto "Archive"; redirect "1@c.test"; redirect "2@c.test";'
        'redirect "3@c.test"; redirect "4@c.test"; redirect "5@c.test";',
    ],
)
async def test_what_is_an_error_changes_nothing_and_is_told(street: Street, script: str) -> None:
    """RFC 6785 sections 3.11 and 4.6."""
    await street.scripts.put(street.alice.id, "main", script.encode(), 1)
    await street.scripts.put(street.alice.id, "other", b'require "vacation"; vacation "Gone.";', 1)
    await street.names("main")
    uid = await street.add()
    for _ in range(3):
        await street.happens(uid)
    assert (await street.marks())[0] == (0, "") and street.store.entries == []
    _first, told = await street.octets("INBOX")
    assert b"MAILER-DAEMON" in told and b"in INBOX" in told
    assert (await street.counts()).get("Archive", 0) == 0


async def test_what_ihave_finds(street: Street) -> None:
    await street.names("main", 'if ihave "vacation" { discard; } else { addflag "$No"; }')
    await street.happens(await street.add())
    assert await street.marks() == [(0, "$No")]


async def test_a_name_of_no_script_and_a_message_that_is_gone(street: Street) -> None:
    await street.names("nothing")
    uid = await street.add()
    assert await street.happens(uid) == 0
    await street.names("main", "discard;")
    assert await street.happens(Uid(uid + 5)) == 0
    assert await street.marks() == [(0, "")]


async def test_the_quota_is_that_of_the_account(street: Street) -> None:
    """A script cannot store what its owner could not."""
    await street.names("main", 'fileinto :copy "Archive";')
    uid = await street.add()
    await street.store.commit(Transaction((op.ChangeAccount(street.alice.id, quota=1),)))
    await street.happens(uid)
    counts = await street.counts()
    assert counts == {"INBOX": 2}
    assert b"MAILER-DAEMON" in (await street.octets("INBOX"))[1]


async def test_steps_are_those_of_the_owners_hour() -> None:
    """Attack row 38: marking mails again and again costs no more than mails that arrive."""
    street = Street(steps_hour=2_000)
    await street.names("main", "".join('if header "x" "y" { keep; }' for _ in range(300)) + 'addflag "$Ran";')
    for _ in range(8):
        await street.happens(await street.add())
    ran = [words for _, words in await street.marks() if words]
    assert 0 < len(ran) < 8


async def test_a_redirect_by_an_event_counts() -> None:
    street = Street(redirects_hour=3)
    await street.names("main", 'redirect "dave@c.test";')
    for _ in range(5):
        await street.happens(await street.add(), ADDED)
    assert len(street.store.entries) == 3
    kept = [flags for flags, _ in await street.marks()]
    assert kept.count(DELETED) == 3, "what was not redirected is kept"


async def test_over_sqlite(tmp_path: Path) -> None:
    """Octets of the disk, hints of the writer, and one transaction for all that a script wants."""
    clock = FakeClock()
    settings = Settings()
    store = await SqliteStore.open(tmp_path, settings, None, clock=clock)
    try:
        alice = await settle_in(store)
        directory = Directory(store, settings)
        scripts, rights = Scripts(store, settings), Rights(store, directory)
        hourly = Hourly(SharedTable(KEYS, HALF_LIFE), clock, settings)
        filtering = Filtering(scripts, store, directory, settings, hourly, filing=Filing(store, rights))
        events = Events(store, scripts, EventScripts(filtering, clock))
        text = 'require ["imap4flags", "fileinto", "copy"]; addflag "$X"; fileinto :copy "Archive";'
        await scripts.put(alice, "main", text.encode(), 1)
        named = op.PutDocument(alice, METADATA, f"{INBOX}{EVENT_SCRIPT}", "main")
        append = op.Append(alice, INBOX, 0)
        octets = mail()
        turn = Transaction((named, append), (Content(octets, index(octets)),))
        uid = next(one.uid for one in await store.commit(turn) if isinstance(one, op.Appended))
        last = await events.happened(DEFAULT_TENANT, (alice, INBOX), [(uid, ADDED)], Labour(clock))
        (row,) = await store.messages(alice, INBOX, [uid])
        assert (row.keywords, last > 0) == ("$X", True)
        archive = await store.mailbox_named(alice, "Archive")
        (copied,) = await store.messages(alice, archive.id, [Uid(1)])
        assert await store.octets(alice, copied.blob) == octets
        assert (copied.internal_date, last) == (row.internal_date, row.modseq)
    finally:
        await store.close()
