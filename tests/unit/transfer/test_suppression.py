"""Addresses that nothing is sent to: counted refusals, the words for senders, and what is not counted."""

from typing import Any

import pytest

from a3mailer.config.tree import Queue as QueueSettings
from a3mailer.mail.address import ReversePath
from a3mailer.mail.envelope import Envelope, Recipient
from a3mailer.mail.errors import Refused
from a3mailer.mail.ids import DEFAULT_TENANT, TenantId
from a3mailer.store.ports import Transaction
from a3mailer.transfer.suppression import DAY, Suppression, release, suppress, suppressions
from tests.unit.transfer.office import Office
from tests.unit.transfer.test_pacing import Peer
from tests.unit.transfer.world import address

ALICE = Envelope(ReversePath(address("alice@a.test")))
NOBODY = "550 5.1.1 no such user here"


def office_with(answer: str, **settings: Any) -> Office:
    office = Office(Peer(answer), QueueSettings(**{"suppress_after": 2, "suppress_days": 10, **settings}))
    office.resolver.mail_host("b.test", "192.0.2.1")
    return office


async def submit(office: Office, to: str) -> Any:
    """RCPT of alice's."""
    return await office.policy.recipient(office.submitter(), ALICE, Recipient(address(to)))


async def test_what_is_refused_as_for_nobody_so_often_is_refused_by_us() -> None:
    office = office_with(NOBODY)
    for _ in range(2):
        await submit(office, "gone@b.test")
        await office.enqueue("gone@b.test")
        await office.attempt()
    with pytest.raises(
        Refused, match=r"nothing is sent there before 2027-01-25 \(no such user: 550 5.1.1"
    ) as refused:
        await submit(office, "GONE@b.test")
    assert refused.value.status == "5.1.1"
    await submit(office, "other@b.test")
    (row,) = [row async for row in suppressions(office.store)]
    assert (row.address, row.what.strikes, row.what.active) == ("gone@b.test", 2, True)
    office.clock.advance(10 * DAY + 1)
    await submit(office, "gone@b.test")


@pytest.mark.parametrize(
    ("answer", "settings"),
    [
        ("450 4.1.1 no such user here", {}),
        ("550 5.7.1 spam", {}),
        ("552 5.2.2 mailbox full", {}),
        ("250 2.0.0 ok", {}),
        (NOBODY, {"suppress_after": 0}),
    ],
)
async def test_other_answers_do_not_count_nor_does_anything_unless_it_is_wanted(
    answer: str, settings: dict[str, int]
) -> None:
    office = office_with(answer, **settings)
    for _ in range(3):
        await office.enqueue("x@b.test")
        await office.attempt()
    assert [row async for row in suppressions(office.store)] == []
    await submit(office, "x@b.test")


async def test_an_operators_word_stands_without_counting_and_is_his_tenants() -> None:
    office = office_with(NOBODY, suppress_after=0)
    what = Suppression("complaint", "asked us to stop", active=True)
    await office.store.commit(Transaction((suppress(TenantId(2), "x@b.test", what, 0),)))
    await submit(office, "x@b.test")
    await office.store.commit(Transaction((suppress(DEFAULT_TENANT, "x@b.test", what, 0),)))
    with pytest.raises(Refused, match=r"nothing is sent there \(complaint: asked us to stop\)") as refused:
        await submit(office, "x@b.test")
    assert refused.value.status == "5.7.1"
    await office.store.commit(Transaction((release(DEFAULT_TENANT, "x@b.test"),)))
    await submit(office, "x@b.test")
