"""NOTIFY (RFC 5465) over a whole server: what others do is told to who waits, whichever worker has whom."""

from __future__ import annotations

import contextlib
import imaplib
import pathlib
import re
import smtplib
from collections.abc import Callable, Iterator

import pytest

from tests.rig import Rig

MAIL = b"From: x@remote.test\r\nSubject: news\r\n\r\nbody\r\n"
EVENTS = b"MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange"


@pytest.fixture
def rig(tmp_path: pathlib.Path) -> Iterator[Rig]:
    with Rig(tmp_path, workers=2) as running:
        yield running


@pytest.fixture
def client(rig: Rig) -> Iterator[Callable[[int], imaplib.IMAP4]]:
    with contextlib.ExitStack() as opened:

        def of(who: int) -> imaplib.IMAP4:
            made = imaplib.IMAP4("127.0.0.1", rig.port("imap"), timeout=30)
            opened.callback(made.shutdown)
            made.login(*rig.credentials(who))
            return made

        yield of


class Watcher:
    """Says a line, waits for a line; nothing is taken out of what comes."""

    def __init__(self, client: imaplib.IMAP4) -> None:
        self.client = client

    def command(self, line: bytes) -> None:
        self.client.send(b"w " + line + b"\r\n")
        self.until(rb"w OK .*")

    def until(self, pattern: bytes) -> bytes:
        """The next line that is such; what comes before it is passed over."""
        while True:
            line = self.client.readline().rstrip(b"\r\n")
            assert line, "the server went"
            assert not line.startswith((b"w NO", b"w BAD")), line
            if re.fullmatch(pattern, line):
                return line


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "between commands"])
def test_who_waits_is_told_of_mailboxes_that_are_not_selected(
    rig: Rig, client: Callable[[int], imaplib.IMAP4], idle: bool
) -> None:
    watcher = Watcher(client(1))
    watcher.command(b"CREATE Elsewhere")
    watcher.command(b"SELECT Elsewhere")
    watcher.command(b"NOTIFY SET (selected (MessageNew MessageExpunge)) (personal (" + EVENTS + b"))")
    if idle:
        watcher.client.send(b"i IDLE\r\n")
        watcher.until(rb"\+ .*")
    with smtplib.SMTP("127.0.0.1", rig.port("smtp")) as sender:
        sender.sendmail("x@remote.test", ["bob@example.test"], MAIL)
    told = watcher.until(rb"\* STATUS INBOX .*MESSAGES 1.*")
    assert b"UIDNEXT 2" in told
    actors = [client(1) for _ in range(4)]  # enough that workers share them
    for number, actor in enumerate(actors):
        name = b"Made%d" % number
        actor.create(name.decode())
        assert watcher.until(rb"\* LIST \(.*\) \"/\" " + name)
        actor.subscribe(name.decode())
        assert b"\\Subscribed" in watcher.until(rb"\* LIST \(.*\) \"/\" " + name)
        actor.append("INBOX", "", imaplib.Time2Internaldate(0), MAIL)
        assert watcher.until(rb"\* STATUS INBOX .*MESSAGES %d.*" % (number + 2))
        actor.append("Elsewhere", "", imaplib.Time2Internaldate(0), MAIL)
        assert watcher.until(rb"\* %d EXISTS" % (number + 1))
        actor.select("INBOX")
        actor.store("1", "+FLAGS", r"(\Seen)" if number % 2 == 0 else r"(\Flagged)")
    actor.store("1:*", "+FLAGS", r"(\Deleted)")
    actor.expunge()
    assert watcher.until(rb"\* STATUS INBOX .*MESSAGES 0.*")
    actor.rename("Made0", "Making")
    assert watcher.until(rb"\* LIST \(.*\) \"/\" Making \(\"?OLDNAME\"? \(Made0\)\)")
    if idle:
        watcher.client.send(b"DONE\r\n")
        watcher.until(rb"i OK .*")
    watcher.command(b"NOTIFY NONE")


def test_who_reads_anothers_mailbox_is_told_of_it_until_it_is_taken_back(
    client: Callable[[int], imaplib.IMAP4],
) -> None:
    owner = client(0)
    owner.setacl("INBOX", "bob@example.test", "lr")
    watcher = Watcher(client(1))
    watcher.command(b'NOTIFY SET (subtree "Other Users" (' + EVENTS + b"))")
    owner.append("INBOX", "", imaplib.Time2Internaldate(0), MAIL)
    watcher.until(rb'\* STATUS "Other Users/alice/INBOX" .*MESSAGES 1.*')
    owner.deleteacl("INBOX", "bob@example.test")
    assert b"\\NonExistent" in watcher.until(rb'\* LIST \(.*\) "/" "Other Users/alice/INBOX".*')
