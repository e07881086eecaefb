"""neomutt works through a mailbox by the keys a user presses, and sends: we hold what the user sees."""

from __future__ import annotations

import pathlib
import ssl
from collections.abc import Iterator
from typing import Final

import pytest

from tests.compat.mailboxes import Far
from tests.compat.readers import neomutt
from tests.rig import Rig

NAMES: Final = ("reader", "writer")
SUBJECTS: Final = ("zero", "one", "two", "three", "four", "five")
SETTINGS: Final = """
set imap_user="{user}"
set imap_pass="{password}"
set ssl_verify_host=no
set ssl_verify_dates=no
set certificate_file={folder}/certificates
set ssl_force_tls=no
set ssl_starttls=no
set folder="{place}"
set delete=yes
set quit=yes
set move=no
set confirmappend=no
set confirmcreate=no
set sleep_time=0
set header_cache=""
set sort=mailbox-order
set wait_key=no
set resolve=no
set mark_old=no
"""
KEYS: Final = """
push "<limit>~b noon | ~s four<enter><tag-pattern>~s two<enter><tag-prefix><flag-message>\
<untag-pattern>.<enter><limit>all<enter>\
<delete-pattern>~s one<enter><tag-pattern>~s three | ~s four<enter><tag-prefix><save-message>=Archive<enter>\
<untag-pattern>.<enter><search>~s five<enter><display-message><exit><search>~s zero<enter><set-flag>!\
<sync-mailbox><change-folder>=Work/2026<enter><quit>"
"""
SENDING: Final = """
set from="{user}"
set smtp_url="{submission}"
set smtp_pass="{password}"
set record="=Sent"
set copy=yes
set hostname=example.test
set abort_unmodified=no
set editor="cp {folder}/letter"
my_hdr X-Compat: 1
push "<mail>{user}<enter>to myself<enter><send-message><quit>"
"""
LETTER: Final = "Dear writer,\n.\nthis is all.\n"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One server; each test has an account of its own."""
    accounts = [(f"{name}@example.test", f"secret-{name}") for name in NAMES]
    with Rig(tmp_path_factory.mktemp("neomutt"), accounts=accounts) as rig:
        yield rig


def mail(number: int) -> bytes:
    return (
        f"X-Compat: {number}\r\nFrom: bob@example.test\r\nTo: reader@example.test\r\n"
        f"Subject: {SUBJECTS[number]}\r\nMessage-ID: <{number}@example.test>\r\n"
        f"Date: Mon, 23 Nov 2026 09:00:0{number} +0000\r\n\r\n{'at noon' if number < 4 else 'later'}\r\n"
    ).encode()


def test_neomutt_flags_deletes_moves_and_reads(rig: Rig, tmp_path: pathlib.Path) -> None:
    user, password = rig.credentials(0)
    with Far(rig.port("imap"), (user, password)) as far:
        far.imap.command(b"CREATE Work/2026")
        far.fill(("", mail(number)) for number in range(len(SUBJECTS)))
        place = f"imap://127.0.0.1:{rig.port('imap')}/"
        settings = SETTINGS.format(user=user, password=password, place=place, folder=tmp_path)
        neomutt(settings + KEYS, rig.port("imap"), tmp_path)
        assert far.held() == {0: ("F", mail(0)), 2: ("F", mail(2)), 5: ("S", mail(5))}
        assert far.held(b"Archive") == {3: ("", mail(3)), 4: ("", mail(4))}


def test_neomutt_sends_and_files_what_it_sent(rig: Rig, tmp_path: pathlib.Path) -> None:
    """By submission after STARTTLS; what comes in is what was filed in Sent."""
    user, password = rig.credentials(1)
    (tmp_path / "certificates").write_text(ssl.get_server_certificate(("127.0.0.1", rig.port("imaps"))))
    (tmp_path / "letter").write_text(LETTER)
    place = f"imaps://127.0.0.1:{rig.port('imaps')}/"
    settings = SETTINGS.format(user=user, password=password, place=place, folder=tmp_path)
    settings = settings.replace("ssl_starttls=no", "ssl_starttls=yes")
    submission = f"smtp://{user}@127.0.0.1:{rig.port('submission')}"
    sending = SENDING.format(user=user, submission=submission, password=password, folder=tmp_path)
    with Far(rig.port("imap"), (user, password)) as far:
        neomutt(settings + sending, rig.port("imaps"), tmp_path, tls=True)
        (flags, filed), (_, came) = far.held(b"Sent")[1], far.held()[1]
    assert flags == "S"
    sent = b"\r\n\r\n" + LETTER.replace("\n", "\r\n").encode()
    assert came.endswith(sent) and filed.endswith(sent)
    for field in (
        b"From: ",
        b"To: ",
        b"Subject: to myself\r\n",
        b"Message-ID: ",
        b"X-Compat: 1\r\n",
    ):
        (line,) = [line for line in filed.splitlines(keepends=True) if line.startswith(field)]
        assert line in came.partition(b"\r\n\r\n")[0] + b"\r\n"
    for mail in (filed, came):  # which it writes twice, perhaps in two seconds
        assert (b"\r\n" + mail.partition(b"\r\n\r\n")[0]).count(b"\r\nDate: ") == 1
