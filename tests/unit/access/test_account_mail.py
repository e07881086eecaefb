"""All mail of an account, kept up by what changed, is what it is when it is read anew."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from a3mailer.access.account_changes import (
    WHOLE,
    State,
    emails_changed,
    mailboxes_changed,
    read_state,
    threads_changed,
    write_state,
)
from a3mailer.access.account_mail import AccountMail, AllMail, Counts, merged, trash_of
from a3mailer.mail.errors import MailError, NoSuchThing
from a3mailer.mail.flags import DELETED, DRAFT, FLAGGED, SEEN
from a3mailer.mail.ids import INBOX, AccountId, EmailId, MailboxId, Uid
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.ports import Transaction
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import content, mail, settle_in

FLAGS = (0, SEEN, FLAGGED, DELETED, DRAFT, SEEN | DELETED)
BOXES = [MailboxId(number) for number in (1, 2, 3, 5)]


async def act(
    store: MemoryStore, account: AccountId, chance: random.Random, kinds: tuple[int, ...] = FLAGS
) -> None:
    """Something random; what cannot be done is not."""
    box, other = chance.choice(BOXES), chance.choice(BOXES)
    uids = tuple(Uid(chance.randint(1, 12)) for _ in range(chance.randint(1, 3)))
    email = EmailId(chance.randint(1, 20))
    flags = chance.choice(kinds)
    number = chance.randint(1, 30)
    octets = mail(message_id=f"{number}@x", references=f"{chance.randint(1, number)}@x")
    operation = chance.choice(
        [
            op.Append(account, box, 0, flags, ("A",), internal_date=chance.randint(1, 9)),
            op.Append(account, box, 0, flags, also=(other,) if other != box else ()),
            op.Copy(account, box, uids, other, chance.choice([True, False])),
            op.StoreFlags(account, box, uids, chance.choice("+-="), flags, ("b",)),
            op.Expunge(account, box, uids),
            op.Undelete(account, (email,), box),
            op.ChangeEmail(account, email, flags & ~DELETED, into=(box,), out_of=(other,)),
            op.DestroyEmails(account, (email,)),
        ]
    )
    contents = (content(octets),) if isinstance(operation, op.Append) else ()
    try:
        await store.commit(Transaction((operation,), contents))
    except MailError:
        return


def plain(mail: AccountMail) -> tuple[object, ...]:
    """Everything that it knows, without what is zero."""
    counts = {box: each for box, each in mail.counts.items() if each != Counts()}
    orders = [list(mail.order(box)) for box in (0, *BOXES)]
    emails = [mail.email(at) for at in range(len(mail.emails))]
    return emails, counts, orders, mail.replies, mail.modseq


async def afresh(store: MemoryStore, account: AccountId) -> AccountMail:
    """As it is read anew."""
    mail = AccountMail(trash_of(await store.mailboxes(account)))
    mail.fill(await store.account_columns(account))
    return mail


def counted(mail: AccountMail) -> dict[int, Counts]:
    """Counts as RFC 8621 section 2 has them, by looking at everything."""
    found: dict[int, Counts] = {}
    emails = [mail.email(at) for at in range(len(mail.emails))]
    for box in {number for each in emails for number in each.mailboxes}:
        mine = [each for each in emails if box in each.mailboxes]
        threads = {each.thread for each in mine}
        unread = {
            each.thread
            for each in emails
            if not each.flags & (SEEN | DRAFT)
            and ((box in each.mailboxes) if box == mail.trash else each.mailboxes != (mail.trash,))
        }
        found[box] = Counts(
            len(mine),
            sum(not each.flags & (SEEN | DRAFT) for each in mine),
            len(threads),
            len(threads & unread),
        )
    return found


@pytest.mark.parametrize("seed", random.sample(range(1 << 30), 5))
async def test_what_is_kept_up_is_what_is_read_anew(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    store = MemoryStore(FakeClock())
    account = await settle_in(store)
    known = AllMail(store)
    for _ in range(120):
        await act(store, account, chance)
        if chance.random() < 0.5:
            mail = await known.of(account)
            if chance.random() < 0.3:
                mail.order(chance.choice((0, *BOXES)))
            fresh = await afresh(store, account)
            assert plain(mail) == plain(fresh)
            assert {box: each for box, each in fresh.counts.items() if each != Counts()} == counted(fresh)


@pytest.mark.parametrize("seed", random.sample(range(1 << 30), 5))
@pytest.mark.parametrize("most", [1, 3, 1000])
async def test_changes_lead_from_any_state_to_the_newest(seed: int, most: int) -> None:
    """Nothing is marked \\Deleted and unmarked in between: no state remembers that of a thread."""
    print("seed", seed)
    chance = random.Random(seed)
    store = MemoryStore(FakeClock())
    account = await settle_in(store)
    seen: list[tuple[State, dict[str, set[int]]]] = []
    for _ in range(60):
        await act(store, account, chance, (0, SEEN, FLAGGED, DRAFT))
        seen.append((State((await afresh(store, account)).modseq), await _there(store, account)))
    last = seen[-1][1]
    for since, before in seen:
        for kind, changed in (("emails", emails_changed), ("threads", threads_changed)):
            known, state, touched = set(before[kind]), since, set[int]()
            for _ in range(500):
                told = await changed(store, account, state, most)
                assert len(told.events) <= most
                names = [event.number for event in told.events]
                assert not [each for each, times in Counter(names).items() if times > 1]
                known |= set(told.of("created")) | set(told.of("updated"))
                known -= set(told.of("destroyed"))
                touched.update(names)
                state = read_state(write_state(told.state)) or told.state
                if not told.more:
                    break
            assert known == last[kind], (since, kind)
            assert state.number == WHOLE


async def _there(store: MemoryStore, account: AccountId) -> dict[str, set[int]]:
    mail = await afresh(store, account)
    return {"emails": set(mail.emails), "threads": set(mail.threads)}


async def test_a_state_that_is_forgotten_or_from_elsewhere() -> None:
    store = MemoryStore(FakeClock())
    account = await settle_in(store)
    with pytest.raises(NoSuchThing):
        await emails_changed(store, account, State(1000), 10)
    with pytest.raises(NoSuchThing):
        await mailboxes_changed(store, account, State(1000), 10)
    assert [read_state(text) for text in ("7", "7.3", "", "7.", ".3", "x", "-1", "7.3.1", "9" * 50)] == [
        State(7), State(7, 3), None, None, None, None, None, None, None,
    ]  # fmt: skip


async def test_an_email_is_what_its_rows_say_together() -> None:
    store = MemoryStore(FakeClock())
    account = await settle_in(store)
    append = op.Append(account, INBOX, 0, FLAGGED, ("Work",), also=(MailboxId(2),))
    await store.commit(Transaction((append,), (content(mail()),)))
    flags = op.StoreFlags(account, INBOX, (Uid(1),), "+", SEEN, ("Play",))
    await store.commit(Transaction((flags,)))
    (email,) = merged(await store.places(account, [EmailId(1)])).values()
    assert (email.flags, email.keywords, email.mailboxes) == (FLAGGED, "play work", (1, 2))
    known = await AllMail(store).of(account)
    assert known.email(0) == email
    assert known.counted(INBOX) == Counts(1, 1, 1, 1)
    assert known.counted(77) == Counts()


async def _pages(store: MemoryStore, account: AccountId, since: State) -> list[tuple[set[int], bool]]:
    """Mailboxes updated since a state, told one at a time, and whether that is but counts."""
    found = []
    while True:
        told, only_counts = await mailboxes_changed(store, account, since, 1)
        found.append((set(told.of("updated")), only_counts))
        since = told.state
        if not told.more:
            return found


async def test_counts_that_a_thread_changed_beside_are_told_on_a_later_page() -> None:
    """A mail in INBOX was the unread one of a thread that is in Sent, too; later news filled the page."""
    store = MemoryStore(FakeClock())
    account = await settle_in(store)
    sent = (await store.mailbox_named(account, "Sent")).id
    for box, octets in ((INBOX, mail("lunch", message_id="1@a.test")), (sent, mail(references="1@a.test"))):
        await store.commit(Transaction((op.Append(account, box, 0),), (content(octets),)))
    since = State((await afresh(store, account)).modseq)
    await store.commit(Transaction((op.Expunge(account, INBOX, (Uid(1),)),)))
    await store.commit(Transaction((op.Append(account, INBOX, 0),), (content(mail("other")),)))
    pages = await _pages(store, account, since)
    assert {box for boxes, _ in pages for box in boxes} == {INBOX, sent}


async def test_a_new_name_is_told_though_counts_changed_later() -> None:
    store = MemoryStore(FakeClock())
    account = await settle_in(store)
    sent = (await store.mailbox_named(account, "Sent")).id
    since = State((await afresh(store, account)).modseq)
    await store.commit(Transaction((op.RenameMailbox(account, sent, "Gone out"),)))
    for box in (INBOX, sent):
        await store.commit(Transaction((op.Append(account, box, 0),), (content(mail("other")),)))
    pages = await _pages(store, account, since)
    assert [only_counts for boxes, only_counts in pages if sent in boxes] == [False, True]
