"""Maildir and mbox: what the standard library's readers find in them is what was written."""

from __future__ import annotations

import mailbox
import random
import re
from pathlib import Path

import pytest

from a3mailer.mail.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from a3mailer.mail.ids import AccountId, BlobId, EmailId, MailboxId, ModSeq, ThreadId, Uid
from a3mailer.ops.mailfiles import FORMS, MAX_FILE_NAME, Maildir, Mbox, file_name, quoted
from a3mailer.store.rows import Message
from a3mailer.wire.imap.names import decode_utf7

DATE = 1_700_000_000


def row(uid: int, flags: int = 0, keywords: str = "") -> Message:
    account, box, email, thread = AccountId(1), MailboxId(1), EmailId(uid), ThreadId(uid)
    return Message(
        account, box, Uid(uid), email, thread, flags, keywords, ModSeq(1), DATE + uid, DATE, 0, BlobId(b"")
    )


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("INBOX", "INBOX"),
        ("Archive/2024", "Archive.2024"),
        ("a.b/c", "a&AC4-b.c"),
        ("..", "&AC4-&AC4-"),
        ("../../etc", "&AC4-&AC4-.&AC4-&AC4-.etc"),
        ("R&D", "R&-D"),
        ("台北/日本語", "&U,BTFw-.&ZeVnLIqe-"),
    ],
)
def test_a_mailbox_name_is_one_level_of_a_path(name: str, file: str) -> None:
    assert file_name(name) == file and "/" not in file and file not in (".", "..")


def test_no_two_names_are_one_file() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    names = {
        "/".join("".join(dice.choices("a.&-é~", k=3)) for _ in range(dice.randint(1, 3))) for _ in range(3000)
    }
    assert len({file_name(name) for name in names}) == len(names)
    for name in names:
        assert len(file_name(name).split(".")) == name.count("/") + 1
    long = "é" * 400
    assert len(file_name(long)) <= MAX_FILE_NAME and file_name(long) != file_name(long + "a")
    assert decode_utf7(file_name("é/ü").split(".")[1].encode()) == "ü"


def test_maildir_keeps_every_octet_flags_keywords_and_date(tmp_path: Path) -> None:
    mails = {
        1: b"Subject: a\r\n\r\nFrom here\r\nlone \n and \r and \x00\r\n",
        2: b"no header at all",
        3: b"",
    }
    files = Maildir(tmp_path)
    with files.mailbox("INBOX") as (path, add):
        assert path == ""
        add(row(1, SEEN | ANSWERED, "$Forwarded work"), mails[1])
        add(row(2, FLAGGED | DRAFT | DELETED, "work"), mails[2])
    with files.mailbox("Archive/2024") as (path, add):
        assert path == ".Archive.2024"
        add(row(3), mails[3])
    found = mailbox.Maildir(str(tmp_path), factory=None, create=False)
    by_flags = {found[key].get_flags(): found.get_bytes(key) for key in found.keys()}  # noqa: SIM118 - no dict
    assert by_flags == {"RSab": mails[1], "DFTb": mails[2]}
    assert (tmp_path / "dovecot-keywords").read_text() == "0 $Forwarded\n1 work\n"
    assert {mail.get_date() for mail in found} == {DATE + 1, DATE + 2}
    assert found.list_folders() == ["Archive.2024"]
    (kept,) = (tmp_path / ".Archive.2024/cur").iterdir()
    assert kept.read_bytes() == mails[3]
    assert {p.stat().st_mode & 0o77 for p in tmp_path.rglob("*")} == {0}


def test_maildir_has_letters_for_so_many_keywords_only(tmp_path: Path) -> None:
    with Maildir(tmp_path).mailbox("INBOX") as (_, add):
        add(row(1, 0, " ".join(f"k{number:02}" for number in range(40))), b"x")
    (kept,) = (tmp_path / "cur").iterdir()
    assert kept.name.endswith(":2,abcdefghijklmnopqrstuvwxyz")


def test_mbox_quotes_what_looks_like_its_own_lines(tmp_path: Path) -> None:
    mails = [
        b"Subject: one\r\n\r\nFrom here\r\n>From there\r\n>>> From no\r\nand From not\r\n",
        b"Subject: two\r\n\r\nno end of line",
        b"From the first octet\r\n",
    ]
    with Mbox(tmp_path).mailbox("R&D/x") as (path, add):
        for number, octets in enumerate(mails, 1):
            add(row(number, SEEN | FLAGGED if number == 2 else 0, "work" if number == 2 else ""), octets)
    box = mailbox.mbox(str(tmp_path / path), factory=None, create=False)
    assert path == "R&-D.x.mbox" and len(box) == 3
    text = box.get_bytes(0)
    assert text == b"Status: O\nSubject: one\n\n>From here\n>>From there\n>>> From no\nand From not\n"
    assert box[1].get_flags() == "ROF" and box[1]["X-Keywords"] == "work"
    assert box.get_bytes(2) == b"Status: O\n>From the first octet\n"
    box.close()


def test_quoting_is_undone_by_taking_one_away() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    for _ in range(2000):
        text = "".join(dice.choices(["From ", ">", "\n", "x", " ", "From", "\r"], k=12)).encode()
        made = quoted(text)
        assert not re.search(rb"(?m)^From ", made)
        assert re.sub(rb"(?m)^>(>*From )", rb"\1", made) == text


def test_both_forms_have_a_name() -> None:
    assert {"maildir": Maildir, "mbox": Mbox} == FORMS
