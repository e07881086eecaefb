"""Mailing lists over a store in memory: who gets what, who may write, joining, moderation, bounces."""

from __future__ import annotations

import re
from typing import Any

import pytest

from a3mailer.identity.directory import parse_stored
from a3mailer.mail.address import Address
from a3mailer.mail.envelope import Recipient
from a3mailer.mail.errors import MailError, NoSuchAccount, NoSuchMessage, NotAllowed
from a3mailer.mail.ids import DEFAULT_TENANT, AccountId
from a3mailer.store.operations import Append, CreateAccount, Enqueue
from a3mailer.transfer.forwarding.returns import Bounced, Returns
from a3mailer.transfer.forwarding.verp import Verp
from a3mailer.transfer.lists import roll, tokens
from a3mailer.transfer.lists.lists import Lists
from a3mailer.transfer.lists.roll import DAY, MailingList, Member
from a3mailer.transfer.lists.tokens import is_from_list
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.receive import Receive
from a3mailer.transfer.route import Local
from a3mailer.transfer.work import Work
from a3mailer.wire.dsn.compose import compose
from a3mailer.wire.dsn.report import Action, Original, RecipientStatus, Report
from a3mailer.wire.dsn.returned import Failure
from a3mailer.wire.smtp.paths import parse_mailbox
from tests.unit.transfer.office import Office
from tests.unit.transfer.world import MX

SECRETS = (b"k" * 32,)
LIST = "news@a.test"


def mail(author: str = "carol@b.test", subject: str = "hello", extra: str = "") -> bytes:
    return f"From: <{author}>\r\nTo: <{LIST}>\r\nSubject: {subject}\r\n{extra}\r\nGood morning.\r\n".encode()


class Place(Office):
    """An Office with one list: alice here, carol and dave elsewhere; admin@ looks after it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.lists = Lists(self.store, self.directory, self.settings, self.clock, SECRETS)
        self.returns = Returns(Verp(SECRETS), self.clock, {"list": self.lists})
        self.policy = Policy(
            self.store, self.directory, self.settings, self.forwarding, None, self.returns, lists=self.lists
        )
        self.receive = Receive(
            self.store,
            self.directory,
            self.settings,
            self.clock,
            forwarding=self.forwarding,
            returns=self.returns,
            lists=self.lists,
        )
        self.desk = self.make_desk("worker-1")
        self.list: AccountId = self.store.put(CreateAccount(DEFAULT_TENANT, LIST, "list", "News")).account
        self.change_list(**settings)
        for member in ("alice@a.test", "carol@b.test", "dave@b.test"):
            self.store.put(roll.put_member(self.list, member, Member(0)))
        self.directory.forget()

    def change_list(self, **settings: Any) -> None:
        self.store.put(roll.put_settings(self.list, MailingList(("admin@a.test",), **settings)))

    async def post(self, octets: bytes, to: str = LIST, **more: Any) -> MailError | None:
        """One mail of a stranger to an address, until the queue has nothing to do; what its sender hears."""
        (outcome,) = await self.send(octets, to, **more)
        return outcome

    async def written(self, octets: bytes, to: str = LIST, **more: Any) -> list[Enqueue]:
        """Send it, let the queue work once; what it queued."""
        assert await self.post(octets, to, **more) is None
        return await self.worked()

    async def worked(self) -> list[Enqueue]:
        """Let the queue work once; what it queued."""
        before = len(self.store.transactions)
        await self.attempt()
        return [
            operation
            for transaction in self.store.transactions[before:]
            for operation in transaction.operations
            if isinstance(operation, Enqueue) and not operation.recipients[0].address.startswith("BOUNCE=")
        ]

    def content(self, queued: Enqueue) -> bytes:
        for transaction in reversed(self.store.transactions):
            if queued in transaction.operations:
                return bytes(transaction.contents[queued.content].octets)
        raise AssertionError("not queued")

    async def members(self) -> list[str]:
        return sorted(await roll.members_of(self.store, self.list))

    async def box(self, use: str) -> list[bytes]:
        boxes = await self.store.mailboxes(self.list)
        box = next(b for b in boxes if b.special_use == use or (not use and b.name == "INBOX"))
        _, columns = await self.store.columns(self.list, box.id)
        found = await self.store.contents(self.list, box.id, columns.uids)
        return [octets for octets in found.values() if octets is not None]


def answer_address(octets: bytes) -> Recipient:
    found = re.search(rb"Reply-To: ([^\r\n]+(?:\r\n [^\r\n]+)*)", octets)
    assert found is not None, octets
    return Recipient(parse_mailbox(found[1].replace(b"\r\n ", b"").strip()))


async def test_a_mail_reaches_every_member_in_one_commit() -> None:
    place = Place()
    before = len(place.store.transactions)
    queued = await place.written(mail())
    assert sorted(q.recipients[0].address for q in queued) == ["carol@b.test", "dave@b.test"]
    assert all(is_from_list(q.trace) and q.account == 0 for q in queued)
    (spread,) = [
        t for t in place.store.transactions[before:] if any(isinstance(o, Append) for o in t.operations)
    ]
    assert {id(q) for q in queued} <= {id(o) for o in spread.operations}, "the queue's own record is in it"
    (got,) = place.store.inbox(place.alice.id)
    assert got.startswith(b"Return-Path: <news-owner@a.test>\r\n")
    assert b"List-Id: News <news.a.test>\r\n" in got and b"List-Post: <mailto:news@a.test>\r\n" in got
    assert got.endswith(mail().partition(b"\r\n")[2]), "what the author wrote is as it was"
    assert await place.box("\\Archive") == [got]


async def test_a_member_of_ours_with_a_script_gets_it_by_the_queue() -> None:
    place = Place()

    async def filters(route: Local) -> bool:
        return route.account == place.alice.id

    place.lists.filters = filters
    queued = await place.written(mail())
    assert len(queued) == 3 and place.store.inbox(place.alice.id) == []
    await place.attempt()
    assert len(place.store.inbox(place.alice.id)) == 1


async def test_members_get_a_mail_with_what_its_author_asked_for() -> None:
    """RFC 6710 section 4.4, RFC 8689 section 6."""
    place = Place()
    queued = await place.written(mail(), priority=-3, tls="required")
    assert {(q.priority, q.tls) for q in queued} == {(-3, "required")} and len(queued) == 2
    queued = await place.written(mail(extra="TLS-Required: No\r\n"))
    assert {(q.priority, q.tls) for q in queued} == {(0, "optional")}
    (onward,) = await place.written(mail(), "news-owner@a.test", priority=-3)
    assert onward.priority == -3


async def test_an_answer_names_what_it_answers() -> None:
    """RFC 3834 section 3.1.5."""
    place = Place()
    asks = mail("eve@b.test", extra="Message-ID: <1@b.test>\r\n")
    (asked,) = await place.written(asks, "news-subscribe@a.test")
    octets = place.content(asked)
    assert b"\r\nIn-Reply-To: <1@b.test>\r\nReferences: <1@b.test>\r\n" in octets
    assert b"\r\nAuto-Submitted: auto-replied\r\n" in octets


async def test_each_member_elsewhere_has_a_reverse_path_and_a_way_out_of_his_own() -> None:
    place = Place()
    one, other = await place.written(mail())
    assert one.reverse_path != other.reverse_path
    octets, domain = place.lists.personal(place.content(one), one.reverse_path, int(place.clock.now()))
    assert domain == "a.test"
    assert octets.count(b"List-Unsubscribe:") == 1
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in octets
    link = re.search(rb"<https://mail\.a\.test/lists/leave/([^>]+)>", octets)
    assert link is not None
    assert await place.lists.leave_by(link[1].decode()) == LIST
    assert one.recipients[0].address not in await place.members()
    assert await place.lists.leave_by(link[1].decode()) == LIST, "again: the same"
    assert len(await place.members()) == 2


@pytest.mark.parametrize("token", ["", ".", "a", "AAAA.AAAA", "é.é", "x" * 1000, "AAAA.NDIsYQ"])
async def test_a_link_nobody_has_made_does_nothing(token: str) -> None:
    place = Place()
    assert await place.lists.leave_by(token) is None
    assert len(await place.members()) == 3


async def test_only_members_write_and_the_others_hear_it_at_once() -> None:
    place = Place()
    assert isinstance(await place.post(mail("eve@b.test")), NotAllowed)
    assert isinstance(await place.post(mail("")), NotAllowed)
    assert await place.worked() == []
    place.change_list(posting="open")
    assert len(await place.written(mail("eve@b.test"))) == 2


async def test_what_claims_to_be_ours_and_is_not_proved_waits() -> None:
    place = Place()
    (asked,) = await place.written(mail("alice@a.test"))
    assert asked.recipients[0].address == "admin@a.test"
    assert place.store.inbox(place.alice.id) == []
    assert len(await place.box("")) == 1


@pytest.mark.parametrize("author", ["boss@a.test", "boss@tenant.test", "x@sub.a.test", "x@a.test.a.test"])
async def test_row_16_an_open_list_signs_nobody_elses_name(author: str) -> None:
    place = Place(posting="open")
    (asked,) = await place.written(mail(author))
    assert asked.recipients[0].address == "admin@a.test", "a signature of ours would prove it to others"
    assert place.store.inbox(place.alice.id) == []
    await place.send(b"From: <admin@a.test>\r\n\r\nok\r\n", answer_address(place.content(asked)))
    assert len(await place.worked()) == 2
    (got,) = place.store.inbox(place.alice.id)
    assert (
        b" via News <news@a.test>\r\n" in got
        and f"<{author}>".encode() not in got.partition(b"From:")[2][:60]
    )


@pytest.mark.parametrize("more", ["From: <eve@b.test>\r\n", "", " "])
async def test_row_16_a_mail_has_one_author(more: str) -> None:
    place = Place(posting="open")
    octets = (
        mail("carol@b.test>, <boss@a.test", extra=more)
        if more != " "
        else mail("carol@b.test", extra="From: x\r\n")
    )
    assert isinstance(await place.post(octets), NotAllowed)


async def test_a_member_of_ours_writes_as_himself() -> None:
    place = Place()
    queued = await place.written(
        mail("alice@a.test"), sender="alice@a.test", client=place.submitter(int(place.alice.id))
    )
    assert len(queued) == 2


async def test_a_moderator_lets_a_mail_through_by_an_answer_and_only_once() -> None:
    place = Place(posting="moderated")
    (asked,) = await place.written(mail())
    text = place.content(asked)
    assert b"From: carol@b.test" in text and b"Auto-Submitted: auto-replied" in text
    assert asked.reverse_path == "" and asked.recipients[0].notify == ("NEVER",)
    to = answer_address(text)
    reply = b"From: <admin@a.test>\r\nSubject: Re\r\n\r\nok\r\n"
    await place.send(reply, to, sender="admin@b.test")
    assert len(await place.worked()) == 2
    assert await place.box("") == []
    await place.send(reply + b"again\r\n", to, sender="admin@b.test")
    assert await place.worked() == []
    assert len(place.store.inbox(place.alice.id)) == 1


async def test_of_two_who_decide_at_once_one_does() -> None:
    place = Place(posting="moderated")
    await place.written(mail())
    (number,) = await place.lists.held(place.list)
    first, second = Work(), Work()
    await place.lists.decide(place.list, number, first, approve=True)
    await place.lists.decide(place.list, number, second, approve=True)
    await place.lists.commit(DEFAULT_TENANT, first)
    with pytest.raises(MailError):
        await place.lists.commit(DEFAULT_TENANT, second)
    with pytest.raises(NoSuchMessage):
        await place.lists.decide(place.list, number, Work(), approve=False)
    assert len(place.store.inbox(place.alice.id)) == 1


async def test_joining_needs_an_answer_from_the_address_itself() -> None:
    place = Place()
    (asked,) = await place.written(mail("eve@b.test"), "news-subscribe@a.test")
    assert asked.recipients[0].address == "eve@b.test"
    assert "eve@b.test" not in await place.members()
    assert await place.written(mail("eve@b.test", "again"), "news-subscribe@a.test") == [], "asked once a day"
    to = answer_address(place.content(asked))
    (welcome,) = await confirmed(place, to)
    assert b"Welcome" in place.content(welcome)
    assert "eve@b.test" in await place.members()


async def confirmed(place: Place, to: Recipient) -> list[Enqueue]:
    await place.send(b"From: <eve@b.test>\r\n\r\nyes\r\n", to, sender="eve@b.test")
    return await place.worked()


async def test_leaving_by_mail_is_confirmed_too() -> None:
    place = Place()
    (asked,) = await place.written(mail(), "news-unsubscribe@a.test")
    assert "carol@b.test" in await place.members()
    await confirmed(place, answer_address(place.content(asked)))
    assert "carol@b.test" not in await place.members()


async def test_a_closed_list_takes_nobody_by_mail() -> None:
    place = Place(joining="closed")
    assert isinstance(await place.post(mail("eve@b.test"), "news-subscribe@a.test"), NotAllowed)


@pytest.mark.parametrize("local_part", ["CONFIRM=AAAAAAAA=AA=join.4=b.test=eve", "CONFIRM=", "confirm=x=y"])
async def test_a_forged_confirmation_is_nobody(local_part: str) -> None:
    place = Place()
    with pytest.raises(NoSuchAccount):
        await place.post(mail(), f"{local_part}@a.test")


async def test_circles_and_programs_are_dropped() -> None:
    place = Place()
    assert await place.written(mail(extra="List-Id: News <news.a.test>\r\n")) == []
    assert await place.written(mail(extra="Auto-Submitted: auto-replied\r\n")) == []
    assert await place.written(mail(), sender="") == []
    assert (
        await place.written(mail("x@b.test", extra="Auto-Submitted: auto-replied\r\n"), "news-request@a.test")
        == []
    )


async def test_the_owner_and_the_help() -> None:
    place = Place()
    (onward,) = await place.written(mail("eve@b.test"), "news-owner@a.test")
    assert (onward.recipients[0].address, onward.reverse_path != "") == ("admin@a.test", True)
    (told,) = await place.written(mail("eve@b.test"), "news-request@a.test")
    assert b"news-unsubscribe@a.test" in place.content(told)


async def test_who_cannot_be_reached_for_days_gets_no_more_mail() -> None:
    place = Place()
    report = Report("mx", (RecipientStatus("x@y", Action.FAILED, "5.1.1", "", "mx", "550 no"),))
    bounce = compose(report, Original(b"Subject: x\r\n\r\n", full=False), to="x@y", now=0, token="t")
    for day in range(roll.BOUNCES):
        for _ in range(3):
            path = Verp(SECRETS).encode(
                f"list.{place.list}", Address("carol", "b.test"), "a.test", place.clock.now()
            )
            assert path is not None
            await place.send(bounce + f"{day}{_}".encode(), Recipient(path), sender="")
        member = await roll.member_of(place.store, place.list, "carol@b.test")
        assert member is not None and member.suspended is (day == roll.BOUNCES - 1)
        place.clock.advance(DAY)
    (queued,) = await place.written(mail())
    assert queued.recipients[0].address == "dave@b.test", "carol may write, and gets nothing"
    work = Work()
    await place.lists.join(place.list, "carol@b.test", work)
    await place.lists.commit(DEFAULT_TENANT, work)
    assert len(await place.written(mail(subject="two"))) == 2


@pytest.mark.parametrize(("status", "counts"), [("5.1.1", True), ("5.7.10", False), ("5.7.30", False)])
async def test_a_mail_that_wanted_tls_throughout_costs_no_member_his_place(status: str, counts: bool) -> None:
    place = Place()
    carol = parse_stored("carol@b.test")
    stream, now = tokens.stream_of(place.list), int(place.clock.now())
    bounce = Bounced(stream, carol, Failure(str(carol), status), DEFAULT_TENANT, "t", now)
    assert bool(await place.lists.bounced(bounce)) is counts


async def test_an_alias_and_a_group_lead_to_a_list() -> None:
    place = Place()
    place.store.put_alias("all@a.test", LIST, "bob@a.test", kind="group")
    place.directory.forget()
    assert len(await place.written(mail(), "all@a.test")) == 2
    assert len(place.store.inbox(place.bob.id)) == 1


async def test_a_list_that_waits_in_the_queue_without_a_server_that_knows_lists() -> None:
    place = Place()
    policy, place.policy = place.policy, Policy(place.store, place.directory, place.settings)
    place.receive = Receive(place.store, place.directory, place.settings, place.clock)
    assert await place.post(mail(), client=MX) is None
    place.policy = policy
    place.desk = place.make_desk("worker-2")
    assert len(await place.worked()) == 2
