"""UPDATE (RFC 5267): who applies what is told has at any time what the search would find now."""

import pathlib
import random
from collections.abc import AsyncIterator

import pytest

from a3mailer.access import search, view
from a3mailer.edge.imap import updating
from a3mailer.edge.imap.session import Session
from a3mailer.mail.errors import TryLater
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.testing.memory_connection import MemorySession, Stage
from tests.transcripts.imap_world import ImapWorld

LOGIN = b"a0 LOGIN alice@example.test secret-a\r\na0 SELECT INBOX\r\n"
ROUNDS = 80
FLAGS = (b"\\Seen", b"\\Flagged", b"\\Deleted", b"$Junk")
SEARCHES = {
    b"t1": b"SEARCH RETURN (UPDATE ALL) UNSEEN",
    b"t2": b"UID SEARCH RETURN (UPDATE ALL) ALL",
    b"t3": b"SEARCH RETURN (UPDATE ALL) OR KEYWORD $Junk (FLAGGED SUBJECT short)",
    b"t4": b"UID SEARCH RETURN (UPDATE ALL) NOT BODY apple UNDELETED",
    b"t5": b"UID SORT RETURN (UPDATE ALL) (REVERSE SIZE SUBJECT) UTF-8 NOT FLAGGED",
    b"t6": b"SORT RETURN (UPDATE ALL) (SUBJECT REVERSE ARRIVAL) UTF-8 OR SEEN KEYWORD $Junk",
}


@pytest.fixture
async def world(tmp_path: pathlib.Path) -> AsyncIterator[ImapWorld]:
    world = ImapWorld(tmp_path, {"messages": "plain mixed short"})
    await world.fill()
    yield world
    world.close()


@pytest.fixture
async def stage(world: ImapWorld) -> AsyncIterator[Stage]:
    async with Stage(world.serve, world.connect) as stage:
        yield stage


async def user(stage: Stage, number: int = 1) -> MemorySession:
    session = stage.open(number)
    await session.greeting()
    assert (await session.feed(LOGIN)).endswith(b"SELECT completed\r\n")
    return session


def expanded(text: bytes) -> list[int]:
    """The numbers of a set, in their order."""
    found: list[int] = []
    for piece in text.split(b","):
        low, _, high = piece.partition(b":")
        found += range(int(low), int(high or low) + 1)
    return found


class Client:
    """What a client knows: its messages (by marks of its own), and the results as they were told."""

    def __init__(self, count: int) -> None:
        self.marks = list(range(count))
        self.next = count
        self.results: dict[bytes, list[int]] = {}
        """Marks, or uids where the search was one by UID."""

    def hear(self, lines: bytes) -> None:
        for line in lines.split(b"\r\n"):
            words = line.split()
            if line.startswith(b"* ESEARCH"):
                self._esearch(line)
            elif words[2:] == [b"EXPUNGE"]:
                del self.marks[int(words[1]) - 1]
            elif words[2:] == [b"EXISTS"]:
                while len(self.marks) < int(words[1]):
                    self.marks.append(self.next)
                    self.next += 1

    def _esearch(self, line: bytes) -> None:
        tag = line.split(b'"')[1]
        words = line.split(b")", 1)[1].replace(b"(", b"").replace(b")", b"").split()
        by_uid = words[:1] == [b"UID"]
        words = words[by_uid:]
        action = b""
        while words:
            if words[0] in (b"ALL", b"ADDTO", b"REMOVEFROM"):
                action = words.pop(0)
                if action == b"ALL":
                    self.results[tag] = self._meant(words.pop(0), by_uid=by_uid)
                continue
            position, what = int(words.pop(0)), self._meant(words.pop(0), by_uid=by_uid)
            self._change(tag, action, position, what)

    def _meant(self, text: bytes, *, by_uid: bool) -> list[int]:
        return expanded(text) if by_uid else [self.marks[number - 1] for number in expanded(text)]

    def _change(self, tag: bytes, action: bytes, position: int, what: list[int]) -> None:
        result = self.results.setdefault(tag, [])
        if action == b"REMOVEFROM" and position:
            assert result[position - 1 : position - 1 + len(what)] == what
            del result[position - 1 : position - 1 + len(what)]
        elif action == b"REMOVEFROM":
            for one in what:
                result.remove(one)
        elif position:
            result[position - 1 : position - 1] = what
        else:
            result.extend(what)
            result.sort()


@pytest.mark.parametrize("remembered", [view.REMEMBERED_CHANGES, 0])
async def test_what_is_told_leads_to_what_would_be_found(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    monkeypatch.setattr(view, "REMEMBERED_CHANGES", remembered)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    session, other = await user(stage), await user(stage, 2)
    client = Client(3)
    for tag, text in SEARCHES.items():
        client.results[tag] = []
        client.hear(await session.feed(b"%b %b\r\n" % (tag, text)))
    for _ in range(ROUNDS):
        for who in (other, session):
            octets = await who.feed(_act(rng))
            if who is session:
                client.hear(octets)
        client.hear(await session.feed(rng.choice((b"x FETCH 1:* UID\r\n", b"x NOOP\r\n"))))
        client.hear(await session.feed(b"x NOOP\r\n"))
        for tag, text in SEARCHES.items():
            now = Client(0)
            now.marks = client.marks
            now.results[tag] = []
            now.hear(await session.feed(b"x %b\r\n" % text.replace(b"UPDATE ", b"")))
            assert client.results[tag] == now.results.get(b"x", []), tag
    assert client.marks


def _act(rng: random.Random) -> bytes:
    """A change, or none; one message at least is left."""
    one = b"%d" % rng.randint(1, 3)
    match rng.randrange(8):
        case 0:
            return b"y COPY %b INBOX\r\n" % one
        case 1:
            return b"y COPY 1:* INBOX\r\ny STORE 6:* +FLAGS.SILENT \\Deleted\r\n"
        case 2:
            return b"y STORE 1 -FLAGS.SILENT \\Deleted\r\ny EXPUNGE\r\n"
        case 3:
            return b"y NOOP\r\n"
        case 4:
            return b"y UID STORE 1:* %bFLAGS %b\r\n" % (rng.choice((b"+", b"-")), rng.choice(FLAGS))
        case _:
            sign, flag = rng.choice((b"+", b"-")), rng.choice(FLAGS)
            return b"y STORE %b %bFLAGS%b %b\r\n" % (one, sign, rng.choice((b"", b".SILENT")), flag)


async def test_a_session_follows_so_many_searches_and_no_more(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updating, "SEARCHES", 2)
    session = await user(stage)
    for tag in (b"b1", b"b2"):
        assert b"NOUPDATE" not in await session.feed(b"%b SEARCH RETURN (UPDATE) ALL\r\n" % tag)
    assert await session.feed(b"b3 SEARCH RETURN (UPDATE COUNT) ALL\r\n") == (
        b'* ESEARCH (TAG "b3") COUNT 3\r\n* NO [NOUPDATE "b3"] too many contexts\r\n'
        b"b3 OK SEARCH completed\r\n"
    )
    await session.feed(b'b4 CANCELUPDATE "b1"\r\n')
    assert b"NOUPDATE" not in await session.feed(b"b3 SEARCH RETURN (UPDATE COUNT) ALL\r\n")


async def test_results_are_bounded_but_for_the_first(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updating, "RESULTS", 4)
    monkeypatch.setattr(updating, "SORTED", 2)
    monkeypatch.setattr(updating, "RANGES", 1)
    session = await user(stage)
    sort = await session.feed(b"b0 SORT RETURN (UPDATE) (SIZE) UTF-8 ALL\r\n")
    assert b'[NOUPDATE "b0"] too many results to keep sorted' in sort
    assert b'[NOUPDATE "b0"] too many messages' in await session.feed(b"b0 SEARCH RETURN (UPDATE) 1,3\r\n")
    assert b"NOUPDATE" not in await session.feed(b"b1 SEARCH RETURN (UPDATE) ALL\r\n")
    assert b'[NOUPDATE "b2"] too many results' in await session.feed(b"b2 SEARCH RETURN (UPDATE) ALL\r\n")
    assert b"NOUPDATE" not in await session.feed(b"b3 SEARCH RETURN (UPDATE) 1\r\n")


async def test_a_search_that_cannot_be_followed_is_given_up_and_that_is_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await user(stage)
    await session.feed(b"b1 SEARCH RETURN (UPDATE) TEXT short\r\nb2 SEARCH RETURN (UPDATE) FLAGGED\r\n")

    async def failing(*_: object) -> None:
        raise TryLater

    with monkeypatch.context() as broken:
        broken.setattr(MemoryStore, "texts_with", failing)
        told = await session.feed(b"c1 STORE 1 +FLAGS.SILENT \\Flagged\r\n")
    assert told == (
        b'* NO [NOUPDATE "b1"] the search cannot be followed any more\r\n'
        b'* ESEARCH (TAG "b2") ADDTO (0 1)\r\nc1 OK STORE completed\r\n'
    )
    assert await session.feed(b"c2 STORE 1 FLAGS.SILENT ()\r\n") == (
        b'* ESEARCH (TAG "b2") REMOVEFROM (0 1)\r\nc2 OK STORE completed\r\n'
    )


@pytest.mark.parametrize("change", [b"STORE 1 +FLAGS.SILENT \\Deleted", b"COPY 2 INBOX", b"EXPUNGE"])
async def test_what_happens_while_it_is_looked_at_is_told_next(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, change: bytes
) -> None:
    session, other = await user(stage), await user(stage, 2)
    await other.feed(b"z0 STORE 3 +FLAGS.SILENT \\Deleted\r\n")
    client = Client(3)
    client.results[b"b1"] = []
    client.hear(await session.feed(b"b1 UID SEARCH RETURN (UPDATE ALL) BODY e UNDELETED\r\n"))
    before = list(client.results[b"b1"])
    plain = MemoryStore.texts_with
    meanwhile = [change]

    async def changing(store: MemoryStore, *asked: object) -> object:
        while meanwhile:
            assert b" OK " in await other.feed(b"z1 %b\r\n" % meanwhile.pop())
        return await plain(store, *asked)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryStore, "texts_with", changing)
    client.hear(await session.feed(b"c1 STORE 1:2 +FLAGS.SILENT \\Seen\r\n"))
    assert not meanwhile
    client.hear(await session.feed(b"c2 NOOP\r\n"))
    now = Client(0)
    now.hear(await session.feed(b"c3 UID SEARCH RETURN (ALL) BODY e UNDELETED\r\n"))
    assert client.results[b"b1"] == now.results.get(b"c3", [])
    assert (client.results[b"b1"] != before) == (change != b"EXPUNGE")


async def test_only_what_changed_is_looked_at(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await user(stage)
    await session.feed(b"b1 SEARCH RETURN (UPDATE) SENTSINCE 1-Jan-2000\r\n")
    read: list[int] = []
    plain = MemoryStore.envelopes

    async def counted(store: MemoryStore, account: int, emails: list[int]) -> object:
        read.append(len(emails))
        return await plain(store, account, emails)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryStore, "envelopes", counted)
    await session.feed(b"c1 NOOP\r\nc2 STORE 2 +FLAGS.SILENT \\Seen\r\nc3 COPY 2 INBOX\r\nc4 NOOP\r\n")
    assert read == [1, 1]


async def test_who_asks_for_no_updates_has_none_and_loses_them_with_the_mailbox(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Session] = []
    plain = updating.Updates.__init__

    def counted(updates: updating.Updates, session: Session) -> None:
        made.append(session)
        plain(updates, session)

    monkeypatch.setattr(updating.Updates, "__init__", counted)
    session = await user(stage)
    await session.feed(b"b1 SEARCH RETURN (CONTEXT ALL) ALL\r\nb2 SEARCH ALL\r\nb3 NOOP\r\n")
    assert not made
    await session.feed(b"b4 SEARCH RETURN (UPDATE) ALL\r\nb5 SELECT INBOX\r\n")
    assert len(made) == 1
    assert made[0].chosen.updates is None


@pytest.mark.parametrize("block", [1, 2, search.BLOCK])
async def test_places_are_searched_in_blocks(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(search, "BLOCK", block)
    session = await user(stage)
    await session.feed(b"b1 SEARCH RETURN (UPDATE) NOT FLAGGED NOT BODY apple\r\n")
    told = await session.feed(b"c1 STORE 1:* +FLAGS.SILENT \\Flagged\r\n")
    assert b"REMOVEFROM" in told
    assert (await session.feed(b"c2 STORE 1:* FLAGS.SILENT ()\r\n")).startswith(b'* ESEARCH (TAG "b1") ADDTO')
