"""What RFC 8620 and 8621 say in so many words, and was once read otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from a3mailer.mail.flags import MAX_KEYWORD_LENGTH
from a3mailer.store import operations as op
from tests.transcripts.jmap_alice import Alice, at_home


@pytest.fixture
async def alice() -> AsyncIterator[Alice]:
    async with at_home() as found:
        yield found


async def test_a_new_mailbox_is_subscribed_to(alice: Alice) -> None:
    """RFC 8621 section 2: isSubscribed SHOULD default to true for new mailboxes of the user's own."""
    made = await alice.ask(
        "Mailbox/set", create={"a": {"name": "A"}, "b": {"name": "B", "isSubscribed": False}}
    )
    assert made["created"]["a"]["isSubscribed"] is True
    shown = {key: await alice.one("Mailbox/get", made["created"][key]["id"], "isSubscribed") for key in "ab"}
    assert [shown[key]["isSubscribed"] for key in "ab"] == [True, False]


async def test_a_mailbox_name_is_net_unicode(alice: Alice) -> None:
    """RFC 8621 section 2, RFC 5198: names are normalized, so that equal ones are found to be equal."""
    made = await alice.ask("Mailbox/set", create={"a": {"name": "e\u0301"}})
    assert made["created"]["a"]["name"] == "\u00e9"
    twin = await alice.ask("Mailbox/set", create={"b": {"name": "\u00e9"}})
    assert twin["notCreated"]["b"]["type"] == "alreadyExists"
    id = made["created"]["a"]["id"]
    done = await alice.ask("Mailbox/set", update={id: {"name": "o\u0308"}})
    assert done["updated"] == {id: {"name": "\u00f6"}}
    assert (await alice.one("Mailbox/get", id, "name"))["name"] == "\u00f6"


@pytest.mark.parametrize(
    ("name", "taken"), [("\u00e9" * 127, True), ("\u00e9" * 128, False), ("x" * 255, True)]
)
async def test_the_size_of_a_mailbox_name_is_in_octets(alice: Alice, name: str, taken: bool) -> None:
    """RFC 8621 section 1.3.1: maxSizeMailboxName is in UTF-8 octets."""
    made = await alice.ask("Mailbox/set", create={"a": {"name": name}})
    assert bool(made["created"]) is taken
    if not taken:
        assert made["notCreated"]["a"]["properties"] == ["name"]


async def test_a_child_is_told_of_when_its_parent_goes_or_comes(alice: Alice) -> None:
    """RFC 8620 section 5.2: its name and parentId are others then."""
    deep = (await alice.imap(op.CreateMailbox(alice.account, "P/Q/R"))).mailbox
    (middle,) = [box for box in await alice.world.store.mailboxes(alice.account) if box.name == "P/Q"]
    child = f"F{deep}"
    before, state = await alice.one("Mailbox/get", child), await alice.state("Mailbox")
    await alice.imap(op.DeleteMailbox(alice.account, middle.id))
    after = await alice.one("Mailbox/get", child)
    assert (before["name"], after["name"]) == ("R", "Q/R") and before["parentId"] != after["parentId"]
    told = await alice.ask("Mailbox/changes", sinceState=state)
    assert (told["updated"], told["destroyed"], told["updatedProperties"]) == (
        [child],
        [f"F{middle.id}"],
        None,
    )
    again = (await alice.imap(op.CreateMailbox(alice.account, "P/Q"))).mailbox
    told = await alice.ask("Mailbox/changes", sinceState=told["newState"])
    assert (told["created"], told["updated"]) == ([f"F{again}"], [child])
    first = await alice.ask("Mailbox/changes", sinceState=state, maxChanges=1)
    assert first["hasMoreChanges"]
    second = await alice.ask("Mailbox/changes", sinceState=first["newState"])
    assert child in second["updated"], "in pages, too"


async def test_those_below_a_mailbox_move_with_it_in_a_tree(alice: Alice) -> None:
    """RFC 8620 section 5.6: with sortAsTree a child's place depends on what its parent is."""
    made = await alice.ask("Mailbox/set", create={"a": {"name": "Aa"}, "c": {"name": "C", "parentId": "#a"}})
    parent, child = (made["created"][key]["id"] for key in "ac")
    asked: dict[str, Any] = {"sort": [{"property": "sortOrder"}, {"property": "name"}], "sortAsTree": True}
    before = await alice.ask("Mailbox/query", **asked)
    await alice.ask("Mailbox/set", update={parent: {"sortOrder": 9}})
    told = await alice.ask("Mailbox/queryChanges", sinceQueryState=before["queryState"], **asked)
    ids = [id for id in before["ids"] if id not in told["removed"]]
    for each in told["added"]:
        ids.insert(each["index"], each["id"])
    now = (await alice.ask("Mailbox/query", **asked))["ids"]
    assert ids == now and now[-2:] == [parent, child] != before["ids"][-2:]


async def test_a_whole_record_may_be_sent_back(alice: Alice) -> None:
    """RFC 8620 section 5.3: the client may send the whole object; what it did not change is no error."""
    for kind, id in (("Email", "M1"), ("Mailbox", "F1")):
        state, record = await alice.state(kind), await alice.one(f"{kind}/get", id)
        done = await alice.ask(f"{kind}/set", update={id: record})
        assert done["updated"] == {id: None} and done["notUpdated"] is None
        assert await alice.state(kind) == state, "nothing changed"
    done = await alice.ask("Email/set", update={"M1": {"subject": "another"}})
    assert done["notUpdated"]["M1"]["properties"] == ["subject"]


async def test_a_keyword_has_255_characters(alice: Alice) -> None:
    """RFC 8621 section 4.1.1."""
    assert MAX_KEYWORD_LENGTH == 255
    word = "k" * 255
    done = await alice.ask("Email/set", update={"M1": {f"keywords/{word}": True}})
    assert done["updated"] == {"M1": None}
    assert (await alice.one("Email/get", "M1", "keywords"))["keywords"] == {word: True}
    done = await alice.ask("Email/set", update={"M1": {f"keywords/{word}k": True}})
    assert done["notUpdated"]["M1"]["type"] == "invalidProperties"


async def test_a_new_submission_is_told_with_all_that_the_server_set(alice: Alice) -> None:
    """RFC 8620 section 5.3: "created" has all server-set properties."""
    envelope = {"mailFrom": {"email": "alice@example.test"}, "rcptTo": [{"email": "bob@example.test"}]}
    create = {"s": {"emailId": "M1", "identityId": "I0", "envelope": envelope}}
    made = (await alice.ask("EmailSubmission/set", create=create))["created"]["s"]
    kept = await alice.one("EmailSubmission/get", made["id"])
    assert {**create["s"], **made} == kept


async def test_a_part_may_name_its_fields_by_themselves(alice: Alice) -> None:
    """RFC 8621 section 4.6: fields that begin with Content- are for parts, but for the transfer encoding."""
    parts = [
        {
            "partId": "1",
            "type": "text/plain",
            "header:Content-Language": " en",
            "header:Content-ID:asRaw": " <a@b>",
        },
        {"partId": "1", "type": "text/plain", "header:Content-Disposition": " attachment; filename=x"},
    ]
    body = {
        "bodyStructure": {"type": "multipart/mixed", "subParts": parts},
        "bodyValues": {"1": {"value": "x"}},
    }
    made = await alice.ask("Email/set", create={"e": {"mailboxIds": {"F1": True}, **body}})
    found = await alice.one("Email/get", made["created"]["e"]["id"], "bodyStructure")
    first, second = found["bodyStructure"]["subParts"]
    assert (first["language"], first["cid"], second["disposition"], second["name"]) == (
        ["en"],
        "a@b",
        "attachment",
        "x",
    )
    for wrong in (
        {"header:Content-Transfer-Encoding": " 7bit"},
        {"header:Content-Language": " en", "language": ["de"]},
    ):
        part = {"partId": "1", "type": "text/plain", **wrong}
        create = {"mailboxIds": {"F1": True}, "bodyStructure": part, "bodyValues": {"1": {"value": "x"}}}
        refused = await alice.ask("Email/set", create={"e": create})
        assert refused["notCreated"]["e"]["type"] == "invalidProperties"


async def test_what_one_mailbox_gives_up_another_takes_in_the_same_call(alice: Alice) -> None:
    """RFC 8620 section 5.3: it is the final state that has to be valid."""
    made = await alice.ask("Mailbox/set", create={"a": {"name": "A"}, "b": {"name": "B"}})
    a, b = (made["created"][key]["id"] for key in "ab")
    done = await alice.ask("Mailbox/set", update={a: {"name": "B"}, b: {"name": "C"}})
    assert done["updated"] == {a: None, b: None} and done["notUpdated"] is None
    roles = {each["role"]: each["id"] for each in (await alice.ask("Mailbox/get"))["list"]}
    done = await alice.ask("Mailbox/set", update={a: {"role": "trash"}, roles["trash"]: {"role": None}})
    assert done["notUpdated"] is None and (await alice.one("Mailbox/get", a, "role"))["role"] == "trash"
    done = await alice.ask("Mailbox/set", update={a: {"name": "INBOX"}, b: {"name": "D"}})
    assert list(done["notUpdated"]) == [a] and list(done["updated"]) == [b]


async def test_body_values_that_are_sent_back_are_no_change(alice: Alice) -> None:
    """RFC 8620 section 5.3: a property that cannot be changed may be sent with the value it has."""
    parts = [{"partId": "1", "type": "text/plain"}, {"partId": "2", "type": "text/plain"}]
    body = {
        "bodyStructure": {"type": "multipart/mixed", "subParts": parts},
        "bodyValues": {"1": {"value": "one\n"}, "2": {"value": "two words"}},
    }
    made = await alice.ask("Email/set", create={"e": {"mailboxIds": {"F1": True}, **body}})
    id = made["created"]["e"]["id"]

    async def values(**options: Any) -> Any:
        found = await alice.ask("Email/get", ids=[id], properties=["bodyValues"], **options)
        return found["list"][0]["bodyValues"]

    async def sent(given: Any) -> bool:
        done = await alice.ask("Email/set", update={id: {"bodyValues": given, "keywords/$seen": True}})
        return bool(done["updated"] == {id: None})

    whole = await values(fetchAllBodyValues=True)
    cut = await values(fetchAllBodyValues=True, maxBodyValueBytes=3)
    assert set(whole) == {"1", "2"} and cut["2"]["isTruncated"]
    for same in (whole, cut, {"2": whole["2"]}, {"1": {"value": "one\n"}}, await values()):
        assert await sent(same), same
    for other in (
        {"1": {**whole["1"], "value": "on"}},
        {"1": {**whole["1"], "value": "x", "isTruncated": True}},
        {"3": whole["1"]},
        {"1": {**whole["1"], "more": 1}},
        {"1": "one\n"},
        ["1"],
    ):
        assert not await sent(other), other


async def test_an_address_field_without_addresses_is_an_empty_list(alice: Alice) -> None:
    """RFC 8621 section 4.1.2.3: null is for fields that are not there."""
    await alice.world.deliver(b"From: a@b.test\r\nTo:\r\nCc: (nobody)\r\n\r\nx")
    names = ("from", "to", "cc", "bcc")
    wanted = {"from": [{"name": None, "email": "a@b.test"}], "to": [], "cc": [], "bcc": None}
    assert await alice.one("Email/get", "M3", *names) == {"id": "M3", **wanted}
    await alice.ask("Email/query")  # from now on lists come from what is kept
    assert await alice.one("Email/get", "M3", *names) == {"id": "M3", **wanted}
    assert await alice.one("Email/get", "M3", "headers", *names) | wanted == await alice.one(
        "Email/get", "M3", "headers", *names
    )
