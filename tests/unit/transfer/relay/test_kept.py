"""TLS tickets: used once, where nobody compares a certificate, and never where one decides."""

from pathlib import Path
from typing import Any

import pytest

from a3mailer.transfer.relay import kept
from tests.unit.transfer.test_dane_relay import HOST, MIDDLE, RIGHT, Shows, World, ee
from tests.unit.transfer.test_mta_sts import MailHost


async def deliver(world: World, host: MailHost, times: int) -> list[int]:
    """Send so many mails; whether each came over TLS."""
    shown = []
    async with world.office(host) as office:
        for _ in range(times):
            await office.enqueue("x@b.test")
            await office.attempt()
            shown.append(office.outcomes[-1].state)
    assert shown == ["relayed"] * times
    return [secure for secure, _ in host.mails]


@pytest.fixture
def reused(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each session that was opened: did it begin with a ticket?"""
    found: list[bool] = []
    monkeypatch.setattr(kept, "MAILS_A_SESSION", 1)
    given = kept.KeptSessions.ticket

    def ticket(self: kept.KeptSessions, host: Any, plan: Any) -> Any:
        made = given(self, host, plan)
        found.append(made is not None)
        return made

    monkeypatch.setattr(kept.KeptSessions, "ticket", ticket)
    return found


async def test_a_later_session_begins_with_the_ticket_of_the_last(tmp_path: Path, reused: list[bool]) -> None:
    host = MailHost(Shows(tmp_path, RIGHT, MIDDLE).context)
    assert await deliver(World(), host, 3) == [True] * 3
    assert host.sessions == 3
    assert reused == [False, True, True]


async def test_where_records_decide_the_certificate_is_shown_each_time(
    tmp_path: Path, reused: list[bool]
) -> None:
    shows = Shows(tmp_path, RIGHT, MIDDLE)
    host = MailHost(shows.context)
    assert await deliver(World((ee(RIGHT),)), host, 2) == [True] * 2
    assert reused == [False, False]
    assert shows.asked == [HOST, HOST]


async def test_tickets_are_bounded(
    tmp_path: Path, reused: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "TICKETS", 0)
    host = MailHost(Shows(tmp_path, RIGHT, MIDDLE).context)
    await deliver(World(), host, 2)
    assert reused == [False, False]
