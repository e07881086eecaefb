"""Another's account as one of its readers sees it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from a3mailer.access.account_changes import State, emails_changed, mailboxes_changed, threads_changed
from a3mailer.access.account_mail import AllMail
from a3mailer.access.blobs import Blobs
from a3mailer.access.lent import Lent
from a3mailer.access.loans import Loans
from a3mailer.mail.errors import NoSuchAccount, NoSuchMessage
from a3mailer.mail.flags import DELETED, FLAGGED, SEEN
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, EmailId, MailboxId, ThreadId, Uid
from a3mailer.mail.message import index
from a3mailer.mail.rights import of_account
from a3mailer.store import operations as op
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.clock import FakeClock
from tests.unit.access.test_rights import World


class Lending(World):
    """Bob reads alice's INBOX and lists Listed; Private he has no right on."""

    async def begin(self) -> Lent:
        await self.settle_in()
        alice = self.ids["alice"]
        self.boxes = {"INBOX": INBOX}
        for name in ("Listed", "Private"):
            (made,) = await self.do(op.CreateMailbox(alice, name))
            assert isinstance(made, op.MailboxCreated)
            self.boxes[name] = made.mailbox
        await self.grant("alice", of_account(self.ids["bob"]), "lrs")
        await self.grant("alice", of_account(self.ids["bob"]), "l", self.boxes["Listed"])
        for name in ("INBOX", "Private", "Listed"):
            await self.append(name)
        return Lent(self.store, self.rights, self.who("bob"), alice)

    async def append(self, *names: str, flags: int = 0) -> int:
        octets = b"Subject: x\r\n\r\ny\r\n"
        first, *also = (self.boxes[name] for name in names)
        append = op.Append(self.ids["alice"], first, 0, flags, also=tuple(also))
        (made,) = await self.store.commit(Transaction((append,), (Content(octets, index(octets)),)))
        assert isinstance(made, op.Appended)
        return made.email

    async def mark(self, who: str, uid: int, flags: int, name: str = "INBOX") -> None:
        reader = {"reader": self.ids[who]} if who != "alice" else {}
        mailbox = self.boxes[name]
        await self.do(op.StoreFlags(self.ids["alice"], mailbox, (Uid(uid),), "+", flags, **reader))  # type: ignore[arg-type]

    async def modseq(self) -> State:
        row = await self.store.account(self.ids["alice"])
        assert row is not None
        return State(row.modseq)


async def numbers(world: Lending, lent: Lent) -> list[int]:
    return list((await AllMail(world.store, lent).of(lent.account)).emails)


async def test_nothing_is_there_that_may_not_be_read() -> None:
    world = Lending()
    lent = await world.begin()
    assert [box.name for box in await lent.mailboxes(lent.account)] == ["INBOX", "Listed"]
    assert await numbers(world, lent) == [1]
    every = [EmailId(1), EmailId(2), EmailId(3), EmailId(99)]
    assert [row.email for row in await lent.places(lent.account, every)] == [1]
    threads = [ThreadId(1), ThreadId(2), ThreadId(3)]
    assert [row.email for row in await lent.thread_places(lent.account, threads)] == [1]
    both = await world.append("Private", "INBOX")
    (row,) = await lent.places(lent.account, [EmailId(both)])
    assert row.mailbox == INBOX, "of an email in both only the one that may be read"
    with pytest.raises(NoSuchAccount):
        await lent.places(world.ids["carol"], every)
    nobody = Lent(world.store, world.rights, world.who("carol"), lent.account)
    assert await nobody.mailboxes(lent.account) == () and await numbers(world, nobody) == []
    assert await nobody.places(lent.account, every) == ()


async def test_each_has_seen_what_he_has_seen() -> None:
    world = Lending()
    lent = await world.begin()
    await world.mark("alice", 1, SEEN | FLAGGED)

    async def flags() -> Iterable[int]:
        (row,) = await lent.places(lent.account, [EmailId(1)])
        columns = await lent.account_columns(lent.account)
        return row.flags, columns.flags[0]

    assert await flags() == (FLAGGED, FLAGGED)
    await world.mark("bob", 1, SEEN)
    assert await flags() == (FLAGGED | SEEN, FLAGGED | SEEN)
    (box, _) = await lent.mailboxes(lent.account)
    assert box.unseen == 0
    mail = await AllMail(world.store, lent).of(lent.account)
    assert mail.counted(int(INBOX)).unread == 0


async def test_changes_are_those_that_are_seen() -> None:
    world = Lending()
    lent = await world.begin()
    store, account = lent, lent.account
    await lent.places(account, [EmailId(1)])
    before = await world.modseq()
    await world.mark("alice", 1, SEEN)
    await world.append("Private")
    await world.mark("alice", 1, FLAGGED, "Private")
    told = await emails_changed(store, account, before, 100)
    assert not [each for each in told.events if each.number != 1]
    before = await world.modseq()
    await world.mark("bob", 1, SEEN)
    told = await emails_changed(store, account, before, 100)
    assert (told.of("created"), told.of("updated"), told.of("destroyed")) == ([], [1], [])
    boxes, counts = await mailboxes_changed(store, account, before, 100)
    assert boxes.of("updated") == [int(INBOX)] and counts
    before = await world.modseq()
    new = await world.append("INBOX", "Private")
    await world.mark("alice", 1, DELETED)
    told = await emails_changed(store, account, before, 100)
    assert (told.of("created"), told.of("destroyed")) == ([new], [1])
    threads = await threads_changed(store, account, before, 100)
    assert (threads.of("created"), threads.of("updated")) == ([], [1]), "they are one thread"


async def test_a_view_is_kept_up() -> None:
    world = Lending()
    lent = await world.begin()
    every = AllMail(world.store, lent)
    assert list((await every.of(lent.account)).emails) == [1]
    new = await world.append("INBOX", flags=FLAGGED)
    await world.append("Private")
    await world.mark("bob", 1, SEEN)
    mail = await every.of(lent.account)
    assert list(mail.emails) == [1, new] and list(mail.flags) == [SEEN, FLAGGED]
    await world.do(op.Expunge(lent.account, INBOX, (Uid(1),)))
    assert list((await every.of(lent.account)).emails) == [new]


async def test_another_scope_is_another_view() -> None:
    world = Lending()
    lent = await world.begin()
    scope = await lent.scope()
    await world.append("INBOX")
    await world.append("Private")
    assert await lent.scope() == scope
    await world.grant("alice", of_account(world.ids["bob"]), "lr", world.boxes["Private"])
    other = await lent.scope()
    assert other != scope and len(await lent.readable()) == 2
    await world.grant("alice", of_account(world.ids["bob"]), "", MailboxId(world.boxes["Private"]))
    assert await lent.scope() == scope


async def test_a_blob_is_there_while_an_email_has_it_that_may_be_read() -> None:
    world = Lending()
    lent = await world.begin()
    for name, subject in (("INBOX", b"shown"), ("Private", b"hidden")):
        octets = b"Subject: " + subject + b"\r\n\r\ny\r\n"
        append = op.Append(lent.account, world.boxes[name], 0)
        await world.store.commit(Transaction((append,), (Content(octets, index(octets)),)))
    rows = {row.email: row for row in await world.store.places(lent.account, [EmailId(4), EmailId(5)])}
    shown, hidden = rows[EmailId(4)].blob, rows[EmailId(5)].blob
    assert (await lent.octets(lent.account, shown)).startswith(b"Subject: shown")
    with pytest.raises(NoSuchMessage):
        await lent.octets(lent.account, hidden)
    with pytest.raises(NoSuchMessage):
        await lent.content_size(lent.account, hidden)
    assert [row.email for row in await lent.fragments(lent.account, [EmailId(5), EmailId(4)])] == [4]
    await world.grant("alice", of_account(world.ids["bob"]), "lr", world.boxes["Private"])
    assert (await lent.octets(lent.account, hidden)).startswith(b"Subject: hidden")
    await world.grant("alice", of_account(world.ids["bob"]), "l")
    with pytest.raises(NoSuchMessage):
        await lent.octets(lent.account, shown)


async def test_what_the_reader_uploads_is_its_own() -> None:
    world = Lending()
    lent = await world.begin()
    clock = FakeClock()
    blobs = Blobs(world.store, clock, lent, lent.subject.account)
    name = await blobs.upload(lent.account, DEFAULT_TENANT, lent.subject.account, b"mine", 1000)
    assert await blobs.octets(lent.account, name) == b"mine" and await blobs.size(lent.account, name) == 4
    with pytest.raises(NoSuchMessage):
        await Blobs(world.store, clock).octets(lent.account, name)
    theirs = await Blobs(world.store, clock).upload(lent.account, DEFAULT_TENANT, lent.account, b"hers", 1000)
    with pytest.raises(NoSuchMessage):
        await blobs.octets(lent.account, theirs)


async def test_a_loan_is_kept_while_the_same_is_lent() -> None:
    world = Lending()
    lent = await world.begin()
    loans = Loans(world.store, world.rights, FakeClock())
    bob = world.who("bob")
    (loan,) = await loans.of(bob)
    assert loan.account == lent.account and loan.scope == await lent.scope()
    assert loan.letters == {int(INBOX): "lrs", int(world.boxes["Listed"]): "l", 0: ""}
    assert loan.target.rights == "lrs" and loan.has(int(INBOX), "rl") and not loan.has(99, "l")
    await world.append("INBOX")
    (again,) = await loans.of(bob)
    assert again is loan
    limited = replace(bob, scopes=frozenset(("mailbox",)))
    (narrow,) = await loans.of(limited)
    assert narrow.letters[int(INBOX)] == "l" and narrow.scope != loan.scope
    await world.grant("alice", of_account(world.ids["bob"]), "l")
    (other,) = await loans.of(bob)
    assert other.scope != loan.scope and other.view is not loan.view
    assert await loans.of(world.who("carol")) == () and await loans.of(world.who("alice")) == ()
