"""The message index: parts, fragments, sections and the packed form, on mails written out here."""

import random

import pytest

from a3mailer.mail.message import MessageIndex, glance, index
from a3mailer.mail.message.packed import as_older, empty_fields_of, header_end_of
from tests.unit.mail.mails import NESTED


def content(octets: bytes, found: MessageIndex, number: tuple[int, ...], kind: str = "") -> bytes | None:
    extent = found.section(number, kind)
    return None if extent is None else octets[slice(*extent)]


def test_part_specifiers_of_nested_messages() -> None:
    found = index(NESTED)
    assert [part.number for part in found.parts] == [
        (),
        (1,),
        (2,),
        (2,),
        (2, 1),
        (2, 2),
        (3,),
        (3, 1),
    ]
    assert content(NESTED, found, (1,)) == b"hello w\xc3\xb6rld\r\nsecond line"
    assert content(NESTED, found, (1,), "MIME") == b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
    assert content(NESTED, found, (2, 1)) == b"one"
    assert content(NESTED, found, (2, 2), "MIME") == b"Content-Type: text/html\r\n\r\n"
    assert content(NESTED, found, (3,), "HEADER") == b"Subject: plain inner\r\n\r\n"
    assert content(NESTED, found, (3,), "TEXT") == b"text of it"
    assert content(NESTED, found, (3, 1)) == b"text of it"
    assert content(NESTED, found, (3,)) == b"Subject: plain inner\r\n\r\ntext of it"
    assert content(NESTED, found, (2,), "TEXT").startswith(b"--b2\r\n")  # type: ignore[union-attr]
    assert content(NESTED, found, ()) == NESTED
    assert content(NESTED, found, (), "HEADER") == NESTED[: found.header_end]
    assert content(NESTED, found, (), "TEXT") == NESTED[found.header_end :]


@pytest.mark.parametrize(
    ("number", "kind"),
    [((), "MIME"), ((4,), ""), ((1, 1), ""), ((1,), "HEADER"), ((2, 2), "TEXT"), ((3, 2), ""), ((0,), "")],
)
def test_a_part_that_is_not_there_is_none(number: tuple[int, ...], kind: str) -> None:
    assert index(NESTED).section(number, kind) is None


def test_the_fragments_of_a_nested_message() -> None:
    found = index(NESTED)
    assert found.envelope == (
        b'("Sat, 21 Nov 2026 10:00:00 +0100" "=?utf-8?q?Re:_h=C3=A9llo?= =?utf-8?b?d8O2cmxk?=" '
        b'(("Foo, Bar" NIL "foo" "example.com")) (("Foo, Bar" NIL "foo" "example.com")) '
        b'(("Foo, Bar" NIL "foo" "example.com")) '
        b'((NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL)(NIL NIL "a" "b.example")'
        b'("Car" NIL "c" "d.example")) NIL NIL "<c@d.example>" "<x@y.example>")'
    )
    inner = b'((NIL NIL "x" "y.example"))'
    first = b'("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 25 1%b)'
    second = (
        b'("message" "rfc822" NIL NIL NIL "7bit" 161 (NIL "inner \\"q\\" \\\\ x" %b %b %b '
        b"NIL NIL NIL NIL NIL)" % (inner, inner, inner)
    )
    one = b' (("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 0%b)'
    html = b'("text" "html" NIL NIL NIL "7bit" 10 0%b) "alternative"%b) 12%b)'
    third = (
        b'("message" "rfc822" NIL NIL NIL "7bit" 34 (NIL "plain inner" NIL NIL NIL NIL NIL NIL NIL NIL) '
        b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 0%b) 2%b) "mixed"%b)'
    )
    nils = b" NIL NIL NIL NIL"
    mixed, alternative = b' ("boundary" "b1") NIL NIL NIL', b' ("boundary" "b2") NIL NIL NIL'
    whole = b"(" + first + second + one + html + third
    assert found.bodystructure == whole % (nils, nils, nils, alternative, nils, nils, nils, mixed)
    assert found.body == whole % ((b"",) * 8)


def test_what_else_the_index_tells() -> None:
    found = index(NESTED)
    assert found.subject == "Re: h\u00e9llow\u00f6rld"
    assert found.base_subject == "h\u00e9llow\u00f6rld"
    assert found.preview == "hello w\u00f6rld second line"
    assert found.date == 1795251600
    assert found.message_id == b"x@y.example"
    assert found.in_reply_to == (b"c@d.example",)
    assert found.references == (b"a@b.example", b"c@d.example")
    assert [address.addr_spec for address in found.to] == ["a@b.example", "c@d.example"]
    assert [address.name for address in found.from_] == ["Foo, Bar"]
    assert found.has_attachment
    assert found.truncated == ()
    assert found.size == len(NESTED)


def test_replies_share_a_thread_key() -> None:
    first = index(b"Message-ID: <a@b.example>\r\n\r\n")
    reply = index(b"Message-ID: <r@b.example>\r\nIn-Reply-To: <a@b.example>\r\n\r\n")
    assert first.thread_keys[0] in reply.thread_keys
    assert first.thread_keys[0] != reply.thread_keys[0]
    assert all(len(key) == 8 for key in reply.thread_keys)
    one, other = index(b"Subject: a\r\n\r\n"), index(b"Subject: b\r\n\r\n")
    assert len(one.thread_keys) == 1
    assert one.thread_keys != other.thread_keys


def test_header_fields_come_as_they_are() -> None:
    found = index(NESTED)
    assert found.header_fields(NESTED, frozenset((b"references", b"subject", b"absent"))) == (
        b"Subject: =?utf-8?q?Re:_h=C3=A9llo?= =?utf-8?b?d8O2cmxk?=\r\n"
        b"References: <a@b.example>\r\n <c@d.example>\r\n\r\n"
    )
    names = b"from to subject date message-id in-reply-to references"
    everything = frozenset(names.split())
    assert found.header_fields(NESTED, everything, negate=True) == (
        b'Content-Type: multipart/mixed; boundary="b1"\r\n\r\n'
    )
    subject = frozenset((b"subject",))
    assert found.header_fields(NESTED, subject, number=(3,)) == b"Subject: plain inner\r\n\r\n"


def test_packed_and_back() -> None:
    found = index(NESTED)
    back = MessageIndex.unpack(found.pack(), found.envelope, found.bodystructure, found.preview)
    assert back.parts == found.parts
    assert (back.header_end, back.size, back.has_attachment) == (found.header_end, found.size, True)
    assert (back.envelope, back.body, back.preview) == (found.envelope, found.body, found.preview)
    assert len(found.pack()) < 60 * len(found.parts)
    assert header_end_of(found.pack()) == found.header_end
    for octets in (b"", b"\x02" + found.pack()[1:]):
        with pytest.raises(ValueError, match="packed"):
            header_end_of(octets)


def test_octets_that_are_no_packed_index_are_a_value_error(rng: random.Random) -> None:
    packed = index(NESTED).pack()
    for cut in range(len(packed)):
        with pytest.raises(ValueError, match="packed"):
            MessageIndex.unpack(packed[:cut])
    for _ in range(2000):
        damaged = bytearray(packed)
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            back = MessageIndex.unpack(bytes(damaged))
        except ValueError:
            continue
        assert all(0 <= part.start <= part.body <= part.end <= back.size for part in back.parts)


@pytest.mark.parametrize("octets", [b"", b"\n", b"\r\n", b"x", b":", b"\0", b"\r", b"Subject: a", b"\xff"])
def test_the_smallest_mails(octets: bytes) -> None:
    found = index(octets)
    assert len(found.parts) == 1
    assert found.section((), "") == (0, len(octets))
    assert found.envelope.startswith(b"(NIL ")
    assert found.bodystructure.startswith(b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" ')


def test_line_feeds_alone_are_line_ends_too() -> None:
    lone = NESTED.replace(b"\r\n", b"\n")
    found, crlf = index(lone), index(NESTED)
    assert [part.number for part in found.parts] == [part.number for part in crlf.parts]
    assert content(lone, found, (2, 1)) == b"one"
    assert found.envelope == crlf.envelope
    assert found.preview == crlf.preview


@pytest.mark.parametrize(
    "octets",
    [
        NESTED,
        b"Message-ID: <a@b>\r\n\r\nx",
        b"Subject: x\r\nMESSAGE-ID :\r\n <folded@b>\r\nMessage-ID: <second@b>\r\n\r\nMessage-ID: <body@b>",
        b"Message-ID: none\n\nx",
        b"Message-ID:\r\n\r\n",
        b"\r\nMessage-ID: <body@b>\r\n",
        b"no header at all",
        b"",
    ],
)
def test_a_glance_finds_the_name_that_the_index_has(octets: bytes) -> None:
    seen, whole = glance(octets), index(octets)
    assert (seen.message_id, seen.header_end, seen.size) == (whole.message_id, whole.header_end, whole.size)


@pytest.mark.parametrize(
    ("header", "empty"),
    [
        (b"From: a@b.test\r\nTo: c@d.test\r\n", 0),
        (b"", 0),
        (b"From: a@b.test\r\nTo:\r\n", 2),
        (b"From:\r\nTo: \r\nCc: ,\r\nBcc: (nobody)\r\n", 15),
        (b"To: bob\r\nCc: undisclosed-recipients:;\r\nBcc:\r\n", 8),
        (b"To:\r\nTo: a@b.test\r\n", 0),
    ],
)
def test_address_fields_without_addresses_are_noted(header: bytes, empty: int) -> None:
    """ENVELOPE says NIL for them as for fields that are not there."""
    found = index(header + b"\r\ntext")
    packed = found.pack()
    assert found.empty_fields == empty_fields_of(packed) == MessageIndex.unpack(packed).empty_fields == empty
    assert empty_fields_of(as_older(packed)) == 0
    assert MessageIndex.unpack(as_older(packed)) == MessageIndex.unpack(packed)._replace(empty_fields=0)
