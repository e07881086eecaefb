"""What a session does beside answering commands: draining, lost credentials, mails gone or damaged."""

import asyncio
import pathlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace

import pytest

from a3mailer.edge.connection import Draining
from a3mailer.edge.imap import sections
from a3mailer.edge.imap.replies import REPLIES, reply
from a3mailer.mail import errors
from a3mailer.mail.ids import INBOX, AccountId, BlobId, EmailId, Uid
from a3mailer.runtime.spool import Spool, SpoolError
from a3mailer.store.operations import BumpEpoch, ChangeAccount, EraseEmails, Expunge, Result, StoreFlags
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import Fragments
from a3mailer.testing.memory_connection import MemoryConnection, MemorySession, Stage
from tests.transcripts.imap_world import ImapWorld

LOGIN = b"a0 LOGIN alice@example.test secret-a\r\na0 SELECT INBOX\r\n"


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


@pytest.fixture
def alice(world: ImapWorld) -> AccountId:
    return world.accounts["alice"]


async def user(stage: Stage, number: int = 1) -> MemorySession:
    session = stage.open(number)
    await session.greeting()
    assert (await session.feed(LOGIN)).endswith(b"SELECT completed\r\n")
    return session


# --- news --------------------------------------------------------------------------------------


@pytest.mark.parametrize("uid", [b"", b"UID "])
async def test_what_another_changed_while_a_silent_store_waits_is_told(
    stage: Stage, world: ImapWorld, alice: AccountId, monkeypatch: pytest.MonkeyPatch, uid: bytes
) -> None:
    """Both changes are read at once, and the last modseq of the message is the session's own."""
    session, real = await user(stage), world.store.commit

    async def slow(transaction: Transaction) -> tuple[Result, ...]:
        await real(Transaction((StoreFlags(alice, INBOX, (Uid(1),), "+", 0, ("theirs",)),)))
        results = await real(transaction)
        await asyncio.sleep(0)  # the hints come
        view = await world.views.open(alice, INBOX)
        view.close()
        return results

    monkeypatch.setattr(world.store, "commit", slow)
    said = await session.feed(b"a1 %bSTORE 1 +FLAGS.SILENT (mine)\r\n" % uid)
    assert b"FLAGS (mine theirs))\r\na1 OK" in said
    assert b"FLAGS" not in await session.feed(b"a2 FETCH 2 UID\r\n")


# --- credentials and draining ------------------------------------------------------------------


async def test_a_new_credential_epoch_ends_sessions(stage: Stage, world: ImapWorld, alice: AccountId) -> None:
    session, idler = await user(stage), await user(stage, 2)
    await idler.feed(b"a1 IDLE\r\n")
    await world.store.commit(Transaction((BumpEpoch(alice),)))
    gone = b"* BYE the credentials of this session are no longer valid\r\n"
    assert await idler.feed(b"") == gone
    assert idler.closed
    assert await session.feed(b"a1 NOOP\r\n") == gone
    assert session.closed
    await user(stage, 3)


async def test_a_disabled_account_ends_its_own_sessions_only(
    stage: Stage, world: ImapWorld, alice: AccountId
) -> None:
    session = await user(stage)
    bob = stage.open(2)
    await bob.greeting()
    await bob.feed(b"b1 LOGIN bob@example.test secret-a\r\n")
    await world.store.commit(Transaction((ChangeAccount(alice, enabled=False),)))
    assert (await session.feed(b"a1 NOOP\r\n")).startswith(b"* BYE ")
    assert await bob.feed(b"b2 NOOP\r\n") == b"b2 OK NOOP completed\r\n"


async def test_a_draining_worker_says_goodbye_between_commands(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await user(stage)

    async def read(connection: MemoryConnection) -> bytes:
        assert connection.idle
        raise Draining("draining")

    monkeypatch.setattr(MemoryConnection, "read", read)
    said = await session.feed(b"a1 NOOP\r\n")
    assert said.startswith(b"a1 OK NOOP completed\r\n* BYE [UNAVAILABLE]")
    assert session.closed


# --- messages that are gone or damaged ---------------------------------------------------------


async def test_a_message_expunged_elsewhere_stays_readable_until_told(
    stage: Stage, world: ImapWorld, alice: AccountId
) -> None:
    session = await user(stage)
    await world.store.commit(Transaction((Expunge(alice, INBOX, (Uid(3),)),)))
    said = await session.feed(b"a1 FETCH 3 (UID FLAGS ENVELOPE BODY.PEEK[])\r\n")
    assert b'* 3 FETCH (UID 3 FLAGS () ENVELOPE (NIL "short"' in said
    assert said.endswith(b"a1 OK FETCH completed\r\n")
    assert await session.feed(b"a2 NOOP\r\n") == b"* 3 EXPUNGE\r\na2 OK NOOP completed\r\n"


async def test_flags_are_the_living_ones_while_an_expunge_is_not_told(
    stage: Stage, world: ImapWorld, alice: AccountId
) -> None:
    session = await user(stage)
    await world.store.commit(Transaction((Expunge(alice, INBOX, (Uid(1),)),)))
    await world.store.commit(Transaction((StoreFlags(alice, INBOX, (Uid(2),), "+", 4),)))
    assert b"* 2 FETCH (FLAGS (\\Flagged))" in await session.feed(b"a1 FETCH 2 FLAGS\r\n")
    assert b"* SEARCH 2\r\n" in await session.feed(b"a2 SEARCH FLAGGED\r\n")
    assert b"* 3 FETCH (FLAGS (x))" in await session.feed(b"a3 STORE 3 FLAGS x\r\n")
    assert b"* SEARCH 3\r\n" in await session.feed(b"a4 SEARCH KEYWORD X\r\n")
    said = await session.feed(b"a5 NOOP\r\n")
    assert said == b"* 1 EXPUNGE\r\n* 1 FETCH (FLAGS (\\Flagged))\r\na5 OK NOOP completed\r\n"


async def test_a_message_erased_meanwhile_is_named_in_the_answer(
    stage: Stage, world: ImapWorld, alice: AccountId
) -> None:
    session = await user(stage)
    (row,) = await world.store.messages(alice, INBOX, [Uid(3)])
    await world.store.commit(Transaction((EraseEmails(alice, (EmailId(row.email),)),)))
    said = await session.feed(b"a1 FETCH 1:3 (UID ENVELOPE)\r\n")
    assert said.count(b"ENVELOPE") == 2
    assert said.endswith(b"a1 NO [EXPUNGEISSUED] some messages no longer exist\r\n")
    said = await session.feed(b"a2 FETCH 1:3 (UID BODY.PEEK[1])\r\n")
    assert said.count(b"BODY[1]") == 2
    assert b"a2 NO [EXPUNGEISSUED]" in said


async def test_one_damaged_mail_does_not_stop_the_others(
    stage: Stage, world: ImapWorld, alice: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = await world.store.messages(alice, INBOX, [Uid(2)])
    read = world.store.many_octets

    async def damaged(account: AccountId, blobs: Sequence[BlobId]) -> list[bytes | None]:
        found = await read(account, blobs)
        return [None if blob == row.blob else one for blob, one in zip(blobs, found, strict=True)]

    monkeypatch.setattr(world.store, "many_octets", damaged)
    session = await user(stage)
    said = await session.feed(b"a1 FETCH 1:3 BODY.PEEK[]\r\n")
    assert b"* 2 FETCH (BODY[] NIL)\r\n" in said
    assert b"* 3 FETCH (BODY[] {47}\r\n" in said
    assert b"a1 NO [CORRUPTION]" in said
    assert (await session.feed(b"a2 SEARCH BODY x\r\n")).endswith(b"a2 OK SEARCH completed\r\n")


async def test_an_unknown_transfer_encoding_cannot_be_undone(stage: Stage, world: ImapWorld) -> None:
    await world.deliver(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-odd\r\n\r\nabc\r\n")
    session = await user(stage)
    assert b"a1 NO [UNKNOWN-CTE]" in await session.feed(b"a1 FETCH 4 BINARY.PEEK[1]\r\n")
    assert b"{5}\r\nabc\r\n" in await session.feed(b"a2 FETCH 4 BODY.PEEK[1]\r\n")


async def test_a_large_message_is_read_by_ranges(
    stage: Stage, world: ImapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "WHOLE", 100)
    monkeypatch.setattr(sections, "PIECE", 64)
    body = b"".join(b"line %d\r\n" % n for n in range(200))
    mail = b"Subject: large\r\nFrom: a@b\r\n\r\n" + body
    await world.deliver(mail)
    session = await user(stage)
    said = await session.feed(
        b"a1 FETCH 4 (UID BODY.PEEK[] BODY.PEEK[TEXT] BODY.PEEK[HEADER.FIELDS (Subject)])\r\n"
    )
    fields = b"Subject: large\r\n\r\n"
    assert said == (
        b"* 4 FETCH (UID 4 BODY[] {%d}\r\n%b BODY[TEXT] {%d}\r\n%b"
        b" BODY[HEADER.FIELDS (Subject)] {%d}\r\n%b)\r\n"
        b"a1 OK FETCH completed\r\n" % (len(mail), mail, len(body), body, len(fields), fields)
    )
    said = await session.feed(
        b"a2 FETCH 4 (BODY.PEEK[]<100.300> BODY.PEEK[7] BODY.PEEK[]<99999.5> BINARY.SIZE[1])\r\n"
    )
    assert said == (
        b"* 4 FETCH (BODY[]<100> {300}\r\n%b BODY[7] NIL BODY[]<99999> {0}\r\n BINARY.SIZE[1] %d)\r\n"
        b"a2 OK FETCH completed\r\n" % (mail[100:400], len(body))
    )


async def test_damage_in_the_middle_of_a_literal_ends_the_connection(
    stage: Stage, world: ImapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "WHOLE", 100)
    monkeypatch.setattr(sections, "PIECE", 64)
    await world.deliver(b"Subject: large\r\n\r\n" + b"x" * 500)
    read = world.store.octets

    async def damaged(account: AccountId, blob: BlobId, start: int = 0, end: int | None = None) -> bytes:
        if start > 200:
            raise errors.DamagedContent
        return await read(account, blob, start, end)

    monkeypatch.setattr(world.store, "octets", damaged)
    session = await user(stage)
    said = await session.feed(b"a1 FETCH 4 BODY.PEEK[]\r\n")
    assert b"a1" not in said
    assert session.closed


async def test_parts_are_found_where_the_kept_index_is_damaged(
    stage: Stage, world: ImapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = b"a1 FETCH 1:* (BODY.PEEK[1] BODY.PEEK[2.MIME])\r\n"
    session = await user(stage)
    good = await session.feed(ask)
    read = world.store.fragments

    async def damaged(account: AccountId, emails: Iterable[EmailId]) -> tuple[Fragments, ...]:
        return tuple(replace(row, index=row.index[:-3]) for row in await read(account, emails))

    monkeypatch.setattr(world.store, "fragments", damaged)
    assert await session.feed(ask) == good and good.endswith(b"a1 OK FETCH completed\r\n")


# --- errors ------------------------------------------------------------------------------------


async def test_a_full_disk_is_said_and_the_connection_goes_on(
    stage: Stage, world: ImapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await user(stage)

    def full(spool: Spool, octets: bytes) -> None:
        raise SpoolError(28, "no space")

    monkeypatch.setattr(Spool, "append", full)
    said = await session.feed(b"a1 APPEND INBOX {3+}\r\nabc\r\na2 NOOP\r\n")
    assert said.startswith(b"a1 NO [UNAVAILABLE] the disk is nearly full")
    assert said.endswith(b"a2 OK NOOP completed\r\n")


async def test_an_account_over_its_quota_keeps_nothing_of_several_messages(tmp_path: pathlib.Path) -> None:
    world = ImapWorld(tmp_path, {"quota": "40"})
    await world.fill()
    async with Stage(world.serve, world.connect) as stage:
        session = await user(stage)
        message = b"Subject: twentyfour....\r\n"
        size = len(message)
        said = await session.feed(
            b"a1 APPEND INBOX {%d+}\r\n%b {%d+}\r\n%b\r\n" % (size, message, size, message)
        )
        assert said == b"a1 NO [OVERQUOTA] the account is full\r\n"
        assert b"(MESSAGES 0)" in await session.feed(b"a2 STATUS INBOX (MESSAGES)\r\n")
        assert b" OK [APPENDUID" in await session.feed(b"a3 APPEND INBOX {%d+}\r\n%b\r\n" % (size, message))
    world.close()


def test_every_error_of_mail_has_an_answer() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    assert len(kinds) > 15
    for kind in kinds:
        answer = reply(kind("why"))
        assert answer.code
        assert answer.text.isascii()

    class New(errors.OverQuota):
        pass

    assert reply(New()) is REPLIES[errors.OverQuota]
    assert reply(errors.BadName("of this kind")).text == b"of this kind"
