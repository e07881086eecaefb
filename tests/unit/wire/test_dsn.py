"""Delivery status notifications: composed for people and programs, read from anybody."""

import random
from base64 import b64encode

import pytest

from a3mailer.mail.message import encodings, index
from a3mailer.wire.dsn.compose import FIELD_LENGTH, clean, compose
from a3mailer.wire.dsn.parse import MAX_RECIPIENTS, parse, parse_status
from a3mailer.wire.dsn.report import Action, Original, RecipientStatus, Report
from a3mailer.wire.dsn.words import CHINESE, ENGLISH, LANGUAGES, Words
from a3mailer.wire.smtp.xtext import encode_original, original_of, quote, to_ascii, unquote

NOW = 1_800_000_000
ORIGINAL = Original(b"From: a@b\r\nMessage-ID: <1@b>\r\nSubject: x\r\n\r\n", full=False)
FAILED = RecipientStatus(
    "bob@c.test", Action.FAILED, "5.1.1", "rfc822;Bob@old.test", "mx.c.test", "550 5.1.1 no such user", NOW
)
REPORT = Report("mail.a.test", (FAILED,), "envelope 1", NOW - 60)


def made(report: Report = REPORT, original: Original = ORIGINAL, **extra: bool) -> bytes:
    return compose(report, original, to="alice@a.test", now=NOW, token="0123456789abcdef", **extra)


def test_a_failure_reads_like_this() -> None:
    assert made() == (
        b"From: Mail Delivery System <MAILER-DAEMON@mail.a.test>\r\n"
        b"To: <alice@a.test>\r\n"
        b"Subject: Your message could not be delivered\r\n"
        b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
        b"Message-ID: <0123456789abcdef@mail.a.test>\r\n"
        b"In-Reply-To: <1@b>\r\n"
        b"References: <1@b>\r\n"
        b"Auto-Submitted: auto-replied\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: multipart/report; report-type=delivery-status;\r\n"
        b'\tboundary="=_0123456789abcdef_dsn"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"--=_0123456789abcdef_dsn\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"This is the mail system at mail.a.test.\r\n"
        b"\r\n"
        b"Your message could not be delivered to the following recipients. "
        b"No further attempt will be made.\r\n"
        b"\r\n"
        b"<bob@c.test>\r\n"
        b"    There is no such mailbox.\r\n"
        b"    mx.c.test said: 550 5.1.1 no such user\r\n"
        b"\r\n"
        b"--=_0123456789abcdef_dsn\r\n"
        b"Content-Type: message/delivery-status\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Original-Envelope-Id: envelope 1\r\n"
        b"Reporting-MTA: dns; mail.a.test\r\n"
        b"Arrival-Date: Fri, 15 Jan 2027 07:59:00 +0000\r\n"
        b"\r\n"
        b"Original-Recipient: rfc822;Bob@old.test\r\n"
        b"Final-Recipient: rfc822; bob@c.test\r\n"
        b"Action: failed\r\n"
        b"Status: 5.1.1\r\n"
        b"Remote-MTA: dns; mx.c.test\r\n"
        b"Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
        b"Last-Attempt-Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
        b"\r\n"
        b"--=_0123456789abcdef_dsn\r\n"
        b"Content-Type: text/rfc822-headers\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"From: a@b\r\nMessage-ID: <1@b>\r\nSubject: x\r\n\r\n"
        b"\r\n"
        b"--=_0123456789abcdef_dsn--\r\n"
    )


def test_a_failure_reads_like_this_in_chinese() -> None:
    octets = compose(REPORT, ORIGINAL, to="alice@a.test", now=NOW, token="t", words=CHINESE)
    assert parse(octets) == REPORT, "programs read the same in every language"
    found = index(octets)
    assert found.subject == "您的邮件未能送达"
    assert found.from_[0].name == "邮件投递系统"
    text = found.parts[1]
    assert octets[text.body : text.end].decode() == (
        "这里是 mail.a.test 的邮件系统。\r\n\r\n您的邮件未能送达下列收件人，不会再次尝试。\r\n\r\n"
        "<bob@c.test>\r\n    该邮箱不存在。\r\n    mx.c.test 的答复：550 5.1.1 no such user\r\n"
    )


@pytest.mark.parametrize("words", LANGUAGES.values())
def test_every_language_has_all_words(words: Words) -> None:
    assert set(words.subjects) == set(words.texts) == set(Action)
    assert set(words.reasons) == set(ENGLISH.reasons)
    for subject in (*words.subjects.values(), words.sender):
        assert len(f"=?utf-8?B?{b64encode(subject.encode()).decode()}?=") <= 75, "one encoded word"
    for pattern, names in (("said", "host text"), ("until", "date"), ("more", "count"), ("opening", "host")):
        getattr(words, pattern).format(**dict.fromkeys(names.split(), "x"))
    assert words.reason("4.2.2") == words.reason("5.2.2") != words.reason("5.2.99") == words.reasons["2"]
    assert not words.reason("5.0.0") and not words.reason("") and not words.reason("\r\n")


def test_what_a_delay_says() -> None:
    said = "452 4.2.2 full"
    status = RecipientStatus("b@c.test", Action.DELAYED, "4.2.2", "", "mx.c.test", said, NOW, NOW + 60)
    octets = made(Report("h", (status,), deliver_by=NOW + 60))
    for line in ("The mailbox is full.", f"mx.c.test said: {said}", "attempts go on until Fri,"):
        assert f"\r\n    {line}".encode() in octets
    assert b"\r\nDeliver-By-Date: Fri, 15 Jan 2027 08:01:00 +0000\r\n" in octets


def test_what_is_composed_is_read_again() -> None:
    assert parse(made()) == REPORT


@pytest.mark.parametrize("action", list(Action))
def test_every_action_has_its_words(action: Action) -> None:
    status = RecipientStatus("b@c.test", action, "2.0.0", retry_until=NOW + 60)
    octets = made(Report("h", (status,)))
    report = parse(octets)
    assert report is not None
    assert report.recipients[0].action is action
    assert report.recipients[0].retry_until == NOW + 60


def test_the_whole_mail_goes_back_where_asked() -> None:
    full = Original(b"A: b\r\n\r\nbody \xff\r\n", full=True)
    octets = made(original=full)
    part = index(octets).parts[3]
    assert part.media == b"message/rfc822"
    assert part.encoding == b"8bit"
    assert octets[part.body : part.end] == full.octets
    assert b"Content-Transfer-Encoding: 8bit\r\n\r\n--" in octets


@pytest.mark.parametrize("utf8", [True, False])
def test_addresses_beyond_ascii(utf8: bool) -> None:
    status = RecipientStatus("jürgen+x@bücher.test", Action.FAILED, "5.1.1", "utf-8;jürgen@old.test")
    report = Report("h", (status,))
    octets = made(report, utf8=utf8)
    assert parse(octets) == report
    media = [part.media for part in index(octets).parts]
    assert (b"message/global-delivery-status" in media) is utf8
    assert (b"j\\x{FC}rgen\\x{2B}x@b\\x{FC}cher.test" in octets) is not utf8
    assert octets.partition(b"message/")[2].isascii()


def test_a_server_without_smtputf8_takes_a_report_on_a_mail_that_needed_it() -> None:
    """RFC 6533 sections 4.4 and 4.5: the media types it defines may be encoded, so nothing is lost."""
    header = "From: jürgen@b\r\nSubject: Grüße\r\n\r\n".encode()
    for full in (False, True):
        original = Original(header + (b"Body\r\n" if full else b""), full=full)
        octets = made(original=original, utf8=True)
        assert octets.isascii()
        part = index(octets).parts[3]
        assert part.media == (b"message/global" if full else b"message/global-headers")
        assert encodings.decode(octets[part.body : part.end], part.encoding) == original.octets
        assert index(octets).parts[2].media == b"message/delivery-status"  # nothing in it needs more


def test_a_broken_header_goes_back_as_quoted_printable() -> None:
    """RFC 6522 section 4: text/rfc822-headers has no charset, and may be encoded."""
    octets = made(original=Original("Subject: Grüße\r\n\r\n".encode(), full=False))
    assert octets.isascii()
    part = index(octets).parts[3]
    assert (part.media, part.encoding) == (b"text/rfc822-headers", b"quoted-printable")
    assert b"charset" not in octets.partition(b"text/rfc822-headers")[2].partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("original", "in_ascii", "in_utf8"),
    [
        ("utf-8;j\\x{FC}rgen@b", "utf-8;j\\x{FC}rgen@b", "utf-8;jürgen@b"),
        ("utf-8;j\\x{2B}x@b", "utf-8;j\\x{2B}x@b", "utf-8;j+x@b"),
        ("utf-8;jürgen@b", "utf-8;j\\x{FC}rgen@b", "utf-8;jürgen@b"),
        ("utf-8;no address", "utf-8;no address", "utf-8;no address"),
        ("rfc822;a+b@c", "rfc822;a+b@c", "rfc822;a+b@c"),
        ("rfc822;a\\x{FC}b@c", "rfc822;a\\x{FC}b@c", "rfc822;a\\x{FC}b@c"),
    ],
)
def test_original_recipients_are_escaped_where_they_have_to_be(
    original: str, in_ascii: str, in_utf8: str
) -> None:
    """RFC 6533 sections 3 and 4.1: utf-8-addr-xtext in a report of ASCII, utf-8-address in a global one."""
    status = RecipientStatus("jürgen@b", Action.FAILED, "5.1.1", original)
    for utf8, told in ((False, in_ascii), (True, in_utf8)):
        octets = made(Report("h", (status,)), utf8=utf8)
        part = index(octets).parts[2]
        content = encodings.decode(octets[part.body : part.end], part.encoding).decode()
        assert f"Original-Recipient: {told}\r\n" in content


@pytest.mark.parametrize(
    ("address", "original", "plain", "international"),
    [
        ("bob@c.test", "rfc822;bob@c.test", b"rfc822;bob@c.test", b"rfc822;bob@c.test"),
        ("a+b=c@d", "rfc822;a+b=c@d", b"rfc822;a+2Bb+3Dc@d", b"rfc822;a+2Bb+3Dc@d"),
        ("jür+g@b", "utf-8;jür\\x{2B}g@b", b"utf-8;j\\x{FC}r\\x{2B}g@b", "utf-8;jür\\x{2B}g@b".encode()),
        ("ü\\ü@b", "utf-8;ü\\x{5C}ü@b", b"utf-8;\\x{FC}\\x{5C}\\x{FC}@b", "utf-8;ü\\x{5C}ü@b".encode()),
    ],
)
def test_an_original_recipient_is_handed_on(
    address: str, original: str, plain: bytes, international: bytes
) -> None:
    assert original_of(address) == original
    assert encode_original(original, utf8=False) == plain
    assert encode_original(original, utf8=True) == international


@pytest.mark.parametrize(
    "evil",
    ["x\r\nBcc: all@b", "x\ny", "\0\x1b[31m", "x\r\n\r\n--=_0123456789abcdef_dsn--", "a" * 5000, "\x7f"],
)
def test_foreign_words_stay_in_their_line(evil: str) -> None:
    status = RecipientStatus(evil, Action.FAILED, evil, f"rfc822;{evil}", evil, "550 " + evil)
    octets = compose(
        Report(evil, (status,), evil), Original(f"Message-ID: <{evil}>\r\n\r\n".encode(), full=False),
        to=evil, now=NOW, token="t",
    )  # fmt: skip
    head = octets[: index(octets).header_end]
    assert b"\nBcc" not in head
    assert b"\x1b" not in octets[: index(octets).parts[3].body]
    text, status_part = index(octets).parts[1:3]
    assert b"\n--" not in octets[text.body : text.end]
    for line in octets[status_part.body : status_part.end].split(b"\r\n"):
        assert len(line) <= FIELD_LENGTH + 40
    assert clean("a\r\nb\0") == "a  b "


def test_a_local_reason_is_not_called_smtp() -> None:
    status = RecipientStatus("b@c", Action.FAILED, "5.3.0", diagnostic="the disk is gone")
    assert b"Diagnostic-Code: x-local; the disk is gone\r\n" in made(Report("h", (status,)))


def test_many_recipients_are_listed_up_to_a_bound() -> None:
    statuses = tuple(RecipientStatus(f"u{n}@c", Action.FAILED, "5.1.1") for n in range(60))
    octets = made(Report("h", statuses))
    assert b"\r\nand 10 more\r\n" in octets
    report = parse(octets)
    assert report is not None
    assert len(report.recipients) == 60


@pytest.mark.parametrize("bad", ["a b", "<a", "a>", "<a b>", "<ä@b>", "<" + "a" * 800 + ">"])
def test_a_broken_message_id_is_not_referred_to(bad: str) -> None:
    octets = made(original=Original(f"Message-ID: {bad}\r\n\r\n".encode(), full=False))
    assert b"In-Reply-To" not in octets


# --- reading -------------------------------------------------------------------------------------------


def test_others_write_it_in_other_ways() -> None:
    report = parse_status(
        b"reporting-mta:dns;mx.c.test\n\n\nFINAL-RECIPIENT: RFC822;\n <x@y>\nAction: Failed (again)\n"
        b"Status: 5.1.1 (bad)\nAction: delivered\n\nnothing\n\nFinal-Recipient: rfc822; z@y\nAction: what\n"
    )
    assert report == Report("mx.c.test", (RecipientStatus("<x@y>", Action.FAILED, "5.1.1"),))


@pytest.mark.parametrize(
    "octets",
    [b"", b"\r\n\r\n", b"Subject: hi\r\n\r\nbody", b"Content-Type: message/delivery-status\r\n\r\n"],
)
def test_what_is_no_notification_is_none(octets: bytes) -> None:
    assert parse(octets) is None


def test_recipients_read_are_bounded() -> None:
    group = b"Final-Recipient: rfc822; a@b\nAction: failed\n\n"
    report = parse_status(b"Reporting-MTA: dns; x\n\n" + group * (MAX_RECIPIENTS + 100))
    assert report is not None
    assert len(report.recipients) == MAX_RECIPIENTS


def test_a_base64_report_is_read() -> None:
    octets = (
        b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"UmVwb3J0aW5nLU1UQTogZG5zOyB4CgpGaW5hbC1SZWNpcGllbnQ6IHJmYzgyMjsgYUBiCkFjdGlvbjogZmFpbGVkCg==\r\n"
    )
    report = parse(octets)
    assert report is not None
    assert report.recipients[0].final == "a@b"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a\\x{FC}b", "aüb"),
        ("\\x{1F600}", "😀"),
        ("\\x{}", "\\x{}"),
        ("\\x{110000}", "\\x{110000}"),
        ("\\x{D800}", "\\x{D800}"),
        ("\\x{ZZ}", "\\x{ZZ}"),
        ("\\x{41", "\\x{41"),
        ("\\x{4_1}", "\\x{4_1}"),
    ],
)
def test_escapes_of_addresses_are_undone(text: str, meaning: str) -> None:
    assert unquote(text) == meaning


def test_escaping_and_undoing_is_the_identity(rng: random.Random) -> None:
    for _ in range(500):
        text = "".join(
            chr(rng.choice((rng.randrange(33, 127), rng.randrange(160, 0xD000)))) for _ in range(20)
        )
        assert unquote(quote(text)) == text
        assert to_ascii(quote(text)).isascii()
        assert unquote(to_ascii(quote(text))) == text


def test_any_octets_may_be_read(rng: random.Random) -> None:
    octets = bytearray(made())
    for _ in range(2000):
        mutated = bytearray(octets)
        for _ in range(rng.randrange(1, 8)):
            mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        report = parse(bytes(mutated))
        assert report is None or report.recipients
