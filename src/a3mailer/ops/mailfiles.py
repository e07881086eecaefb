"""Mail as files: Maildir (with the folders of Maildir++) and mbox (RFC 4155, in the form mboxrd).

Maildir holds every octet as it came, flags and keywords in the names (``dovecot-keywords`` says which letter
is which), the internal date as the file's time.  mbox is text with LF, ``From `` at the start of a line is
quoted by ``>``, flags are the fields Status, X-Status and X-Keywords on top.

A name of a mailbox becomes a name of a file in modified UTF-7, in which ``.`` parts the levels: no name can
lead out of the folder, and no two names become one.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

from a3mailer.mail.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from a3mailer.mail.mailbox import INBOX_NAME, SEPARATOR
from a3mailer.store.rows import Message
from a3mailer.wire.imap.names import encode_utf7

MAX_FILE_NAME: Final = 200
"""Octets of a file name; of a longer mailbox name it is a hash."""
KEYWORD_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
"""Maildir knows no more keywords in a mailbox; further ones are left out."""
_MAILDIR_FLAGS: Final = ((DRAFT, "D"), (FLAGGED, "F"), (ANSWERED, "R"), (SEEN, "S"), (DELETED, "T"))
_X_STATUS: Final = ((ANSWERED, "A"), (FLAGGED, "F"), (DRAFT, "T"), (DELETED, "D"))
Add = Callable[[Message, bytes], None]


class Files(Protocol):
    """One account's mailboxes as files."""

    def mailbox(self, name: str) -> AbstractContextManager[tuple[str, Add]]:
        """Its path below the folder, and what writes a mail into it. Errors of both: OSError."""
        ...


def file_name(mailbox: str) -> str:
    """A mailbox name as one level of a path, without ``/`` and other than ``.`` and ``..``."""
    levels = [encode_utf7(level).decode("ascii").replace(".", "&AC4-") for level in mailbox.split(SEPARATOR)]
    name = ".".join(levels)
    if len(name) <= MAX_FILE_NAME:
        return name
    return f"long-{hashlib.sha256(mailbox.encode()).hexdigest()}"


def write(path: Path, octets: bytes) -> None:
    """A new file that only its owner reads. Errors: OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(octets)


class Maildir:
    """``Files``: INBOX is the folder itself, every other mailbox ``.NAME`` in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def mailbox(self, name: str) -> Iterator[tuple[str, Add]]:
        """See ``Files``."""
        path = "" if name == INBOX_NAME else f".{file_name(name)}"
        folder = self._folder / path
        folder.mkdir(mode=0o700, exist_ok=not path)
        for each in ("cur", "new", "tmp"):
            (folder / each).mkdir(mode=0o700)
        if path:
            write(folder / "maildirfolder", b"")
        letters: dict[str, str] = {}

        def add(row: Message, octets: bytes) -> None:
            for keyword in row.keywords.split():
                if keyword not in letters and len(letters) < len(KEYWORD_LETTERS):
                    letters[keyword] = KEYWORD_LETTERS[len(letters)]
            flags = [letter for bit, letter in _MAILDIR_FLAGS if row.flags & bit]
            flags += sorted(letters[k] for k in row.keywords.split() if k in letters)
            unique = f"{row.internal_date}.U{row.uid}.a3mailer,S={len(octets)}"
            path = folder / "cur" / f"{unique}:2,{''.join(flags)}"
            write(path, octets)
            os.utime(path, (row.internal_date, row.internal_date))

        yield path, add
        if letters:
            lines = [f"{number} {keyword}\n" for number, keyword in enumerate(letters)]
            write(folder / "dovecot-keywords", "".join(lines).encode())


class Mbox:
    """``Files``: ``NAME.mbox`` a mailbox."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def mailbox(self, name: str) -> Iterator[tuple[str, Add]]:
        """See ``Files``."""
        path = f"{file_name(name)}.mbox"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(self._folder / path, flags, 0o600), "wb") as file:
            yield path, lambda row, octets: file.writelines(mbox_entry(row, octets))


def mbox_entry(row: Message, octets: bytes) -> tuple[bytes, bytes, bytes]:
    """One mail: the line it begins with and the fields of its flags, its text, the empty line behind it."""
    date = time.asctime(time.gmtime(row.internal_date))
    status = "".join(letter for bit, letter in _X_STATUS if row.flags & bit)
    head = f"From MAILER-DAEMON {date}\nStatus: {'RO' if row.flags & SEEN else 'O'}\n"
    head += f"X-Status: {status}\n" if status else ""
    head += f"X-Keywords: {row.keywords}\n" if row.keywords else ""
    text = quoted(octets.replace(b"\r\n", b"\n"))
    return head.encode(), text, b"\n" if text.endswith(b"\n") else b"\n\n"


def quoted(text: bytes) -> bytes:
    """One ``>`` more before every line of ``>``, any number of them, and ``From ``."""
    pieces: list[bytes] = []
    done = 0
    at = text.find(b"From ")
    while at >= 0:
        start = at
        while start > done and text[start - 1] == 0x3E:
            start -= 1
        if start == 0 or text[start - 1] == 0x0A:
            pieces += text[done:start], b">"
            done = start
        at = text.find(b"From ", at + 5)
    return b"".join((*pieces, text[done:]))


FORMS: Final[dict[str, Callable[[Path], Files]]] = {"maildir": Maildir, "mbox": Mbox}
