"""Emails as JMAP shows them and makes them: header fields, the tree of parts, mails of objects."""

from __future__ import annotations

import random
from typing import Any

import pytest

from a3mailer.mail.message import index
from a3mailer.wire.jmap.body_parts import Body, body_value, cut_off, tree, views
from a3mailer.wire.jmap.compose_body import Pieces
from a3mailer.wire.jmap.compose_email import blobs_of, compose_email
from a3mailer.wire.jmap.errors import SetError
from a3mailer.wire.jmap.header_forms import DEFINED, FORMS, fields_of, header_property, value_of

HEADER = (
    b'To: "  James Smythe" <james@example.com>, Friends:\r\n  jane@example.com,'
    b" =?UTF-8?Q?John_Sm=C3=AEth?=\r\n <john@example.com>;\r\n"
    b"subject: =?utf-8?q?o=CC=88?= x\r\nSubject:  second\0 \xff\r\n"
    b"References: <a@b> (c)\r\n <c@d>\r\nList-Post: (x) <mailto:a@b?subject=c>, <https://x.test/\r\n a>\r\n"
    b"Date: Tue, 01 Jul 2003 10:52:37 -0630\r\nX-Date: 1 Jul 2003 10:52 EST\r\nX-No: none\r\n\r\n"
)
FIELDS = fields_of(HEADER, 0, len(HEADER))
EXAMPLE = b"""Content-Type: multipart/mixed; boundary=a

--a
Content-Type: text/plain
Content-Disposition: inline

A
--a
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=c

--c
Content-Type: multipart/mixed; boundary=d

--d
Content-Type: text/plain
Content-Disposition: inline

B
--d
Content-Type: image/jpeg
Content-Disposition: inline

C
--d
Content-Type: text/plain
Content-Disposition: inline

D
--d--
--c
Content-Type: multipart/related; boundary=e

--e
Content-Type: text/html

E
--e
Content-Type: image/jpeg

F
--e--
--c--
--b
Content-Type: image/jpeg
Content-Disposition: attachment

G
--b
Content-Type: application/x-excel

H
--b
Content-Type: message/rfc822

Subject: J

inside
--b--
--a
Content-Type: text/plain
Content-Disposition: inline

K
--a--
"""
"""RFC 8621 section 4.1.4."""


def ask(name: str) -> Any:
    wanted = header_property(name)
    assert wanted is not None
    return value_of(wanted, FIELDS)


def test_forms_of_header_fields() -> None:
    james, jane, john = (
        {"name": "James Smythe", "email": "james@example.com"},
        {"name": None, "email": "jane@example.com"},
        {"name": "John Smîth", "email": "john@example.com"},
    )
    assert ask("header:To:asAddresses") == [james, jane, john]
    assert ask("header:to:asGroupedAddresses") == [
        {"name": None, "addresses": [james]}, {"name": "Friends", "addresses": [jane, john]},
    ]  # fmt: skip
    assert ask("header:Subject") == "  second \ufffd"
    assert ask("header:SUBJECT:asText:all") == ["ö x", "second  ÿ"]
    assert ask("header:References:asMessageIds") == ["a@b", "c@d"]
    assert ask("header:List-Post:asURLs") == ["mailto:a@b?subject=c", "https://x.test/a"]
    assert ask("header:Date:asDate") == "2003-07-01T10:52:37-06:30"
    assert ask("header:X-Date:asDate:all") == ["2003-07-01T15:52:00Z"]
    assert [ask(f"header:X-No:{form}") for form in ("asDate", "asMessageIds", "asURLs")] == [None] * 3
    assert ask("header:None:asAddresses:all") == []
    assert [name for name, _ in FIELDS][:3] == ["To", "subject", "Subject"]


def test_which_forms_a_field_has() -> None:
    allowed = {name: [form for form in FORMS if header_property(f"header:{name}:{form}")] for name in DEFINED}
    assert allowed["from"] == ["asRaw", "asAddresses", "asGroupedAddresses"]
    assert allowed["message-id"] == ["asRaw", "asMessageIds"]
    assert allowed["received"] == ["asRaw"]
    assert allowed["subject"] == ["asRaw", "asText"]
    assert all(header_property(f"header:X-Own:{form}:all") for form in FORMS)
    for bad in ("header:", "header:a b", "header:a:all:asText", "header:a:asText:x", "header:ä", "subject"):
        assert header_property(bad) is None


def test_the_example_of_the_specification() -> None:
    root = tree(index(EXAMPLE).parts)
    found = views(root)
    named = [
        [EXAMPLE[node.part.body : node.part.end].strip()[:8].decode() for node in view]
        for view in (found.text, found.html, found.attachments)
    ]
    assert named == [list("ABCDK"), list("AEK"), ["C", "F", "G", "H", "Subject:"]]


def test_what_is_alternative_to_nothing_is_shown_in_both() -> None:
    for media in ("text/plain", "text/html"):
        octets = (
            f"Content-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: {media}\n\nx\n--a--\n"
        )
        found = views(tree(index(octets.encode()).parts))
        assert found.text == found.html != []


def test_values_are_cut_at_characters_and_tags() -> None:
    assert [cut_off("aé€", most) for most in (0, 1, 2, 3, 5, 6)] == ["aé€", "a", "a", "aé", "aé", "aé€"]
    assert cut_off('x<a href="y">z', 8, html=True) == "x"
    assert cut_off("a&amp;b", 4, html=True) == "a"
    octets = b"Content-Type: text/plain; charset=nowhere\r\n\r\na\r\nb"
    value = body_value(octets, index(octets).parts[0], 2)
    assert value == {"value": "a\n", "isEncodingProblem": True, "isTruncated": True}


# --- making ------------------------------------------------------------------------------------------


def pieces(**contents: bytes) -> Pieces:
    return Pieces(contents, 1_000_000_000, "id@x.test", "boundary")


def made(record: dict[str, Any], **contents: bytes) -> tuple[bytes, Body]:
    octets = compose_email(record, pieces(**contents))
    found = index(octets)
    return octets, Body(octets, found.parts, lambda start, stop, encoding: f"{start}-{stop}")


def test_a_mail_says_what_the_object_said() -> None:
    values = {
        "header:X-Raw": "raw", "header:X-Text:asText:all": ["ä", "b"], "subject": "s" * 300 + " ü",
        "from": [{"name": 'A "B", C', "email": "a@b.test"}], "to": [],
        "header:Cc:asGroupedAddresses": [{"name": "G", "addresses": [{"name": None, "email": "c@d.test"}]}],
        "references": ["a@b", "c@d"], "sentAt": "2001-09-09T03:46:40+02:00",
        "header:List-Help:asURLs": ["https://x.test/a"],
    }  # fmt: skip
    octets, _ = made(values)
    fields = fields_of(octets, 0, index(octets).header_end)
    for name, value in values.items():
        if name.startswith("header:") and name != "header:X-Raw":
            wanted = header_property(name)
            assert wanted is not None
            assert value_of(wanted, fields) == value
    found = index(octets)
    assert (found.subject, found.references) == (values["subject"], (b"a@b", b"c@d"))
    assert [(each.name, each.addr_spec) for each in found.from_] == [('A "B", C', "a@b.test")]
    assert found.date == 1_000_000_000
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))
    assert octets.isascii()


def test_the_body_is_as_it_was_asked_for() -> None:
    part = {"type": "text/html", "partId": "h"}
    file = {"blobId": "f", "type": "image/png", "name": "€.png", "cid": "c@x", "disposition": "inline"}
    record = {
        "bodyValues": {"h": {"value": "<b>ü</b>\n"}, "t": {"value": "text"}},
        "textBody": [{"partId": "t"}], "htmlBody": [part],
        "attachments": [file, {"blobId": "m", "type": "message/rfc822"}],
    }  # fmt: skip
    assert blobs_of(record) == ["f", "m"]
    octets, body = made(record, f=bytes(range(256)), m=b"Subject: x\r\n\r\ny")
    shape = body.structure(("type", "name", "cid", "disposition", "size", "subParts"))
    assert [each["type"] for each in shape["subParts"]] == ["multipart/alternative", "message/rfc822"]
    related = shape["subParts"][0]["subParts"][1]
    assert [each["type"] for each in related["subParts"]] == ["text/html", "image/png"]
    picture = related["subParts"][1]
    assert (picture["name"], picture["cid"], picture["size"]) == ("€.png", "c@x", 256)
    assert body_value(octets, body.views.html[0].part, 0)["value"] == "<b>ü</b>\n"
    assert body_value(octets, body.views.text[0].part, 0)["value"] == "text"


@pytest.mark.parametrize(
    "record",
    [
        {"subject": "a\nb"}, {"subject": "a\x85b"}, {"header:X-Y:asText": "\u2028"}, {"subject": "\ud800"},
        {"from": [{"email": "a\r\nb@c"}]}, {"from": [{"email": "a@b>\x00"}]}, {"messageId": ["a> <b"]},
        {"messageId": ["a\rb"]}, {"header:List-Post:asURLs": ["x>\ny"]}, {"sentAt": "2001-02-30T00:00:00Z"},
        {"sentAt": "2001-02-03T00:00:00Z\nX: y"}, {"from": "a@b"}, {"subject": 7},
        {"attachments": [{"blobId": "f", "name": "a\r\nX: y"}]},
        {"attachments": [{"blobId": "f", "cid": "a\nb"}]},
        {"attachments": [{"blobId": "f", "type": "a/b\r\nX: y"}]},
        {"attachments": [{"blobId": "f", "disposition": "x\ny"}]},
        {"attachments": [{"blobId": "f", "location": "x\ny"}]},
        {"attachments": [{"blobId": "f", "language": ["d\ne"]}]},
        {"attachments": [{"blobId": "f", "header:X-Y": "d\ne"}]},
        {"attachments": [{"blobId": "f", "header:Content-Type": "a/b; x=1\r\nX: y"}]},
        {"attachments": [{"blobId": "f", "header:Content-Type": "a/b", "type": "a/b"}]},
        {"attachments": [{"blobId": "f", "charset": "a\nb", "type": "text/plain"}]},
        {"attachments": [{"blobId": "f", "partId": "1"}]}, {"attachments": [{}]}, {"attachments": ["f"]},
        {"bodyStructure": {"type": "multipart/x"}}, {"header:Group:asGroupedAddresses": [{"name": "a\nb"}]},
    ],
)  # fmt: skip
def test_nothing_given_becomes_a_line_of_its_own(record: dict[str, Any]) -> None:
    with pytest.raises(SetError) as caught:
        compose_email(record, pieces(f=b"x"))
    assert caught.value.type == "invalidProperties"
    named = caught.value.properties["properties"]
    assert {each.partition("/")[0] for each in named} <= set(record)  # type: ignore[attr-defined]


def test_too_many_parts() -> None:
    leaf = {"partId": "1"}
    record = {"bodyStructure": {"type": "multipart/mixed", "subParts": [leaf] * 600},
              "bodyValues": {"1": {"value": ""}}}  # fmt: skip
    with pytest.raises(SetError):
        compose_email(record, pieces())


@pytest.mark.parametrize("seed", random.sample(range(1 << 30), 3))
def test_any_text_is_one_field_or_none(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    letters = 'a ä€\t\r\n\0\x0b\u2028=?;:,<>"\\()@' + "x" * 5
    for _ in range(300):
        text = "".join(chance.choice(letters) for _ in range(chance.randint(0, 60)))
        record = {"subject": text, "from": [{"name": text, "email": "a@b.test"}]}
        try:
            octets = compose_email(record, pieces())
        except SetError:
            continue
        names = [name for name, _ in fields_of(octets, 0, index(octets).header_end)]
        assert names == ["Subject", "From", "Date", "Message-ID", "MIME-Version", "Content-Type",
                         "Content-Transfer-Encoding"]  # fmt: skip
        assert index(octets).subject.split() == text.split()
