"""What a reader is told of another's account, change by change, is what it sees when it reads anew.

That it can fail was tried: without marks, departures, or modseqs of marks, and with a short cut too many,
each was red at once.
"""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest

from a3mailer.access.account_changes import emails_changed, threads_changed
from a3mailer.access.account_mail import AccountMail, AllMail
from a3mailer.access.lent import Lent
from a3mailer.access.loans import Loan, Loans
from a3mailer.access.rights import Rights
from a3mailer.config.tree import Server, Settings
from a3mailer.identity.directory import Directory
from a3mailer.mail.errors import NoSuchMessage
from a3mailer.mail.flags import DELETED, FLAGGED, SEEN
from a3mailer.mail.ids import AccountId, EmailId, MailboxId, Uid
from a3mailer.mail.message import index
from a3mailer.mail.rights import of_account
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.testing.clock import FakeClock
from tests.unit.access.test_lent import Lending

ACTS = 100
NAMES = ("INBOX", "Listed", "Private")
Shown = dict[int, tuple[int, str, tuple[int, ...]]]
"""By email: flags, keywords, mailboxes."""


class Stage(Lending):
    """Over any store."""

    def __init__(self, store: Store) -> None:
        self.store = store  # type: ignore[assignment]
        self.directory = Directory(store, Settings(server=Server(domain="a.test")))
        self.rights = Rights(store, self.directory)
        self.ids: dict[str, AccountId] = {}
        store.watch(self.directory.heard)
        store.watch(self.rights.heard)

    async def one(self, chance: random.Random) -> bool:
        """Something happens; whether another part may be lent now."""
        alice, bob = self.ids["alice"], self.ids["bob"]
        name = chance.choice(NAMES)
        box = self.boxes[name]
        rows = (await self.store.columns(alice, box))[1]
        uids = tuple(Uid(uid) for uid in rows.uids if chance.random() < 0.4)
        act = chance.randrange(8)
        if act == 0 or not uids:
            octets = b"Subject: %d\r\n%b\r\ny\r\n" % (
                chance.randrange(1 << 30),
                b"In-Reply-To: <a@b>\r\n" if chance.random() < 0.5 else b"Message-ID: <a@b>\r\n",
            )
            also = tuple(self.boxes[each] for each in NAMES if each != name and chance.random() < 0.3)
            append = op.Append(alice, box, 0, chance.choice((0, SEEN, FLAGGED)), also=also)
            await self.store.commit(Transaction((append,), (Content(octets, index(octets)),)))
        elif act == 1:
            await self.do(op.Expunge(alice, box, uids))
        elif act in (2, 3):
            await self.do(op.Copy(alice, box, uids, self.boxes[chance.choice(NAMES)], move=act == 3))
        elif act == 4:
            flags = chance.choice((SEEN, FLAGGED, DELETED))
            words = chance.choice(((), ("todo",)))
            await self.do(op.StoreFlags(alice, box, uids, chance.choice("+-"), flags, words))
        elif act == 5:
            emails = tuple(EmailId(each) for each in rows.emails[:1])
            with suppress(NoSuchMessage):  # all of it is marked \Deleted
                await self.do(op.ChangeEmail(alice, *emails, into=(self.boxes[chance.choice(NAMES)],)))
        elif act == 6:
            await self.do(op.StoreFlags(alice, box, uids, chance.choice("+-"), SEEN, reader=bob))
        elif chance.random() < 0.3:
            letters = chance.choice(("l", "lr", "lrs"))
            await self.grant(
                "alice", of_account(bob), letters, MailboxId(self.boxes[chance.choice(NAMES[1:])])
            )
            return True
        return False

    async def loan(self, loans: Loans) -> Loan:
        (loan,) = await loans.of(self.who("bob"))
        return loan


def shown(mail: AccountMail) -> Shown:
    """All that is known of each email."""
    found = [mail.email(at) for at in range(len(mail.emails))]
    return {each.number: (each.flags, each.keywords, each.mailboxes) for each in found}


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
@pytest.mark.parametrize("number", range(4))
async def test_changes_lead_to_what_is_there(tmp_path: Path, backend: str, number: int) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, clock = random.Random(seed), FakeClock()
    store: Store = MemoryStore(clock)
    if backend == "sqlite":
        store = await SqliteStore.open(tmp_path / "store", Settings(), None, clock=clock)
    stage = Stage(store)
    await stage.begin()
    loans = Loans(store, stage.rights, clock)
    loan = await stage.loan(loans)
    state, before, threads = await stage.modseq(), shown(await loan.mail.of(loan.account)), set[int]()
    threads = set((await loan.mail.of(loan.account)).threads)
    for _ in range(ACTS):
        await stage.one(chance)
        scope, loan = loan.scope, await stage.loan(loans)
        mail = await loan.mail.of(loan.account)
        fresh = Lent(store, stage.rights, stage.who("bob"), loan.account)
        anew = await AllMail(store, fresh).of(loan.account)
        now = shown(mail)
        assert now == shown(anew) and list(mail.threads) == list(anew.threads)
        assert {box: mail.counted(box) for box in loan.letters} == {
            box: anew.counted(box) for box in loan.letters
        }
        if scope == loan.scope:
            told = await emails_changed(loan.view, loan.account, state, 10_000)
            created, updated, gone = (set(told.of(kind)) for kind in ("created", "updated", "destroyed"))
            unmarked = now.keys() - before.keys() - created  # \Deleted no more is told as updated
            assert unmarked <= updated and created <= now.keys()
            assert now.keys() == (before.keys() | created | unmarked) - gone
            assert {each for each in now if each in before and now[each] != before[each]} <= updated | created
            of_threads = await threads_changed(loan.view, loan.account, state, 10_000)
            after = (threads | {*of_threads.of("created"), *of_threads.of("updated")}) - set(
                of_threads.of("destroyed")
            )
            after |= {mail.threads[mail.place(each)] for each in unmarked}
            assert after == set(mail.threads)
        state, before, threads = await stage.modseq(), now, set(mail.threads)
    await store.close()
