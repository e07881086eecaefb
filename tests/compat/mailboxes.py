"""What both sides of a synchronisation hold: a mailbox behind a raw socket, and a Maildir.

Each side says it in the same words: the number on top of a mail (``post.MARK``) to the letters of its flags
as a Maildir writes them, and its octets.
"""

from __future__ import annotations

import pathlib
import re
import secrets
from collections.abc import Callable, Iterable
from typing import Final, Self

from bench.imap_client import Imap
from tests.compat.post import MARK, as_sent

LETTERS: Final = {
    b"\\Draft": "D",
    b"\\Flagged": "F",
    b"\\Answered": "R",
    b"\\Seen": "S",
    b"\\Deleted": "T",
}
FLAGS: Final = {letter: flag for flag, letter in LETTERS.items()}
_FETCHED: Final = re.compile(rb"\* \d+ FETCH \(UID (\d+) FLAGS \(([^)]*)\) BODY\[\] \{(\d+)\}\r\n")

Held = dict[int, tuple[str, bytes]]
"""Letters and octets by number."""


def number_of(mail: bytes) -> int:
    found = MARK.search(mail)
    assert found is not None, mail[:200]
    return int(found[1])


def flag_list(letters: str) -> bytes:
    """As STORE and APPEND take it."""
    return b"(%b)" % b" ".join(FLAGS[each] for each in letters)


class Far:
    """One account's mailboxes, over a connection of its own."""

    def __init__(self, port: int, login: tuple[str, str]) -> None:
        self.imap = Imap(port)
        self.imap.login(*login)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.imap.close()

    def fill(self, mails: Iterable[tuple[str, bytes]], mailbox: bytes = b"INBOX") -> None:
        """Put (letters, octets) into a mailbox by one APPEND (RFC 3502, RFC 7888)."""
        parts = (b"%b {%d+}\r\n%b" % (flag_list(flags), len(mail), mail) for flags, mail in mails)
        self.imap.command(b'APPEND "%b" %b' % (mailbox, b" ".join(parts)))

    def held(self, mailbox: bytes = b"INBOX", allowance: Callable[[bytes], bytes] = as_sent) -> Held:
        """All of a mailbox; no number is there twice."""
        found: Held = {}
        self.imap.command(b'EXAMINE "%b"' % mailbox)
        answer = self.imap.command(b"UID FETCH 1:* (UID FLAGS BODY.PEEK[])", keep=True)
        at = 0
        while match := _FETCHED.match(answer, at):
            mail = answer[match.end() : match.end() + int(match[3])]
            at = match.end() + len(mail) + len(b")\r\n")
            number = number_of(mail)
            assert number not in found, f"mail {number} is there twice"
            words = [word for word in match[2].split() if word in LETTERS]
            found[number] = "".join(sorted(LETTERS[word] for word in words)), allowance(mail)
        assert answer[at:].count(b"\r\n") == 1, answer[at : at + 200]
        return found

    def change(self, numbers: dict[int, str], mailbox: bytes = b"INBOX", *, expunge: bool = False) -> None:
        """Set the flags of mails by their numbers; ``expunge``: remove them."""
        self.imap.command(b'SELECT "%b"' % mailbox)
        uids = self.uids()
        for number, letters in numbers.items():
            self.imap.command(b"UID STORE %d FLAGS %b" % (uids[number], flag_list(letters)))
            if expunge:
                self.imap.command(b"UID EXPUNGE %d" % uids[number])

    def uids(self) -> dict[int, int]:
        """By number, of the selected mailbox."""
        answer = self.imap.command(b"UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (X-Compat)]", keep=True)
        found = re.findall(rb"FETCH \(UID (\d+) BODY\[[^\]]*\] \{\d+\}\r\nX-Compat: (\d+)", answer)
        return {int(number): int(uid) for uid, number in found}

    def modseq(self, mailbox: bytes = b"INBOX") -> bytes:
        """HIGHESTMODSEQ: unchanged when nothing was done."""
        told = self.imap.command(b'STATUS "%b" (HIGHESTMODSEQ UIDNEXT MESSAGES)' % mailbox, keep=True)
        return told[told.index(b"* STATUS") : told.rindex(b")") + 1]


class Near:
    """A Maildir that a client keeps in step."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def paths(self) -> dict[int, pathlib.Path]:
        """Of the mails, by number."""
        found: dict[int, pathlib.Path] = {}
        for part in ("new", "cur"):
            for path in (self.folder / part).iterdir():
                number = number_of(path.read_bytes())
                assert number not in found, f"mail {number} is there twice"
                found[number] = path
        return found

    def held(self, allowance: Callable[[bytes], bytes] = as_sent) -> Held:
        """All of it."""
        return {
            number: (path.name.partition(":2,")[2], allowance(path.read_bytes()))
            for number, path in self.paths().items()
        }

    def change(self, numbers: dict[int, str], *, remove: bool = False) -> None:
        """As a mail program does: the flags are in the name."""
        paths = self.paths()
        for number, letters in numbers.items():
            path = paths[number]
            if remove:
                path.unlink()
            else:
                path.rename(self.folder / "cur" / f"{path.name.partition(':')[0]}:2,{letters}")

    def add(self, mails: Iterable[tuple[str, bytes]]) -> None:
        """New mails, as a mail program files them."""
        for letters, mail in mails:
            name = f"1795000000.{secrets.token_hex(8)}.test:2,{letters}"
            (self.folder / "cur" / name).write_bytes(mail)
