"""Python's IMAP libraries as clients: imaplib, imapclient and aioimaplib, each a session told in full."""

from __future__ import annotations

import asyncio
import datetime
import imaplib
import poplib
import re
from collections.abc import Iterator
from typing import Any, Final

import aioimaplib
import imapclient
import pytest

from tests.compat.mailboxes import Far
from tests.compat.senders import anyone
from tests.rig import Rig

NAMES: Final = ("imaplib", "imapclient", "aioimaplib", "poplib")
WAIT_SECONDS: Final = 30
LUNCH: Final = (
    b"X-Compat: 1\r\nFrom: =?utf-8?q?B=C3=B6b?= <bob@example.test>\r\n"
    b"To: alice@example.test, carol@example.test\r\n"
    b"Subject: lunch?\r\nDate: Mon, 23 Nov 2026 09:00:00 +0100\r\n"
    b"Message-ID: <1@example.test>\r\n\r\nAt noon?\r\n"
)
REPLY: Final = (
    b"X-Compat: 2\r\nFrom: alice@example.test\r\nTo: bob@example.test\r\nSubject: Re: lunch?\r\n"
    b"In-Reply-To: <1@example.test>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xe5\xa5\xbd\r\n"
    b"--b\r\nContent-Type: application/pdf; name=menu.pdf\r\nContent-Transfer-Encoding: base64\r\n"
    b"\r\nJVBERi0=\r\n"
    b"--b--\r\n"
)
THIRD: Final = b"X-Compat: 3\r\nSubject: third\r\n\r\n\r\n"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One server; each test has an account of its own."""
    accounts = [(f"{name}@example.test", f"secret-{name}") for name in NAMES]
    with Rig(tmp_path_factory.mktemp("libraries"), accounts=accounts) as rig:
        yield rig


def test_imaplib(rig: Rig) -> None:
    """Every command it has that we know."""
    client = imaplib.IMAP4("127.0.0.1", rig.port("imap"))
    client.starttls(anyone())
    client.login(*rig.credentials(0))
    assert {"IMAP4REV1", "UIDPLUS", "MOVE"} <= set(client.capability()[1][0].decode().upper().split())
    assert client.enable("CONDSTORE")[0] == "OK"
    assert client.create("Work/2026")[0] == "OK"
    assert client.list('""', "Work*")[1] == [
        b'(\\HasChildren) "/" Work',
        b'(\\HasNoChildren) "/" Work/2026',
    ]
    day = '"23-Nov-2026 09:30:00 +0100"'
    typ, _ = client.append("Work/2026", "(\\Flagged)", day, LUNCH)
    assert typ == "OK"
    client.append("Work/2026", "", None, REPLY)
    assert client.select("Work/2026") == ("OK", [b"2"])
    assert client.response("UIDNEXT") == ("UIDNEXT", [b"3"])
    assert client.fetch("1", "(UID RFC822.SIZE FLAGS INTERNALDATE)") == (
        "OK",
        [
            b'1 (UID 1 RFC822.SIZE %d FLAGS (\\Flagged \\Recent) INTERNALDATE "23-Nov-2026 08:30:00 +0000")'
            % len(LUNCH)
        ],
    )
    first, seen, second, too = client.fetch("1:2", "(RFC822)")[1]
    assert (first, second) == (
        (b"1 (RFC822 {%d}" % len(LUNCH), LUNCH),
        (b"2 (RFC822 {%d}" % len(REPLY), REPLY),
    )
    assert isinstance(seen, bytes)
    assert isinstance(too, bytes)
    assert re.fullmatch(rb" FLAGS \(\\Seen \\Flagged \\Recent\) MODSEQ \(\d+\)\)", seen)  # CONDSTORE is on
    assert re.fullmatch(rb" FLAGS \(\\Seen \\Recent\) MODSEQ \(\d+\)\)", too)
    assert client.uid("FETCH", "2", "(BODY.PEEK[2])")[1] == [
        (b"2 (UID 2 BODY[2] {8}", b"JVBERi0="),
        b")",
    ]
    assert client.search(None, "SUBJECT", '"lunch"', "SINCE", "23-Nov-2026") == ("OK", [b"1 2"])
    assert client.search(None, "FROM", "bob") == ("OK", [b"1"])
    _, (answer,) = client.store("1", "+FLAGS", "(\\Answered work)")
    told = rb"1 \(FLAGS \(\\Seen \\Answered \\Flagged \\Recent work\) MODSEQ \(\d+\)\)"
    assert re.fullmatch(told, answer or b"")
    assert client.copy("1", "INBOX")[0] == "OK"
    assert client.status("INBOX", "(MESSAGES UNSEEN UIDNEXT)")[1] == [
        b"INBOX (MESSAGES 1 UNSEEN 0 UIDNEXT 2)"
    ]
    assert client.rename("Work/2026", "Work/old")[0] == "OK"
    assert client.subscribe("Work/old")[0] == "OK"
    assert b'"/" Work/old' in b"".join(client.lsub('""', "*")[1])  # type: ignore[arg-type]
    assert client.store("1:2", "+FLAGS.SILENT", "\\Deleted")[0] == "OK"
    assert client.expunge() == ("OK", [b"2", b"1"])
    assert client.getquotaroot("INBOX")[0] == "OK"
    assert client.namespace()[1] == [b'(("" "/")) (("Other Users/" "/")) (("Shared/" "/"))']
    assert client.noop()[0] == client.check()[0] == client.unselect()[0] == "OK"
    assert client.delete("Work/old")[0] == "OK"
    with pytest.raises(imaplib.IMAP4.error):
        client.uid("FETCH", "1", "(FLAGS)")
    assert client.logout()[0] == "BYE"
    with Far(rig.port("imap"), rig.credentials(0)) as far:
        assert far.held() == {1: ("FRS", LUNCH)}


def test_imapclient(rig: Rig) -> None:
    """What it understands of our answers, parsed by it."""
    moment = datetime.datetime(2026, 11, 23, 9, 30, tzinfo=datetime.UTC)
    with imapclient.IMAPClient("127.0.0.1", port=rig.port("imaps"), ssl_context=anyone()) as client:
        client.normalise_times = False
        client.login(*rig.credentials(1))
        client.enable("CONDSTORE")
        client.create_folder("\u65c5\u884c/2026")
        assert client.find_special_folder(b"\\Sent") == "Sent"
        assert [(flags, name) for flags, _, name in client.list_folders("", "\u65c5*")] == [
            ((b"\\HasChildren",), "\u65c5\u884c"),
            ((b"\\HasNoChildren",), "\u65c5\u884c/2026"),
        ]
        client.append("INBOX", LUNCH, [imapclient.FLAGGED], moment)
        client.append("INBOX", REPLY)
        client.multiappend("INBOX", [THIRD, THIRD])
        opened = client.select_folder("INBOX")
        assert (opened[b"EXISTS"], opened[b"UIDNEXT"], opened[b"READ-WRITE"]) == (4, 5, True)
        assert client.search(["SUBJECT", "lunch", "NOT", "FROM", "alice"]) == [1]
        assert client.search(["SUBJECT", "\u65c5"], "UTF-8") == []
        found = client.fetch(
            [1, 2], ["ENVELOPE", "BODYSTRUCTURE", "INTERNALDATE", "RFC822.SIZE", "BODY.PEEK[]"]
        )
        check_parsed(found[1], found[2])
        assert client.add_flags([2], [imapclient.ANSWERED, "work"]) == {
            2: (b"\\Answered", b"\\Recent", b"work")
        }
        assert client.remove_flags([1], [imapclient.FLAGGED]) == {1: (b"\\Recent",)}
        assert client.get_flags([1, 2]) == {1: (b"\\Recent",), 2: (b"\\Answered", b"\\Recent", b"work")}
        changed = client.fetch([1, 2, 3, 4], ["FLAGS"], [f"CHANGEDSINCE {opened[b'HIGHESTMODSEQ']}"])
        assert {uid: found[b"FLAGS"] for uid, found in changed.items()} == {
            1: (b"\\Recent",),
            2: (b"\\Answered", b"\\Recent", b"work"),
        }
        client.idle()
        with Far(rig.port("imap"), rig.credentials(1)) as far:
            far.imap.command(b"SELECT INBOX")
            far.imap.command(b"STORE 3 +FLAGS (\\Seen)")
            assert [each[:2] for each in client.idle_check(WAIT_SECONDS)] == [(3, b"FETCH")]
            client.idle_done()
        client.move([1], "\u65c5\u884c/2026")
        client.copy([2], "Trash")
        client.delete_messages([2, 3])
        client.uid_expunge([2])
        client.unselect_folder()
        assert client.folder_status("INBOX", ["MESSAGES", "UNSEEN"]) == {b"MESSAGES": 2, b"UNSEEN": 1}
        client.rename_folder("\u65c5\u884c/2026", "\u65c5\u884c/1")
        assert client.folder_exists("\u65c5\u884c/1") and not client.folder_exists("\u65c5\u884c/2026")
    with Far(rig.port("imap"), rig.credentials(1)) as far:
        assert far.held(b"Trash") == {2: ("R", REPLY)}
        assert far.held(b"&ZcWITA-/1") == {1: ("", LUNCH)}


def check_parsed(lunch: dict[bytes, Any], reply: dict[bytes, Any]) -> None:
    """The fields of ENVELOPE and BODYSTRUCTURE, by imapclient's own reading."""
    assert (lunch[b"BODY[]"], reply[b"BODY[]"]) == (LUNCH, REPLY)
    assert (lunch[b"RFC822.SIZE"], reply[b"RFC822.SIZE"]) == (len(LUNCH), len(REPLY))
    assert lunch[b"INTERNALDATE"] == datetime.datetime(2026, 11, 23, 9, 30, tzinfo=datetime.UTC)
    one, two = lunch[b"ENVELOPE"], reply[b"ENVELOPE"]
    assert (one.subject, one.message_id, two.in_reply_to) == (
        b"lunch?",
        b"<1@example.test>",
        b"<1@example.test>",
    )
    assert [str(each) for each in one.from_] == ["=?utf-8?q?B=C3=B6b?= <bob@example.test>"]
    assert [str(each) for each in one.to] == ["alice@example.test", "carol@example.test"]
    assert lunch[b"BODYSTRUCTURE"][:8] == (
        b"text",
        b"plain",
        (b"charset", b"us-ascii"),
        None,
        None,
        b"7bit",
        10,
        1,
    )
    parts, kind, parameters, *_ = reply[b"BODYSTRUCTURE"]
    assert (kind, parameters) == (b"mixed", (b"boundary", b"b"))
    assert [(part[0], part[1], part[5], part[6]) for part in parts] == [
        (b"text", b"plain", b"7bit", 3),
        (b"application", b"pdf", b"base64", 8),
    ]


async def test_aioimaplib(rig: Rig) -> None:
    """A session that waits in IDLE while another one adds a mail."""
    client = aioimaplib.IMAP4_SSL("127.0.0.1", rig.port("imaps"), ssl_context=anyone())
    await client.wait_hello_from_server()
    assert (await client.login(*rig.credentials(2))).result == "OK"
    assert (await client.append(LUNCH, "INBOX", flags="\\Flagged")).result == "OK"
    assert (await client.select("INBOX")).lines[0] == b"1 EXISTS"
    waiting = await client.idle_start(timeout=WAIT_SECONDS)
    with Far(rig.port("imap"), rig.credentials(2)) as far:
        await asyncio.to_thread(far.fill, [("S", REPLY)])
        assert await client.wait_server_push() == [b"2 EXISTS", b"2 RECENT"]
        client.idle_done()
        assert (await asyncio.wait_for(waiting, WAIT_SECONDS)).result == "OK"
        answer = await client.uid("fetch", "1:*", "(FLAGS BODY.PEEK[])")
        assert answer.lines[:-1] == [
            b"1 FETCH (UID 1 FLAGS (\\Flagged \\Recent) BODY[] {%d}" % len(LUNCH),
            bytearray(LUNCH),
            b")",
            b"2 FETCH (UID 2 FLAGS (\\Seen \\Recent) BODY[] {%d}" % len(REPLY),
            bytearray(REPLY),
            b")",
        ]
        assert (await client.uid_search("FLAGGED")).lines[0] == b"1"
        assert (await client.store("1", "+FLAGS", "\\Deleted")).lines[
            0
        ] == b"1 FETCH (FLAGS (\\Flagged \\Deleted \\Recent))"
        assert (await client.expunge()).lines[0] == b"1 EXPUNGE"
        assert (await client.uid("move", "2", "Archive")).result == "OK"
        assert (await client.logout()).result == "OK"
        assert far.held() == {}
        assert far.held(b"Archive") == {2: ("S", REPLY)}


def test_poplib(rig: Rig) -> None:
    """Every command it has that we know; what it deletes is gone for IMAP, too."""
    with Far(rig.port("imap"), rig.credentials(3)) as far:
        far.fill([("", LUNCH), ("S", REPLY), ("", THIRD)])
        client = poplib.POP3("127.0.0.1", rig.port("pop3"))
        assert {"STLS", "TOP", "UIDL", "PIPELINING"} <= set(client.capa())
        client.stls(anyone())
        client.user(rig.credentials(3)[0])
        client.pass_(rig.credentials(3)[1])
        sizes = [len(mail) for mail in (LUNCH, REPLY, THIRD)]
        assert client.stat() == (3, sum(sizes))
        assert client.list()[1] == [b"%d %d" % pair for pair in enumerate(sizes, 1)]
        names = [line.split()[1] for line in client.uidl()[1]]
        assert len(set(names)) == 3 and client.uidl(2).split()[2] == names[1]
        assert b"\r\n".join([*client.retr(2)[1], b""]) == REPLY
        assert client.top(1, 0)[1] == [*LUNCH.partition(b"\r\n\r\n")[0].split(b"\r\n"), b""]
        client.dele(1)
        client.dele(3)
        client.rset()
        client.dele(1)
        with pytest.raises(poplib.error_proto):
            client.retr(1)
        assert client.noop() and client.quit()
        assert far.held() == {2: ("S", REPLY), 3: ("", THIRD)}
        client = poplib.POP3_SSL("127.0.0.1", rig.port("pop3s"), context=anyone())
        client.user(rig.credentials(3)[0])
        client.pass_(rig.credentials(3)[1])
        assert [line.split()[1] for line in client.uidl()[1]] == names[1:]
        client.quit()
