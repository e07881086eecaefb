"""What independent suites ask of JMAP beside the letters of RFC 8620 and 8621."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from a3mailer.edge.http.jmap.methods.snippet import marked
from tests.transcripts.jmap_alice import Alice, at_home


@pytest.fixture
async def alice() -> AsyncIterator[Alice]:
    async with at_home() as found:
        yield found


async def test_ids_may_be_those_of_the_same_request(alice: Alice) -> None:
    """RFC 8620 section 5.3: # and a creation id, where ids are asked for, too; to nothing it is not found."""
    _, *told = await alice.calls(
        ("Mailbox/set", {"create": {"a": {"name": "A"}}}),
        ("Mailbox/get", {"ids": ["#a", "#b", "F1"], "properties": ["name"]}),
        ("Email/get", {"ids": ["#a", "M1"], "properties": ["subject"]}),
        ("Email/get", {"ids": ["#b", "M1"], "properties": ["bodyStructure"]}),
    )
    boxes, listed, whole = (answer for _, answer in told)
    assert [each["name"] for each in boxes["list"]] == ["A", "INBOX"] and boxes["notFound"] == ["#b"]
    assert len(listed["list"]) == 1 and len(listed["notFound"]) == 1
    assert len(whole["list"]) == 1 and whole["notFound"] == ["#b"]


@pytest.mark.parametrize(
    ("method", "given", "name"),
    [
        ("Mailbox/query", {"limit": -5}, "limit"),
        ("Email/import", {}, "emails"),
        ("Email/import", {"emails": {"1": "nope"}}, "emails"),
        ("Email/get", {"accountId": None, "ids": []}, "accountId"),
        ("Email/get", {"ids": [], "what": 1}, "what"),
        ("Email/get", {"ids": ["M1"], "maxBodyValueBytes": True}, "maxBodyValueBytes"),
    ],
)
async def test_the_argument_that_is_wrong_is_named(alice: Alice, method: str, given: Any, name: str) -> None:
    ((error, answer),) = await alice.calls((method, given))
    assert (error, answer["type"], answer["arguments"]) == ("error", "invalidArguments", [name])


@pytest.mark.parametrize("path", ["/keywords/a", "", "keywords/a/b", "keywords/~2"])
async def test_paths_that_are_none(alice: Alice, path: str) -> None:
    """RFC 8620 section 5.3: the pointer is implicitly prefixed with /."""
    done = await alice.ask("Email/set", update={"M1": {path: True}})
    assert done["notUpdated"]["M1"]["type"] == "invalidPatch"


async def test_a_multipart_is_no_file(alice: Alice) -> None:
    """RFC 8621 section 4.1.4: size is that of what blobId names, which of a multipart is nothing."""
    asked = {"properties": ["bodyStructure", "textBody"], "bodyProperties": ["blobId", "size", "subParts"]}
    (email,) = (await alice.ask("Email/get", ids=["M2"], **asked))["list"]
    root = email["bodyStructure"]
    assert (root["blobId"], root["size"]) == (None, 0)
    assert [each["subParts"] for each in (root["subParts"][0], email["textBody"][0])] == [None, None]


async def test_the_type_of_an_upload_has_no_parameters(alice: Alice) -> None:
    """RFC 8620 section 6.1 names RFC 6838 section 4.2, which is about types and subtypes."""
    for sent, told in (("Text/Plain;charset=latin1", "text/plain"), ("x", "application/octet-stream")):
        answer = await alice.line(f"POST /jmap/upload/A1 <Content-Type: {sent}>octets")
        assert json.loads(answer.partition(" ")[2])["type"] == told


def test_every_place_of_a_word_is_marked() -> None:
    """RFC 8621 section 5: matching words and phrases are in <mark>."""
    assert marked("Ab aB <ab> c", ["ab", "c"], 200) == (
        "<mark>Ab</mark> <mark>aB</mark> &lt;<mark>ab</mark>&gt; <mark>c</mark>"
    )
    assert marked("aaa", ["aa", "a"], 200) == "<mark>aa</mark><mark>a</mark>"
    shown = marked("x" * 1000 + " ab " + "ab " * 1000, ["ab"], 255)
    assert shown is not None and len(shown.encode()) <= 255 and shown.count("<mark>") > 5


async def test_addresses_of_an_identity_are_whole(alice: Alice) -> None:
    """RFC 8621 section 4.1.2.3: an EmailAddress has a name, or null."""
    await alice.ask("Identity/set", update={"I0": {"bcc": [{"email": "a@b.test"}]}})
    assert (await alice.one("Identity/get", "I0", "bcc"))["bcc"] == [{"name": None, "email": "a@b.test"}]


async def submitted(alice: Alice, sender: Any, *to: Any) -> dict[str, Any]:
    envelope = {"mailFrom": sender, "rcptTo": list(to)}
    record = {"identityId": "I0", "emailId": "M1", "envelope": envelope}
    done = await alice.ask("EmailSubmission/set", create={"s": record})
    return dict(done["notCreated"]["s"])


async def test_which_part_of_an_envelope_is_wrong(alice: Alice) -> None:
    """RFC 8621 section 7.5: all recipients that are no addresses; the rest is invalidProperties."""
    mine, yours = {"email": "alice@example.test"}, {"email": "bob@example.test"}
    bad = ["a b@c.test", "x@y@z", "x@c.test>\r\nDATA", "<x@c.test>"]
    error = await submitted(alice, mine, yours, *({"email": each} for each in bad[:2]))
    assert (error["type"], error["invalidRecipients"]) == ("invalidRecipients", bad[:2])
    for each in bad[2:]:
        error = await submitted(alice, mine, yours, {"email": each})
        assert (error["type"], error["invalidRecipients"]) == ("invalidRecipients", [each])
        error = await submitted(alice, {"email": each}, yours)
        assert error["properties"] == ["envelope/mailFrom/email"]
    for value in (None, "", " ", "30a", []):
        error = await submitted(alice, {**mine, "parameters": {"holdfor": value}}, yours)
        assert error["type"] == "invalidProperties"
        assert error["properties"][0].startswith("envelope/mailFrom")
    error = await submitted(alice, mine, yours, {**yours, "parameters": 3})
    assert error["properties"] == ["envelope/rcptTo/1/parameters"]


async def test_recipients_that_are_nobody_are_invalid(alice: Alice) -> None:
    """RFC 8621 section 7.5: not a valid email address for sending to."""
    people = [{"email": f"{who}@example.test"} for who in ("nobody", "bob", "noone")]
    error = await submitted(alice, {"email": "alice@example.test"}, *people)
    assert error["type"] == "invalidRecipients"
    assert error["invalidRecipients"] == ["nobody@example.test", "noone@example.test"]
    assert (await alice.ask("EmailSubmission/get", ids=None))["list"] == []


async def test_changes_of_one_second_are_exact(alice: Alice) -> None:
    """RFC 8620 section 5.2, of types whose records are documents."""

    async def identity() -> str:
        done = await alice.ask("Identity/set", create={"i": {"email": "alice@example.test"}})
        return str(done["created"]["i"]["id"])

    state = await alice.state("Identity")
    made = [await identity(), await identity()]
    between = (await alice.ask("Identity/changes", sinceState=state, maxChanges=1))["newState"]
    await alice.ask("Identity/set", update={"I0": {"name": "x"}}, destroy=[made[0]])
    told = await alice.ask("Identity/changes", sinceState=between)
    assert (told["destroyed"], told["updated"]) == ([made[0]], ["I0"])
    assert set(told["created"]) <= {made[1]}
    now = await alice.state("Identity")
    assert now == told["newState"]
    last = await identity()
    told = await alice.ask("Identity/changes", sinceState=now)
    assert (told["created"], told["updated"], told["destroyed"]) == ([last], [], [])


async def test_what_is_done_with_emails_needs_their_capability(alice: Alice) -> None:
    """Nothing is sent where the implied Email/set could not be made."""
    using = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:submission"]
    for name, value in (("onSuccessDestroyEmail", ["#s"]), ("onSuccessUpdateEmail", {"#s": {}})):
        create = {"s": {"identityId": "I0", "emailId": "M1"}}
        call = ["EmailSubmission/set", {"accountId": "A1", "create": create, name: value}, "0"]
        answer = await alice.line(json.dumps({"using": using, "methodCalls": [call]}))
        error, told, _ = json.loads(answer)
        assert (error, told["type"], told["arguments"]) == ("error", "invalidArguments", [name])
    assert (await alice.ask("EmailSubmission/get", ids=None))["list"] == []
