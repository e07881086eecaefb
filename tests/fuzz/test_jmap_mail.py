"""Fuzz targets of JMAP for mail: any octets are an Email, and any JSON object becomes a mail or is refused.

Of a mail that was made every field of the header is one that was asked for (attack row 46).
"""

from __future__ import annotations

import msgspec

from a3mailer.mail.message import index
from a3mailer.mail.message.index import MessageIndex
from a3mailer.wire.jmap.body_parts import PROPERTIES, Body, leaves
from a3mailer.wire.jmap.compose_body import Pieces
from a3mailer.wire.jmap.compose_email import BODIES, blobs_of, compose_email
from a3mailer.wire.jmap.errors import RequestError, SetError
from a3mailer.wire.jmap.header_forms import CONVENIENCE, FORMS, fields_of, header_of, value_of
from a3mailer.wire.jmap.ijson import decode
from tests.fuzz import mutate
from tests.unit.mail.mails import CALENDAR, DIGEST, HTML, NESTED, PLAIN, SIGNED

FIELD_TOKENS = (
    b"\r\n", b"\r\n ", b": ", b"<a@b>", b"g: a@b;", b"=?utf-8?q?=C3=A4?=", b"Date: ", b"--b1", b"\0",
)  # fmt: skip
OBJECTS = (
    b'{"subject":"x","from":[{"name":"A","email":"a@b.c"}],"bodyValues":{"1":{"value":"t"}},'
    b'"textBody":[{"partId":"1"}],"attachments":[{"blobId":"f","name":"n","cid":"c","language":["de"]}]}',
    b'{"bodyStructure":{"type":"multipart/mixed","subParts":[{"partId":"1"},{"blobId":"f","type":"image/png",'
    b'"disposition":"inline","location":"u","header:X-P":"v"}]},"bodyValues":{"1":{"value":"t"}}}',
    b'{"header:X-A:asText:all":["a","b"],"header:Cc:asGroupedAddresses":[{"name":"g","addresses":[]}],'
    b'"sentAt":"2020-01-01T00:00:00+01:00","messageId":["a@b"],"header:List-Post:asURLs":["u"]}',
)
OBJECT_TOKENS = (
    b"\\r\\n", b"\\n", b"\\u0000", b"\\u2028", b"\\ud800", b'"', b"{", b"}", b"[", b"]", b",", b":", b"null",
    b'"headers":[]', b'"header:X":"y"', b'"type":"message/rfc822"', b'"charset":"utf-8"', b">", b"<",
    b"\xc3\xa4",
    b'"subParts":', b'"partId":"1"', b"0", b"true",
)  # fmt: skip
CONTENTS = {"f": b"\x00octets\r\n.\r\n"}
OWN = frozenset(
    ("date", "message-id", "mime-version", "content-type", "content-transfer-encoding", "content-disposition",
     "content-id", "content-language", "content-location", "x-p", "x")
)  # fmt: skip


def show(octets: bytes) -> None:
    found = index(octets)
    again = MessageIndex.unpack(found.pack())
    fields = fields_of(octets, 0, found.header_end)
    for name, _ in fields[:5]:
        for form in FORMS:
            wanted = header_of(f"header:{name}:{form}:all")
            if wanted is not None:
                msgspec.json.encode(value_of(wanted, fields))
    for wanted in CONVENIENCE.values():
        msgspec.json.encode(value_of(wanted, fields))
    body = Body(octets, again.parts, lambda start, stop, encoding: f"{start}-{stop}")
    every = list(leaves(body.root))
    shown = [*body.views.text, *body.views.html, *body.views.attachments]
    assert {node.id for node in shown} == {node.id for node in every}
    for value in body.values(every, 50).values():
        assert len(value["value"].encode()) <= 50
    msgspec.json.encode(body.structure(sorted(PROPERTIES)))


def make(octets: bytes) -> None:
    try:
        record = decode(octets)
    except RequestError:
        return
    if (
        not isinstance(record, dict)
        or any(not isinstance(record.get(name), list | None) for name in BODIES)
        or not isinstance(record.get("bodyValues", {}), dict)
    ):  # the forms of the properties
        return
    if not CONTENTS.keys() >= set(blobs_of(record)):
        return
    try:
        made = compose_email(record, Pieces(CONTENTS, 1_000_000_000, "id@x.test", "boundary"))
    except SetError:
        return
    asked = {wanted.name.lower() for name in record if (wanted := header_of(name)) is not None}
    structure = record.get("bodyStructure")
    parts = [structure, *(record.get("textBody") or ()), *(record.get("htmlBody") or ())]
    for part in parts:
        if isinstance(part, dict):
            asked |= {wanted.name.lower() for name in part if (wanted := header_of(name)) is not None}
    found = index(made)
    names = {name.lower() for name, _ in fields_of(made, 0, found.header_end)}
    assert names <= asked | OWN


@mutate.CASES
def test_any_octets_are_an_email(count: int, seed: int) -> None:
    seeds = (PLAIN, HTML, NESTED, DIGEST, SIGNED, CALENDAR)
    mutate.run(show, seeds, count=count, seed=seed, tokens=FIELD_TOKENS)


@mutate.CASES
def test_any_object_is_a_mail_or_refused(count: int, seed: int) -> None:
    mutate.run(make, OBJECTS, count=count, seed=seed, tokens=OBJECT_TOKENS)
