"""What suites of other servers send, and the answers they take for granted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.transcripts.jmap_alice import Alice, at_home


@pytest.fixture
async def alice() -> AsyncIterator[Alice]:
    async with at_home() as found:
        yield found


async def test_dates_as_javascript_writes_them(alice: Alice) -> None:
    """Its toISOString always has three places, which are zeros now and then."""
    box = {"mailboxIds": {"F1": True}, "subject": "now"}
    for at, second in enumerate(("01.120", "02.000", "03")):
        made = await alice.ask("Email/set", create={"a": box | {"receivedAt": f"2026-01-02T03:04:{second}Z"}})
        found = await alice.one("Email/get", made["created"]["a"]["id"], "receivedAt")
        assert found["receivedAt"] == f"2026-01-02T03:04:0{at + 1}Z"
    asked = await alice.ask("Email/query", filter={"after": "2026-01-02T03:04:02.000Z", "subject": "now"})
    assert len(asked["ids"]) == 2


async def test_a_mailbox_of_the_name_is_told_of(alice: Alice) -> None:
    made = await alice.ask("Mailbox/set", create={"a": {"name": "A"}, "b": {"name": "B"}})
    a, b = (made["created"][key]["id"] for key in "ab")
    below = (await alice.ask("Mailbox/set", create={"c": {"name": "C", "parentId": a}}))["created"]["c"]["id"]
    twice = await alice.ask(
        "Mailbox/set",
        create={"d": {"name": "A"}, "e": {"name": "C", "parentId": a}, "f": {"name": "inbox"}},
        update={b: {"name": "A"}},
    )
    told = twice["notCreated"] | twice["notUpdated"]
    assert {each["type"] for each in told.values()} == {"alreadyExists"}
    assert {key: each["existingId"] for key, each in told.items()} == {"d": a, "e": below, "f": "F1", b: a}
