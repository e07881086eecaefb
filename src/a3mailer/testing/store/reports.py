"""The rules of reports: counts that add up, reports that are kept once, and what is forgotten."""

from __future__ import annotations

import pytest

from a3mailer.mail.errors import NoSuchMailbox, NoSuchThing
from a3mailer.mail.ids import DEFAULT_TENANT, SYSTEM_ACCOUNT, MailboxId
from a3mailer.store import operations as op
from a3mailer.store.operations import Tally
from a3mailer.testing.store.case import StoreCase, World, mail

DAY = 86_400


async def tally(world: World, *tallies: Tally, kind: str = "dmarc") -> int:
    return (await world.one(op.Tallied, op.AddTallies(kind, tallies))).left_out


def received(identity: str, domain: str = "a.test", kind: str = "dmarc", now: int = 0) -> op.PutReport:
    return op.PutReport(kind, domain, "b.test", identity, 100, 200, '{"x": 1}', now)


class ReportRules(StoreCase):
    """Tallies and received reports."""

    async def test_counts_add_up(self, world: World) -> None:
        assert await tally(world, Tally(DAY, "b.test", "one", 2), Tally(DAY, "b.test", "two", 5)) == 0
        await tally(world, Tally(DAY, "b.test", "one", 3), Tally(DAY, "c.test", "one", 1))
        await tally(world, Tally(DAY, "b.test", "one", 7), kind="tls")
        assert await world.store.tallies("dmarc", DAY, "b.test") == (
            Tally(DAY, "b.test", "one", 5),
            Tally(DAY, "b.test", "two", 5),
        )
        assert await world.store.tallies("tls", DAY, "b.test") == (Tally(DAY, "b.test", "one", 7),)
        assert await world.store.tallies("tls", DAY, "c.test") == ()

    async def test_periods_that_began_before(self, world: World) -> None:
        for period, domain in ((2 * DAY, "b.test"), (DAY, "c.test"), (DAY, "b.test"), (3 * DAY, "b.test")):
            await tally(world, Tally(period, domain, "one", 1), Tally(period, domain, "two", 1))
        assert await world.store.tallied("dmarc", 3 * DAY) == (
            (DAY, "b.test"),
            (DAY, "c.test"),
            (2 * DAY, "b.test"),
        )
        assert await world.store.tallied("tls", 3 * DAY) == ()

    async def test_tallies_are_dropped_by_period_and_domain(self, world: World) -> None:
        for period in (DAY, 2 * DAY, 3 * DAY):
            await tally(world, Tally(period, "b.test", "one", 1), Tally(period, "c.test", "one", 1))
        assert await world.one(op.Purged, op.DropTallies("dmarc", "b.test", DAY, 2 * DAY)) == op.Purged(1)
        assert await world.one(op.Purged, op.DropTallies("tls", "", 0, 9 * DAY)) == op.Purged(0)
        left = await world.store.tallied("dmarc", 9 * DAY)
        assert left[:3] == ((DAY, "c.test"), (2 * DAY, "b.test"), (2 * DAY, "c.test"))
        assert left[3:] == ((3 * DAY, "b.test"), (3 * DAY, "c.test"))
        assert await world.one(op.Purged, op.DropTallies("dmarc", "", 0, 3 * DAY)) == op.Purged(3)
        assert await world.store.tallied("dmarc", 9 * DAY) == ((3 * DAY, "b.test"), (3 * DAY, "c.test"))

    async def test_a_report_is_queued_and_its_tallies_go_or_neither(self, world: World) -> None:
        await tally(world, Tally(DAY, "b.test", "one", 2))
        drop = op.DropTallies("dmarc", "b.test", DAY, 2 * DAY)
        nowhere = op.Append(world.alice, MailboxId(987_654), 0)
        await world.fails(NoSuchMailbox, drop, nowhere, contents=(mail(),))
        send = op.Enqueue(SYSTEM_ACCOUNT, DEFAULT_TENANT, 0, "", (op.QueueRecipient("carol@b.test"),))
        await world.do(drop, send, contents=(mail(),))
        assert await world.store.tallied("dmarc", 9 * DAY) == ()
        assert len(await world.store.queue()) == 1

    async def test_beyond_the_most_only_known_rows_count(self, world: World) -> None:
        await tally(world, Tally(DAY, "b.test", "one", 1), Tally(DAY, "b.test", "two", 1), kind="tls")
        more = (
            Tally(DAY, "b.test", "one", 1),
            Tally(DAY, "b.test", "two", 1),
            Tally(DAY, "c.test", "one", 1),
        )
        assert await world.one(op.Tallied, op.AddTallies("dmarc", more, 3)) == op.Tallied(2)
        assert await world.one(op.Tallied, op.AddTallies("dmarc", more, 3)) == op.Tallied(2)
        assert await world.store.tallied("dmarc", 9 * DAY) == ((DAY, "b.test"),)
        assert await world.store.tallies("dmarc", DAY, "b.test") == (Tally(DAY, "b.test", "one", 2),)

    async def test_a_report_is_what_was_put(self, world: World) -> None:
        await world.do(received("one"))
        (row,) = await world.store.reports()
        assert (row.kind, row.domain, row.source, row.identity) == ("dmarc", "a.test", "b.test", "one")
        assert (row.received, row.begins, row.ends, row.content) == (world.now, 100, 200, '{"x": 1}')
        assert await world.store.report(row.number) == row
        with pytest.raises(NoSuchThing):
            await world.store.report(row.number + 1)

    async def test_the_same_report_is_one(self, world: World) -> None:
        await world.do(received("one"))
        before = await world.store.reports()
        world.clock.advance(10)
        await world.do(received("one"))
        assert await world.store.reports() == before
        await world.do(received("one", domain="z.test"), received("one", kind="tls"), received("two"))
        assert len(await world.store.reports()) == 4

    async def test_reports_are_found_by_kind_domain_and_time(self, world: World) -> None:
        for number in range(4):
            await world.do(received(f"{number}", now=1000 + number))
        await world.do(received("5", kind="tls", now=1001), received("6", domain="z.test", now=1001))

        async def found(**wanted: object) -> list[str]:
            return [row.identity for row in await world.store.reports(**wanted)]  # type: ignore[arg-type]

        assert await found(kind="dmarc", domain="a.test") == ["0", "1", "2", "3"]
        assert await found(kind="dmarc", domain="a.test", since=1002) == ["2", "3"]
        assert await found(kind="tls") == ["5"]
        assert await found(domain="z.test") == ["6"]
        first, *_ = await world.store.reports()
        assert await found(after=first.number, limit=2) == ["1", "2"]

    async def test_reports_go_by_age_and_by_number(self, world: World) -> None:
        for number in range(6):
            await world.do(received(f"{number}", now=1000 + number))
        assert await world.one(op.Purged, op.DropReports(1002, 10)) == op.Purged(2)
        assert await world.one(op.Purged, op.DropReports(0, 10)) == op.Purged(0)
        assert await world.one(op.Purged, op.DropReports(0, 1, limit=2)) == op.Purged(2)
        assert [row.identity for row in await world.store.reports()] == ["4", "5"]
        assert await world.one(op.Purged, op.DropReports(2000, 10, limit=1)) == op.Purged(1)
        assert [row.identity for row in await world.store.reports()] == ["5"]
