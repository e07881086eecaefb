"""Properties of the message index: total, nested, the same over a mapped file, and what email says."""

import base64
import email
import email.header
import email.message
import email.policy
import email.utils
import quopri

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from a3mailer.mail.message import addresses, dates, envelope, headers, index, limits, parameters, text, words
from tests.fragments import check_index, mapped
from tests.unit.mail.mails import DIGEST, HTML, NESTED, SIGNED

SETTINGS = settings(max_examples=200, deadline=None)

# octets that are likely to meet the parser: pieces of mail put together at random
PIECES = st.sampled_from(
    [
        *(
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b"\t",
            b":",
            b";",
            b",",
            b"<",
            b">",
            b"(",
            b")",
            b'"',
            b"\\",
            b"=",
            b"\0",
        ),
        *(b"--b1", b"--b2", b"--", b"\r\n--b1\r\n", b"\r\n--b1--\r\n", b"\r\n\r\n", b"\xff", b"\xc3\xa9"),
        *(b"Content-Type: ", b"multipart/mixed; boundary=b1\r\n", b"message/rfc822\r\n", b"text/html\r\n"),
        *(b"multipart/digest; boundary=b2\r\n", b"Content-Transfer-Encoding: base64\r\n", b"Subject: "),
        *(b"From: ", b"To: ", b"a@b.example", b"group:", b"=?utf-8?q?=41?=", b"name*0*=a", b"text"),
    ]
)
MAILISH = st.lists(PIECES | st.binary(max_size=6), max_size=60).map(b"".join)


@SETTINGS
@given(st.binary(max_size=400) | MAILISH)
def test_any_octets_have_a_well_formed_index(octets: bytes) -> None:
    check_index(octets)


@SETTINGS
@given(MAILISH | st.sampled_from([NESTED, HTML, DIGEST, SIGNED]))
def test_a_mapped_file_has_the_same_index(octets: bytes) -> None:
    octets = octets or b"\n"
    found = index(octets)
    file = mapped(octets)
    assert index(file) == found
    names = frozenset((b"subject", b"from"))
    assert found.header_fields(file, names) == found.header_fields(octets, names)
    for part in found.parts:
        assert text.decoded_text(file, part) == text.decoded_text(octets, part)
    file.close()


@SETTINGS
@given(MAILISH)
def test_fields_and_their_negation_are_the_whole_header(octets: bytes) -> None:
    found = index(octets)
    listed = list(headers.fields(octets, 0, found.header_end))
    names = frozenset(name for name, _, _ in listed[::2])
    chosen = headers.select(octets, 0, found.header_end, names)
    others = headers.select(octets, 0, found.header_end, names, negate=True)
    assert chosen.endswith(b"\r\n")
    assert others.endswith(b"\r\n")
    kept = [field for field, _, _ in headers.fields(chosen, 0, len(chosen))]
    dropped = [field for field, _, _ in headers.fields(others, 0, len(others))]
    assert kept == [name for name, _, _ in listed if name in names]
    assert dropped == [name for name, _, _ in listed if name not in names]
    for name, start, end in listed:
        assert octets[start - 1 : start] == b":"
        assert octets[start:end] in chosen + others
        assert name == name.lower()


ADDRESSISH = st.lists(
    st.sampled_from(
        [
            *(
                b"a@b",
                b"<a@b>",
                b'"',
                b'"x"',
                b"(",
                b")",
                b",",
                b", ",
                b";",
                b":",
                b"<",
                b">",
                b"@",
                b" ",
                b"\t",
            ),
            *(
                b"\\",
                b"[",
                b"]",
                b"Foo",
                b"Foo Bar ",
                b'"F, B" <f@b>',
                b".",
                b"\xc3\xa9",
                b"\x01",
                b"=?x?q?y?=",
            ),
        ]
    ),
    max_size=14,
).map(b"".join)


@settings(max_examples=2000, deadline=None)
@given(ADDRESSISH)
@example(b"c@example.com,--b1 d@example.com")
def test_the_quick_way_through_an_address_list_gives_what_the_general_one_gives(value: bytes) -> None:
    value = value.strip()
    room = envelope.AddressRoom()
    general, found = envelope.general_list(value, limits.ADDRESSES)
    assert envelope.address_list(value, room) == (b"(%b)" % b"".join(general) if general else b"NIL")
    assert limits.ALL_ADDRESSES - room.left == found


@settings(max_examples=2000, deadline=None)
@given(ADDRESSISH)
def test_the_quick_way_to_address_values_gives_what_the_general_one_gives(value: bytes) -> None:
    assert addresses.parse(value) == addresses.parse_general(value, limits.ADDRESSES)


DATEISH = st.lists(
    st.sampled_from([b"Sat,", b"Sat", b"21", b"1", b"Nov", b"2026", b"26", b"10:00:59", b"9:00", b"24:00:00"])
    | st.sampled_from([b"+0100", b"-0330", b"GMT", b"(CET)", b"12:0:00", b":", b",", b"10:00:00x", b""]),
    max_size=8,
).map(b" ".join)


@settings(max_examples=2000, deadline=None)
@given(DATEISH)
@example(b"Sat, 21 Nov 2026 10:00:59 +0100 (CET)")
@example(b"Sat, 21 Nov 2026  9:00:59 +0100")
def test_the_quick_way_to_a_date_gives_what_the_general_one_gives(value: bytes) -> None:
    assert dates.parse(value) == dates.parse_general(value)


USUAL_TEXT = st.sampled_from(
    ["word ", "w\r\n", "   ", "\t", "\x01", "\x1c", "\x80", "\ufffd", "\u4e2d", "\xe9"]
)
UNUSUAL_TEXT = st.sampled_from(list("\x7f\x85\xa0\xad\u034f\u200b\u202e\u2028\u3000\u3164\ufff9\U0001f600"))


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(st.one_of(USUAL_TEXT, USUAL_TEXT, USUAL_TEXT, UNUSUAL_TEXT), min_size=1, max_size=5),
    st.integers(min_value=1, max_value=120),
    st.sampled_from(["utf-8", "us-ascii", "iso-8859-1", "x-unknown", "utf-7", ""]),
    st.sampled_from(["8bit", "quoted-printable", "base64"]),
    st.binary(max_size=4),
)
def test_a_preview_at_a_glance_is_what_the_general_one_gives(
    pieces: list[str], times: int, charset: str, encoding: str, odd: bytes
) -> None:
    content = ("".join(pieces) * times).encode() + odd + "".join(pieces).encode() * times
    if encoding == "base64":
        content = base64.encodebytes(content)
    elif encoding == "quoted-printable":
        content = quopri.encodestring(content)
    header = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    octets = header.encode() + content
    part = index(octets).parts[0]
    assert text.at_a_glance(octets, part) in (None, text.preview_general(octets, part))


ATOM = st.text("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=8)
LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
NAME = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "), max_size=20).map(
    lambda name: " ".join(name.split())
)
MAILBOX = st.tuples(
    NAME, st.lists(ATOM, min_size=1, max_size=3), st.lists(LABEL, min_size=1, max_size=3)
).map(lambda found: (found[0], ".".join(found[1]) + "@" + ".".join(found[2])))


@SETTINGS
@given(st.lists(MAILBOX, min_size=1, max_size=6))
def test_addresses_that_were_formatted_come_back(people: list[tuple[str, str]]) -> None:
    value = ", ".join(email.utils.formataddr(person) for person in people)
    found = addresses.parse_mailboxes(value.encode())
    assert [address.addr_spec for address in found] == [spec for _, spec in people]
    assert [address.name for address in found] == [name for name, _ in people]


@SETTINGS
@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=120))
def test_encoded_words_come_back(value: str) -> None:
    encoded = email.header.Header(value, "utf-8", maxlinelen=60).encode().encode()
    assert words.decode_words(headers.unfold(encoded)) == value


@SETTINGS
@given(st.integers(min_value=0, max_value=4_000_000_000), st.integers(min_value=-14 * 60, max_value=14 * 60))
def test_dates_come_back(unix_time: int, zone: int) -> None:
    formatted = dates.format_date(unix_time, zone)
    assert dates.parse(formatted.encode()) == unix_time
    assert int(email.utils.parsedate_to_datetime(formatted).timestamp()) == unix_time
    assert (
        dates.parse(email.utils.format_datetime(email.utils.parsedate_to_datetime(formatted)).encode())
        == unix_time
    )


@SETTINGS
@given(st.integers(min_value=-1_000_000, max_value=3_000_000))
def test_days_come_back(days: int) -> None:
    assert dates.days_from_civil(*dates.civil_from_days(days)) == days


@SETTINGS
@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=100))
def test_file_names_come_back(name: str) -> None:
    mail = email.message.EmailMessage(policy=email.policy.SMTP)
    mail.set_content("x")
    mail.add_attachment(b"data", maintype="application", subtype="pdf", filename=name)
    octets = mail.as_bytes()
    assert [part.filename for part in index(octets).parts] == ["", "", name]


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")) | st.just("\n"), max_size=80)
CHARSET = st.sampled_from(["utf-8", "us-ascii", "iso-8859-15", "koi8-r", "euc-jp", "gb18030", "iso-2022-jp"])


@st.composite
def mails(draw: st.DrawFn, depth: int = 0) -> email.message.EmailMessage:
    """Mails as a good program writes them."""
    mail = email.message.EmailMessage(policy=email.policy.SMTP)
    kind = draw(
        st.sampled_from(
            ["text", "text", "binary", "mixed", "alternative", "message"] if depth < 4 else ["text"]
        )
    )
    if kind in ("mixed", "alternative"):
        for part in draw(st.lists(mails(depth + 1), min_size=1, max_size=4)):
            if not mail.is_multipart():
                mail.add_header("Content-Type", f"multipart/{kind}")
                mail.set_payload([])
            mail.attach(part)
    elif kind == "message":
        mail.set_content(draw(mails(depth + 1)))
    elif kind == "binary":
        mail.set_content(draw(st.binary(max_size=200)), maintype="application", subtype="octet-stream")
    else:
        charset = draw(CHARSET)
        content = draw(TEXT).encode(charset, "ignore").decode(charset)
        mail.set_content(content, charset=charset, subtype=draw(st.sampled_from(["plain", "html"])))
    if draw(st.booleans()):
        mail["Subject"] = draw(NAME)
    return mail


def walk(mail: email.message.Message) -> list[email.message.Message]:
    """The parts in document order."""
    found: list[email.message.Message] = []
    pending = [mail]
    while pending:
        part = pending.pop()
        found.append(part)
        if part.is_multipart():
            pending += reversed(part.get_payload())  # type: ignore[arg-type]
    return found


@SETTINGS
@given(mails())
def test_well_formed_mail_reads_as_email_reads_it(mail: email.message.EmailMessage) -> None:
    octets = mail.as_bytes()
    again = email.message_from_bytes(octets, policy=email.policy.default)
    found = check_index(octets)
    expected = walk(again)
    assert [part.media.decode() for part in found.parts] == [part.get_content_type() for part in expected]
    for ours, theirs in zip(found.parts, expected, strict=True):
        if theirs.is_multipart():
            continue
        payload = theirs.get_payload(decode=True)
        raw = octets[ours.body : ours.end]
        assert text.encodings.decode(raw, ours.encoding) == payload
        if ours.media.startswith(b"text/"):
            assert text.decoded_text(octets, ours) == payload.decode(theirs.get_content_charset("utf-8"))
    assert found.truncated == ()
    assert found.subject == " ".join(str(again["subject"] or "").split(" "))


TOKEN = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=8)
ASCII = st.text(st.characters(codec="ascii", exclude_categories=("C",)), max_size=20)


@SETTINGS
@given(st.lists(st.tuples(TOKEN, ASCII), max_size=5))
def test_quoted_parameters_come_back(pairs: list[tuple[str, str]]) -> None:
    written = [f'{name}="{email.utils.quote(value)}"' for name, value in pairs]
    media, found = parameters.parse("; ".join(["Text/Plain", *written]).encode())
    assert media == b"text/plain"
    assert [(name.decode(), value.decode()) for name, value in found] == pairs


@pytest.mark.parametrize("at", range(0, len(NESTED), 7))
def test_a_mail_cut_anywhere_has_an_index(at: int) -> None:
    check_index(NESTED[:at])
