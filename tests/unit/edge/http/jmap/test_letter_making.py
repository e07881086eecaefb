"""Emails that a client describes (RFC 8621 section 4.6), and mails that it brings (section 4.8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.transcripts.jmap_alice import Alice, at_home

BOX = {"mailboxIds": {"F1": True}}
TEXT = {"partId": "t", "type": "text/plain"}


@pytest.fixture
async def alice() -> AsyncIterator[Alice]:
    async with at_home() as found:
        yield found


async def refused(alice: Alice, **given: Any) -> dict[str, Any]:
    """The SetError of an email."""
    record = {**BOX, "bodyValues": {"t": {"value": "text"}}, **given}
    done = await alice.ask("Email/set", create={"new": record})
    assert done["created"] is None
    return dict(done["notCreated"]["new"])


async def made(alice: Alice, **given: Any) -> str:
    """The id of an email."""
    record = {**BOX, "bodyValues": {"t": {"value": "text"}}, **given}
    done = await alice.ask("Email/set", create={"new": record})
    assert done["notCreated"] is None
    return str(done["created"]["new"]["id"])


WRONG: tuple[Any, ...] = (
    ({"bodyStructure": {**TEXT, "blobId": "B00000000000000000000000000000001"}},
     ["bodyStructure/blobId", "bodyStructure/partId"]),
    ({"bodyStructure": {**TEXT, "size": 2, "charset": "utf-8"}},
     ["bodyStructure/charset", "bodyStructure/size"]),
    ({"bodyStructure": {"partId": "other"}}, ["bodyStructure/partId"]),
    ({"bodyStructure": {**TEXT, "header:Content-Transfer-Encoding": "7BIT"}},
     ["bodyStructure/header:Content-Transfer-Encoding"]),
    ({"bodyStructure": {**TEXT, "headers": []}}, ["bodyStructure/headers"]),
    ({"header:foo": "bar", "bodyStructure": {**TEXT, "header:foo": "bar"}}, ["bodyStructure/header:foo"]),
    ({"bodyStructure": {"type": "multipart/mixed", "subParts": [TEXT, {**TEXT, "cid": 3}]}},
     ["bodyStructure/subParts/1/cid"]),
    ({"bodyStructure": TEXT, "textBody": [TEXT], "htmlBody": [], "attachments": []},
     ["attachments", "htmlBody", "textBody"]),
    ({"textBody": [TEXT, TEXT]}, ["textBody"]),
    ({"htmlBody": [TEXT]}, ["htmlBody"]),
    ({"subject": "a", "header:subject:asText": "b"}, ["header:subject:asText"]),
    ({"header:Content-Foo": "a", "from": 7, "mailboxIds": {}},
     ["from", "header:Content-Foo", "mailboxIds"]),
    ({"bodyValues": {"t": {"value": "a", "isTruncated": True, "isEncodingProblem": True}}},
     ["bodyValues/t/isEncodingProblem", "bodyValues/t/isTruncated"]),
    ({"headers": [{"name": "a", "value": "b"}]}, ["headers"]),
    ({"header:foo": ["a", "b"]}, ["header:foo"]),
    ({"header:foo:all": "a"}, ["header:foo:all"]),
    ({"header:From:asText": "a"}, ["header:From:asText"]),
    ({"receivedAt": "2020-01-01T00:00:00+01:00"}, ["receivedAt"]),
    ({"sentAt": "2020-01-01"}, ["sentAt"]),
)  # fmt: skip


async def test_all_that_is_wrong_is_told_by_its_path(alice: Alice) -> None:
    """RFC 8621 section 4.6, and RFC 8620 section 5.3: properties SHOULD list all that are invalid."""
    for given, wrong in WRONG:
        error = await refused(alice, **given)
        assert (error["type"], sorted(error["properties"])) == ("invalidProperties", wrong), given


async def test_what_is_told_of_an_email_that_was_made(alice: Alice) -> None:
    """Section 4.6: id, blobId, threadId and size."""
    done = await alice.ask("Email/set", create={"new": BOX})
    assert done["created"]["new"].keys() == {"id", "blobId", "threadId", "size"}


async def test_missing_blobs_are_all_named(alice: Alice) -> None:
    error = await refused(alice, attachments=[{"blobId": "cat"}, {"blobId": "dog"}, {"blobId": "#pig"}])
    assert (error["type"], error["notFound"]) == ("blobNotFound", ["cat", "dog", "#pig"])


async def test_a_part_may_be_a_blob_of_the_same_request(alice: Alice) -> None:
    """RFC 8620 section 5.3: # and the creation id stand for what was made before."""
    _, (_, done), _ = await alice.calls(
        ("Blob/upload", {"create": {"b": {"data": [{"data:asText": "octets"}]}}}),
        ("Email/set", {"create": {"new": {**BOX, "attachments": [{"blobId": "#b", "name": "a.txt"}]}}}),
        ("Core/echo", {}),
    )
    (file,) = (await alice.one("Email/get", done["created"]["new"]["id"], "attachments"))["attachments"]
    assert (file["name"], file["size"]) == ("a.txt", 6)


@pytest.mark.parametrize("field", ["message-ID", "Date", "MIME-Version"])
async def test_a_field_of_the_root_part_is_not_made_again(alice: Alice, field: str) -> None:
    """Section 4.6: Message-ID and Date are made where they are not included, be it in the outermost part."""
    value = "Mon, 02 Jan 2006 15:04:05 +0000" if field == "Date" else "<a@b>"
    name = f"header:{field}:all"
    for body in ({"bodyStructure": {**TEXT, f"header:{field}": value}},
                 {"textBody": [{**TEXT, f"header:{field}": value}]}):  # fmt: skip
        found = await alice.one("Email/get", await made(alice, **body), name)
        assert found[name] == [f" {value}"]


WRITTEN: tuple[Any, ...] = (
    ("foo:all", ["cat", "dog"], [" cat", " dog"]),
    ("subject", "=?utf-8?q?J=C3=BCrgen?= x", [" =?utf-8?q?J=C3=BCrgen?= x"]),
    ("X-Folded", " one\r\n two", [" one two"]),
    ("From", "J\u00fcrgen <j@example.test>", [" =?utf-8?b?SsO8cmdlbg==?= <j@example.test>"]),
    ("Sender:asAddresses", [{"name": "Foo bar", "email": "f@x.test"}], [' "Foo bar" <f@x.test>']),
    ("Cc:asAddresses", [{"name": "Foo", "email": "f@x.test"}], [" Foo <f@x.test>"]),
    ("List-Id:asText", "howdy", [" howdy"]),
    ("List-Id:asURLs", ["http://x.test"], [" <http://x.test>"]),
    ("List-Help:asURLs", ["http://example.net", "http://example.org/" + "a" * 35],
     [" <http://example.net>,\r\n <http://example.org/" + "a" * 35 + ">"]),
    ("X-Ids:asMessageIds", ["a@b", "c@d"], [" <a@b> <c@d>"]),
    ("Resent-Date:asDate", "1969-02-14T12:02:00Z", [" Fri, 14 Feb 1969 12:02:00 +0000"]),
)  # fmt: skip


async def test_header_fields_as_they_are_written(alice: Alice) -> None:
    """Section 4.1.2: the raw form is written as it is."""
    for name, value, raw in WRITTEN:
        id = await made(alice, **{f"header:{name}": value})
        asked = f"header:{name.partition(':')[0]}:asRaw:all"
        assert (await alice.one("Email/get", id, asked))[asked] == raw


READ: tuple[Any, ...] = (
    ("subject", "=?utf-8?q?J=C3=BCrgen?= is what was written"),
    ("subject", "\u65e5\u672c\u8a9e" * 60),
    ("from", [{"name": "x" * 1500, "email": "a@b.test"}]),
    ("from", [{"name": "\u65e5" * 300, "email": "a@b.test"}]),
    ("header:To:asGroupedAddresses",
     [{"name": "A group", "addresses": [{"name": None, "email": "a@b.test"}]}]),
    ("keywords", {"$draft": True, "forwarded": True}),
)  # fmt: skip


async def test_what_is_written_is_read(alice: Alice) -> None:
    for name, value in READ:
        id = await made(alice, **{name: value})
        assert (await alice.one("Email/get", id, name))[name] == value


@pytest.mark.parametrize("name", ["\u65e5\u672c\u8a9e" * 60 + ".txt", "x" * 250, 'a "b" \\ c;d'])
async def test_the_name_of_a_file_is_read_as_it_was_given(alice: Alice, name: str) -> None:
    """RFC 2231 section 3: long parameters are written in sections; no line is longer than 998 octets."""
    blob = await alice.upload(b"file")
    id = await made(alice, attachments=[{"blobId": blob, "name": name, "type": "application/x-a"}])
    found = await alice.one("Email/get", id, "attachments", "blobId")
    assert found["attachments"][0]["name"] == name
    octets = await alice.download(found["blobId"])
    assert max(map(len, octets.split(b"\r\n")[1:])) <= 120


TYPES: tuple[Any, ...] = (
    ({"partId": "t", "header:Content-Type": "text/x-diff; charset=utf-16; x-tab=8"},
     " text/x-diff; charset=us-ascii;\r\n x-tab=8"),
    ({"partId": "t", "type": "application/json"}, " application/json"),
    ({"type": "multipart/report", "subParts": [TEXT]}, None),
    ({"header:Content-Type": 'multipart/report; report-type="x"; boundary=mine', "subParts": [TEXT]}, None),
)  # fmt: skip


async def test_a_part_may_name_its_content_type(alice: Alice) -> None:
    """Section 4.6 forbids Content-Transfer-Encoding, and no other field of a part."""
    for part, shown in TYPES:
        id = await made(alice, bodyStructure=part)
        got = await alice.ask("Email/get", ids=[id], properties=["bodyStructure", "bodyValues"],
                              bodyProperties=["type", "partId", "subParts", "header:Content-Type"],
                              fetchAllBodyValues=True)  # fmt: skip
        (email,) = got["list"]
        root = email["bodyStructure"]
        if shown is None:
            assert [each["type"] for each in root["subParts"]] == ["text/plain"]
            assert ("report-type" in root["header:Content-Type"]) == ("header:Content-Type" in part)
            assert root["header:Content-Type"].count("boundary=") == 1
        else:
            assert root["header:Content-Type"] == shown


async def test_a_text_of_a_blob_is_read_as_what_it_is(alice: Alice) -> None:
    """What is UTF-8 and not said to be anything else is not called US-ASCII."""
    for octets, charset in (("\u00fc".encode(), "utf-8"), (b"ascii", "us-ascii"), (b"", "us-ascii")):
        id = await made(alice, textBody=[{"blobId": await alice.upload(octets)}])
        (part,) = (await alice.one("Email/get", id, "textBody"))["textBody"]
        assert part["charset"] == charset


IMPORTS: tuple[Any, ...] = (
    ({}, ["blobId", "mailboxIds"]),
    ({"blobId": ["x"], **BOX}, ["blobId"]),
    ({"blobId": "none", "mailboxIds": "x", "keywords": [], "extra": 1},
     ["blobId", "extra", "keywords", "mailboxIds"]),
    ({"receivedAt": ["x"], **BOX}, ["receivedAt"]),
    ({"receivedAt": "2020-01-01", **BOX}, ["receivedAt"]),
    ({"keywords": None, **BOX}, ["keywords"]),
)  # fmt: skip


async def test_what_is_wrong_with_an_import(alice: Alice) -> None:
    """Section 4.8: missing, of the wrong type or not there is invalidProperties."""
    for given, wrong in IMPORTS:
        if given and "blobId" not in given:
            given = {"blobId": await alice.upload(b"Subject: x", "message/rfc822"), **given}
        done = await alice.ask("Email/import", emails={"new": given})
        error = done["notCreated"]["new"]
        assert (error["type"], sorted(error["properties"])) == ("invalidProperties", wrong), given


async def test_server_set_properties_in_an_update_are_told_by_their_paths(alice: Alice) -> None:
    (box,) = (await alice.ask("Mailbox/get", ids=["F1"]))["list"]
    rights = {**box["myRights"], "mayDelete": not box["myRights"]["mayDelete"]}
    done = await alice.ask("Mailbox/set", update={"F1": {**box, "myRights": rights, "totalEmails": 52}})
    assert sorted(done["notUpdated"]["F1"]["properties"]) == ["myRights/mayDelete", "totalEmails"]
