"""Shared mailboxes with Python's libraries as clients, over a whole server with workers and its writer."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator

import imapclient
import pytest

from tests.compat.senders import anyone
from tests.rig import Rig

MAIL = b"Subject: plans\r\nFrom: <alice@example.test>\r\n\r\nFor all.\r\n"


@pytest.fixture
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    accounts = [(f"{name}@example.test", f"secret-{name}") for name in ("alice", "bob")]
    with Rig(tmp_path_factory.mktemp("sharing"), accounts=accounts) as rig:
        yield rig


def client(rig: Rig, who: int) -> imapclient.IMAPClient:
    made = imapclient.IMAPClient("127.0.0.1", rig.port("imaps"), ssl_context=anyone())
    made.login(*rig.credentials(who))
    return made


def test_two_people_and_a_team(rig: Rig) -> None:
    """Rights are given while the other looks; each has his own \\Seen; a team has its mailboxes."""
    alice, bob = client(rig, 0), client(rig, 1)
    assert b"ACL" in alice.capabilities()
    spaces = bob.namespace()
    assert spaces.other == (("Other Users/", "/"),)
    assert spaces.shared == (("Shared/", "/"),)
    alice.append("INBOX", MAIL)
    theirs = "Other Users/alice/INBOX"
    with pytest.raises(imapclient.exceptions.IMAPClientError, match="NONEXISTENT"):
        bob.select_folder(theirs)
    alice.setacl("INBOX", "bob", "lrsw")
    assert sorted(alice.getacl("INBOX")) == [
        (b"alice@example.test", b"lrswipkxteacd"),
        (b"bob@example.test", b"lrsw"),
    ]
    assert theirs in [name for _flags, _delimiter, name in bob.list_folders()]
    assert bob.select_folder(theirs)[b"READ-WRITE"]
    assert bob.fetch([1], ["BODY[]"])[1][b"BODY[]"] == MAIL
    assert bob.get_flags([1]) == {1: (b"\\Seen", b"\\Recent")}
    alice.select_folder("INBOX")
    assert alice.get_flags([1]) == {1: ()}
    assert bob.folder_status(theirs, ["UNSEEN"]) == {b"UNSEEN": 0}
    assert alice.folder_status("INBOX", ["UNSEEN"]) == {b"UNSEEN": 1}

    rig.verb("account", "add", "team@example.test", "--shared")
    rig.verb("share", "set", "team@example.test", "bob", "all")
    rig.verb("share", "set", "team@example.test", "alice", "read")
    bob.copy([1], "Shared/team/INBOX")
    bob.create_folder("Shared/team/Plans/2027")
    alice.select_folder("Shared/team/INBOX", readonly=True)
    assert alice.fetch([1], ["BODY.PEEK[]"])[1][b"BODY.PEEK[]".replace(b".PEEK", b"")] == MAIL
    with pytest.raises(imapclient.exceptions.IMAPClientError, match="read-only"):
        alice.add_flags([1], [b"\\Flagged"])
    assert "Shared/team/Plans/2027" in [name for _flags, _delimiter, name in alice.list_folders("Shared/")]

    raw = imaplib.IMAP4_SSL("127.0.0.1", rig.port("imaps"), ssl_context=anyone())
    raw.login(*rig.credentials(1))
    assert raw.myrights('"Shared/team/Plans"')[1] == [b"Shared/team/Plans lrswipkxteacd"]
    rig.verb("share", "rm", "team@example.test", "alice")
    with pytest.raises(imapclient.exceptions.IMAPClientAbortError, match=r"no longer shared|EOF"):
        for _ in range(100):
            alice.noop()
    alice.shutdown()
    bob.logout()
    raw.logout()
