"""Names of blobs, and what is said of a file that strangers named (attack rows 44, 46, 47)."""

import pytest

from a3mailer.access.blobs import Blobs, Name, name_of, name_of_part, read_name
from a3mailer.edge.http.jmap.binary import OCTETS, asked, disposition, media_type
from a3mailer.mail.errors import NoSuchMessage
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId, BlobId
from a3mailer.mail.message import index
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.clock import FakeClock
from a3mailer.wire.jmap.values import is_id

BLOB = BlobId(bytes(range(16)))
MAIL = b"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8sIHdvcmxk\r\n"


def test_names_go_there_and_back() -> None:
    for start, stop, encoding, coding in (
        (0, 0, b"7bit", b"7bit"), (37, 999, b"base64", b"base64"),
        (1, 2, b"quoted-printable", b"quoted-printable"),
        (1, 2, b"x-other", b"7bit"),
    ):  # fmt: skip
        name = name_of_part(BLOB, start, stop, encoding)
        assert is_id(name) and read_name(name) == Name(BLOB, start, stop, coding)
    assert is_id(name_of(BLOB)) and read_name(name_of(BLOB)) == Name(BLOB)


@pytest.mark.parametrize(
    "text",
    [
        "", "B", "M1", "B" + "0" * 31, "B" + "0" * 33, "B" + "0" * 31 + "G", "b" + "0" * 32, "B" + "A" * 32,
        f"P{'0' * 32}", f"P{'0' * 32}_1_2", f"P{'0' * 32}_2_1_n", f"P{'0' * 32}_01_2_n", f"P{'0' * 32}_1_2_x",
        f"P{'0' * 32}_-1_2_n", f"P{'0' * 32}_1_{'9' * 13}_n", f"P{'0' * 32}x_1_2_n", f"P{'0' * 32}_1_2_n_",
        f"P{'0' * 32}_\u0661_2_n", "x" * 255,
    ],
)  # fmt: skip
def test_what_is_no_name(text: str) -> None:
    assert read_name(text) is None


async def test_parts_are_decoded_and_never_beyond_their_content() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    await store.commit(Transaction((op.PutDomain(DEFAULT_TENANT, "a.test"),)))
    (made,) = await store.commit(Transaction((op.CreateAccount(DEFAULT_TENANT, "alice@a.test"),)))
    assert isinstance(made, op.AccountCreated)
    append = op.Append(made.account, INBOX, 0)
    await store.commit(Transaction((append,), (Content(MAIL, index(MAIL)),)))
    (row,) = await store.messages(made.account, INBOX, [1])
    blobs = Blobs(store, clock)
    part = name_of_part(row.blob, 37, len(MAIL), b"base64")
    assert await blobs.octets(made.account, part) == b"hello, world"
    assert await blobs.size(made.account, part) == 12
    assert await blobs.octets(made.account, part, 7, 12) == b"world"
    assert await blobs.octets(made.account, name_of(row.blob), 0, 7) == MAIL[:7]
    for name, account in (
        (name_of_part(row.blob, 0, len(MAIL) + 1, b"7bit"), made.account),
        (part, AccountId(99)),
        ("Bx", made.account),
    ):
        with pytest.raises(NoSuchMessage):
            await blobs.octets(account, name)
        with pytest.raises(NoSuchMessage):
            await blobs.size(account, name)


def test_a_media_type_is_one_or_unknown_octets() -> None:
    for good in ("text/plain", "application/vnd.x+json", "text/plain; charset=utf-8", "image/svg+xml;a=b"):
        assert media_type(good) == good
    for bad in (
        "",
        "text",
        "text/",
        "text/html\r\nSet-Cookie: a",
        'text/html; a="b c"',
        "a/b, c/d",
        "é/x",
        "a/b\n",
    ):
        assert media_type(bad) == OCTETS, bad


def test_a_file_name_says_no_field_of_its_own() -> None:
    assert disposition("a b.txt") == 'attachment; filename="a b.txt"'
    assert (
        disposition('a"b\\c/d.txt')
        == "attachment; filename=\"a_b_c_d.txt\"; filename*=UTF-8''a%22b%5Cc%2Fd.txt"
    )
    assert disposition("\r\nSet-Cookie: x") == 'attachment; filename="Set-Cookie: x"'
    assert (
        disposition("日本.pdf") == "attachment; filename=\"__.pdf\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.pdf"
    )
    assert disposition("\u202etxt.exe") == 'attachment; filename="txt.exe"'
    assert disposition("\r\n") == "attachment" and len(disposition("x" * 10_000)) < 300
    for each in ("\ud800", "a\x00b", "%41%", "\x85"):
        made = disposition(each)
        assert made.isascii() and made.isprintable()


def test_ranges() -> None:
    assert asked("bytes=0-0", None, "t", 10) == (0, 1)
    assert asked("bytes=3-99", None, "t", 10) == (3, 10)
    assert asked("bytes=9-", None, "t", 10) == (9, 10)
    assert asked("bytes=-20", None, "t", 10) == (0, 10)
    assert asked("bytes=10-", None, "t", 10) == (10, 10) == asked("bytes=-0", None, "t", 10)
    for none in ("", "bytes=5-3", "bytes=a-b", "items=0-1", "bytes=0-1,2-3", f"bytes={'9' * 30}-"):
        assert asked(none, None, "t", 10) is None
    assert asked("bytes=0-1", "other", "t", 10) is None and asked("bytes=0-1", "t", "t", 10) == (0, 2)
