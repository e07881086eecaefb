"""domain add and set with --relay-to: what is kept, what is refused, and who may say it."""

from __future__ import annotations

import pytest

from a3mailer.app.verbs.office import Office
from a3mailer.identity.principal import Principal
from a3mailer.mail.errors import BadName, NotAllowed
from a3mailer.mail.ids import DEFAULT_TENANT, AccountId
from tests.unit.app.test_verbs import Desk, desk

__all__ = ["desk"]


async def test_domains_that_are_handed_on(desk: Desk) -> None:
    made = await desk.do("domain add", name="r.test", relay_to="Next.Test:2525", relay_tls="must")
    assert made["settings"] == {"relay_to": "next.test:2525", "relay_tls": "must"}  # type: ignore[index, call-overload]
    await desk.do("domain set", name="r.test", relay_to="[2001:db8::1]")
    found = {row["domain"]: row["relay_to"] for row in await desk.do("domain list")}  # type: ignore[attr-defined]
    assert found == {"example.test": "", "r.test": "[2001:db8::1]"}
    for bad in (
        {"relay_to": "next test"},
        {"relay_to": "mx"},  # of hosts that the DNS names, queue.tls_policy says what is asked
        {"catch_all": "bob@example.test"},
        {"relay_to": desk.office.settings.server.hostname},
    ):
        with pytest.raises(BadName):
            await desk.do("domain set", name="r.test", **bad)
    with pytest.raises(BadName):
        await desk.do("domain set", name="example.test", relay_tls="must")
    await desk.do("domain set", name="r.test", relay_to="")
    assert (await desk.store.domain("r.test")).settings == "{}"  # type: ignore[union-attr]


async def test_only_who_may_change_the_server_says_where_mail_goes_on(desk: Desk) -> None:
    office = desk.office
    boss = Principal(AccountId(99), DEFAULT_TENANT, "b@example.test", "tenant-admin", "b@example.test")
    desk.office = Office(desk.store, office.directory, office.settings, office.clock, desk.pool, subject=boss)
    await desk.do("domain add", name="mine.test")
    for verb, name in (("domain add", "r.test"), ("domain set", "mine.test")):
        with pytest.raises(NotAllowed):
            await desk.do(verb, name=name, relay_to="10.0.0.1:25")
