"""What suites of other servers ask of JMAP: what may be once a call is done, and what is no value at all."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.transcripts.jmap_alice import Alice, at_home


@pytest.fixture
async def alice() -> AsyncIterator[Alice]:
    async with at_home() as found:
        yield found


async def boxes(alice: Alice, **records: dict[str, Any]) -> dict[str, str]:
    made = await alice.ask("Mailbox/set", create={key: {"name": key} | each for key, each in records.items()})
    return {key: each["id"] for key, each in made["created"].items()}


async def imported(alice: Alice, octets: bytes) -> dict[str, Any]:
    given = {"data": [{"data:asBase64": base64.b64encode(octets).decode()}]}
    blob = (await alice.ask("Blob/upload", create={"b": given}))["created"]["b"]["id"]
    email = {"blobId": blob, "mailboxIds": {"F1": True}}
    made = (await alice.ask("Email/import", emails={"m": email}))["created"]["m"]
    return dict(made) | {"uploaded": blob}


async def test_a_name_that_is_destroyed_is_free_in_the_same_call(alice: Alice) -> None:
    old = (await boxes(alice, A={}))["A"]
    done = await alice.ask(
        "Mailbox/set", create={"n": {"name": "A"}, "c": {"name": "C", "parentId": "#n"}}, destroy=[old]
    )
    assert done["destroyed"] == [old]
    assert done["created"].keys() == {"n", "c"}
    assert done["notCreated"] is None
    assert (await alice.one("Mailbox/get", done["created"]["n"]["id"], "name"))["name"] == "A"


async def test_what_an_update_gives_up_is_free_in_the_same_call(alice: Alice) -> None:
    held = await boxes(alice, A={}, B={})
    roles = {each["role"]: each["id"] for each in (await alice.ask("Mailbox/get", ids=None))["list"]}
    done = await alice.ask(
        "Mailbox/set",
        create={"n": {"name": "A"}, "j": {"name": "Rubbish", "role": "junk"}},
        update={held["A"]: {"name": "Z"}, held["B"]: {"parentId": "#n"}, roles["junk"]: {"role": None}},
    )
    assert (done["notCreated"], done["notUpdated"]) == (None, None)
    assert done["updated"].keys() == {held["A"], held["B"], roles["junk"]}
    assert (await alice.one("Mailbox/get", held["B"], "parentId"))["parentId"] == done["created"]["n"]["id"]
    assert (await alice.one("Mailbox/get", done["created"]["j"]["id"], "role"))["role"] == "junk"


async def test_what_is_kept_stays_refused(alice: Alice) -> None:
    held = await boxes(alice, A={}, B={}, C={})
    done = await alice.ask(
        "Mailbox/set",
        create={"n": {"name": "A"}},
        update={held["B"]: {"name": "B2"}, held["C"]: {"sortOrder": 1}},
        destroy=[held["C"]],
    )
    assert done["notCreated"]["n"]["existingId"] == held["A"]
    assert done["notUpdated"][held["C"]]["type"] == "willDestroy"
    assert (done["updated"], done["destroyed"]) == ({held["B"]: None}, [held["C"]])


async def test_a_mail_of_bare_line_feeds_is_imported_with_line_ends(alice: Alice) -> None:
    octets = b"From: a@b.c\nSubject: unix\n\none\ntwo\n"
    made = await imported(alice, octets)
    assert made["size"] == len(octets) + octets.count(b"\n")
    assert made["blobId"] != made["uploaded"]
    shown = await alice.one("Email/get", made["id"], "size", "blobId", "subject")
    assert shown == {each: made[each] for each in ("id", "size", "blobId")} | {"subject": "unix"}
    (got,) = (await alice.ask("Blob/get", ids=[made["blobId"]]))["list"]
    assert got["data:asText"].encode() == octets.replace(b"\n", b"\r\n")


async def test_a_large_mail_of_bare_line_feeds_as_well(alice: Alice) -> None:
    octets = b"Subject: large\n\n" + b"line\n" * 60_000
    assert (await imported(alice, octets))["size"] == len(octets) + octets.count(b"\n")


@pytest.mark.parametrize("octets", [b"Subject: a\r\n\r\none\ntwo\r\n", b"Subject: a\n\none\r\ntwo"])
async def test_a_mail_of_both_is_imported_as_it_is(alice: Alice, octets: bytes) -> None:
    assert (await imported(alice, octets))["size"] == len(octets)


@pytest.mark.parametrize(
    "name",
    ["inMailbox", "inMailboxOtherThan", "before", "minSize", "hasAttachment", "text", "from", "header"],
)
async def test_null_is_no_condition(alice: Alice, name: str) -> None:
    assert await alice.ask("Email/query", filter={name: None}) == {"error": "invalidArguments"}


@pytest.mark.parametrize(
    ("charset", "octets", "problem"),
    [
        ("utf-8", "is \ufffd here".encode(), False),
        ("utf-8", b"is \xff here", True),
        ("us-ascii", b"is \xc3\xa9 here", True),
        ("us-ascii", b"is here", False),
        ("iso-8859-1", b"is \xe9 here", False),
        ("utf-7", b"is +2AA- here", True),
        ("nowhere", b"is here", True),
    ],
)
async def test_a_replacement_character_that_was_sent_is_no_problem(
    alice: Alice, charset: str, octets: bytes, problem: bool
) -> None:
    header = f"Subject: a\r\nContent-Type: text/plain; charset={charset}\r\n\r\n".encode()
    made = await imported(alice, header + octets)
    asked = await alice.ask("Email/get", ids=[made["id"]], properties=["bodyValues"], fetchAllBodyValues=True)
    assert asked["list"][0]["bodyValues"]["1"]["isEncodingProblem"] is problem


async def test_what_is_in_a_digest_is_a_message(alice: Alice) -> None:
    blobs = [(await imported(alice, f"Subject: {n}\r\n\r\n{n}\r\n".encode()))["blobId"] for n in (1, 2)]
    texts = {"type": "text/plain", "partId": "t"}
    digest = {"type": "multipart/digest", "subParts": [*({"blobId": each} for each in blobs), texts]}
    made = await alice.ask(
        "Email/set",
        create={
            "d": {"mailboxIds": {"F1": True}, "bodyStructure": digest, "bodyValues": {"t": {"value": "x"}}}
        },
    )
    shown = await alice.ask(
        "Email/get",
        ids=[made["created"]["d"]["id"]],
        properties=["bodyStructure"],
        bodyProperties=["type", "blobId", "header:Content-Transfer-Encoding"],
    )
    parts = shown["list"][0]["bodyStructure"]["subParts"]
    assert [each["type"] for each in parts] == ["message/rfc822", "message/rfc822", "text/plain"]
    assert {each["header:Content-Transfer-Encoding"] for each in parts[:2]} == {" 7bit"}
    asked = await alice.ask("Email/parse", blobIds=[parts[1]["blobId"]], properties=["subject"])
    assert asked["parsed"] == {parts[1]["blobId"]: {"subject": "2"}}


async def test_a_script_takes_the_name_of_one_that_is_destroyed(alice: Alice) -> None:
    blob = await alice.upload(b"keep;", "application/sieve")
    script = {"name": "mine", "blobId": blob}
    old = (await alice.ask("SieveScript/set", create={"a": script}))["created"]["a"]["id"]
    done = await alice.ask("SieveScript/set", create={"b": script}, destroy=[old])
    assert (done["notCreated"], done["destroyed"]) == (None, [old])
    kept = await alice.ask("SieveScript/get", ids=None)
    assert [each["id"] for each in kept["list"]] == [done["created"]["b"]["id"]]
