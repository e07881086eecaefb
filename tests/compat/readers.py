"""Ways out: imaplib, mbsync, neomutt; each returns the mails of an INBOX as octets."""

import contextlib
import imaplib
import os
import pathlib
import pty
import re
import ssl
import subprocess
import time
from typing import Final

from tests import peers
from tests.compat.post import without
from tests.compat.senders import anyone

BATCH: Final = 200
CLIENT_SECONDS: Final = 900

MBSYNC: Final = """
IMAPStore far
Host 127.0.0.1
Port {port}
User "{user}"
Pass "{password}"
AuthMechs LOGIN
SSLType {tls}
{certificate}

MaildirStore near
Path {folder}/
Inbox {folder}/inbox

Channel all
Far :far:
Near :near:
Sync Pull
Create Near
SyncState *
"""

# QUIRK: mbsync writes an X-TUID field into what it pulls; neomutt drops and adds Content-Length and Lines,
# and writes an empty line before a line of the header that is no field.
MBSYNC_ALLOWANCE: Final = without(b"X-TUID")
NEOMUTT_ALLOWANCE: Final = without(b"Content-Length", b"Lines", b"Status", b"X-Status")
NEOMUTT: Final = """
set imap_user="{user}"
set imap_pass="{password}"
set ssl_force_tls=no
set ssl_starttls=no
set folder="{folder}"
set mbox_type=Maildir
set confirmappend=no
set confirmcreate=no
set delete=no
set quit=yes
set copy=no
set header_cache=""
set sleep_time=0
set mail_check=0
set sort=mailbox-order
set wait_key=no
set abort_key="\\Cx"
set imap_keepalive=600
push "<tag-pattern>.<enter><tag-prefix><copy-message><kill-line>{folder}/copied<enter><quit>"
"""


def imaplib_read(port: int, login: tuple[str, str], *, tls: bool = False) -> list[bytes]:
    """Python's imaplib, in batches."""
    client = (
        imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=anyone())
        if tls
        else imaplib.IMAP4("127.0.0.1", port)
    )
    client.login(*login)
    _, (exists,) = client.select(readonly=True)
    found: list[bytes] = []
    for first in range(1, int(exists or b"0") + 1, BATCH):
        last = min(int(exists or b"0"), first + BATCH - 1)
        _, answer = client.fetch(f"{first}:{last}", "(BODY.PEEK[])")
        found += [part[1] for part in answer if isinstance(part, tuple)]
    client.logout()
    return found


def mbsync_read(port: int, login: tuple[str, str], folder: pathlib.Path, *, tls: bool = False) -> list[bytes]:
    """mbsync pulls into a Maildir; it stores Unix line ends."""
    program, env = peers.client("mbsync")
    (folder / "inbox").mkdir(parents=True)
    certificate = ""
    if tls:
        pem = ssl.get_server_certificate(("127.0.0.1", port))
        (folder / "server.pem").write_text(pem)
        certificate = f"CertificateFile {folder}/server.pem"
    config = folder / "mbsyncrc"
    config.write_text(
        MBSYNC.format(
            port=port,
            user=login[0],
            password=login[1],
            tls="IMAPS" if tls else "None",
            certificate=certificate,
            folder=folder,
        )
    )
    config.chmod(0o600)
    subprocess.run(
        [program, "-c", str(config), "all"],
        check=True,
        env={**os.environ, **env, "HOME": str(folder)},
        timeout=CLIENT_SECONDS,
    )
    return maildir(folder / "inbox")


def neomutt_read(port: int, login: tuple[str, str], folder: pathlib.Path) -> list[bytes]:
    """neomutt copies all into a Maildir."""
    folder.mkdir(parents=True)
    neomutt(NEOMUTT.format(user=login[0], password=login[1], folder=folder), port, folder)
    return maildir(folder / "copied")


def neomutt(text: str, port: int, folder: pathlib.Path, *, tls: bool = False) -> None:
    """Run it on the INBOX, driven through a terminal of its own by what its configuration pushes."""
    program, env = peers.client("neomutt")
    config = folder / "neomuttrc"
    config.write_text(text)
    place = f"{'imaps' if tls else 'imap'}://127.0.0.1:{port}/INBOX"
    command = [program, "-n", "-F", str(config), "-f", place]
    environment = {**os.environ, **env, "HOME": str(folder), "TERM": "vt100"}
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    screen = b""
    deadline = time.monotonic() + CLIENT_SECONDS
    try:
        with contextlib.suppress(OSError):  # EIO: the program has closed the terminal
            while octets := os.read(master, 65536):
                screen = (screen + octets)[-4000:]
                assert time.monotonic() < deadline, screen
        code = process.wait(10)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert code == 0, re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b" ", screen)


def maildir(folder: pathlib.Path) -> list[bytes]:
    """The mails of a Maildir."""
    return [p.read_bytes() for name in ("new", "cur") for p in sorted((folder / name).iterdir())]
