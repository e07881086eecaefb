"""Scripts hear of what clients do by IMAP (RFC 6785) on a whole server: workers, writer, SQLite."""

from __future__ import annotations

import imaplib
import pathlib

from tests.compat.senders import anyone
from tests.compat.test_filtering import put
from tests.compat.test_relay import until
from tests.rig import Rig

ALICE, BOB = "alice@example.test", "bob@example.test"
SCRIPT = """require ["imapsieve", "environment", "imap4flags", "fileinto", "mailbox", "copy", "variables"];
if environment :matches "imap.cause" "*" { set "cause" "${1}"; }
if environment :matches "imap.user" "*@*" { set "who" "${1}"; }
if environment :contains "imap.changedflags" "\\\\Flagged" { fileinto :copy :create "Starred"; }
elsif header "subject" "rubbish" { discard; stop; }
if not hasflag "$Heard-${cause}-${who}" { addflag "$Heard-${cause}-${who}"; }
"""


def client(rig: Rig, who: int) -> imaplib.IMAP4_SSL:
    made = imaplib.IMAP4_SSL("127.0.0.1", rig.port("imaps"), ssl_context=anyone())
    made.login(*rig.credentials(who))
    return made


def ok(answer: tuple[str, list[bytes | None]]) -> bytes:
    """What was said, of a command that succeeded."""
    assert answer[0] == "OK", answer
    return b" ".join(each for each in answer[1] if each)


def name_script(imap: imaplib.IMAP4, mailbox: str, script: str) -> None:
    ok(imap.xatom("SETMETADATA", mailbox, f'(/shared/imapsieve/script "{script}")'))


def append(imap: imaplib.IMAP4, mailbox: str, subject: str) -> None:
    ok(imap.append(mailbox, "", "", f"Subject: {subject}\r\n\r\nHello\r\n".encode()))  # type: ignore[arg-type]


def flags(imap: imaplib.IMAP4, number: int) -> set[bytes]:
    (told,) = imap.fetch(str(number), "(FLAGS)")[1]
    assert isinstance(told, bytes)
    return {flag for flag in imaplib.ParseFlags(told) if flag != b"\\Recent"}


def test_scripts_hear_of_imap(tmp_path: pathlib.Path) -> None:
    """Set by METADATA on one connection, heard on another; a restart forgets nothing."""
    with Rig(tmp_path, workers=2) as rig:
        put(rig, ALICE, "keep;\r\n", tmp_path)
        script = tmp_path / "events.sieve"
        script.write_text(SCRIPT)
        rig.verb("sieve", "put", ALICE, "events", str(script))
        one, other = client(rig, 0), client(rig, 0)
        announced = f"IMAPSIEVE=sieve://{rig.hostname}:{rig.port('managesieve')}"
        assert announced.upper().encode() in ok(one.capability()).upper().split()
        append(other, "INBOX", "early")  # the other knows by now that nothing is named
        name_script(one, "INBOX", "events")
        other.select("INBOX")

        def heard() -> bool:
            """A worker hears of an annotation a moment later than the one that put it there."""
            append(other, "INBOX", "appended")
            return flags(other, int(ok(other.select("INBOX")))) == {b"$Heard-APPEND-alice"}

        until(heard, rig)
        assert flags(other, 1) == set()
        ok(other.store("1", "+FLAGS", r"(\Flagged)"))
        assert flags(other, 1) == {b"\\Flagged", b"$Heard-FLAG-alice"}
        assert b"(MESSAGES 1)" in ok(other.status("Starred", "(MESSAGES)"))
        ok(other.copy("1", "INBOX"))
        last = int(ok(other.select("INBOX")))
        assert flags(other, last) == {b"\\Flagged", b"$Heard-FLAG-alice", b"$Heard-COPY-alice"}
        append(other, "INBOX", "rubbish")
        last = int(ok(other.select("INBOX")))
        assert flags(other, last) == {b"\\Deleted"}

        # another's copy runs the script of the mailbox's owner
        ok(one.setacl("INBOX", BOB, "lrswi"))
        guest = client(rig, 1)
        append(guest, '"Other Users/alice/INBOX"', "theirs")
        last = int(ok(other.select("INBOX")))
        assert flags(other, last) == {b"$Heard-APPEND-bob"}

        # it still does behind a restart, and until the annotation goes
        for each in (one, other, guest):
            each.logout()
        rig.stop()
        rig.start()
        one = client(rig, 0)
        append(one, "INBOX", "again")
        last = int(ok(one.select("INBOX")))
        assert flags(one, last) == {b"$Heard-APPEND-alice"}
        ok(one.unselect())
        ok(one.xatom("SETMETADATA", "INBOX", "(/shared/imapsieve/script NIL)"))
        append(one, "INBOX", "unheard")
        last = int(ok(one.select("INBOX")))
        assert flags(one, last) == set()
        one.logout()
