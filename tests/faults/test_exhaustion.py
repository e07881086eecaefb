"""Disk, inodes, descriptors, memory run out: 452 or 421, reading and deleting work, recovery by itself."""

import contextlib
import pathlib
import resource
import socket
import time
from collections.abc import Iterator

import pytest

from a3mailer.testing.faults.disk import loop_disk
from a3mailer.testing.faults.limits import limited
from bench.imap_client import Failed, Imap
from tests.faults import ledger, mailboxes
from tests.faults.checkup import Checkup
from tests.faults.senders import Mail, Wire
from tests.rig import Rig

BODY = b"0123456789abcdef" * 4 + b"\r\n"
LARGE = 20_000  # lines: 1.3 MB
ROOM_SECONDS = 0.6
"""A look at the free space is believed for half a second."""
RECOVER_SECONDS = 20.0
REPLY_SECONDS = 40.0
"""More than the store waits for a writer that died."""
SETTINGS = ("profile=plain", "limits.profile=off")
TEMPORARY = (421, 431, 451, 452)


class Sender:
    """Sends ledger mails one by one; the reply codes."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.book = ledger.Ledger()
        self._count = 0

    def send(self, lines: int = 50) -> int:
        self._count += 1
        name = f"mail-{self._count}"
        recipient = self.rig.accounts[self._count % 2][0]
        mail = Mail(name, recipient, ledger.content(name, BODY * lines))
        try:
            with contextlib.closing(Wire(self.rig.port("smtp"), REPLY_SECONDS)) as wire:
                outcome, code = wire.send(recipient, mail.octets)
            mail.hear(outcome)
        except (OSError, ValueError):
            code = 421  # the greeting was a refusal, or the door was shut
        self.book.write(mail.attempt())
        return code

    def until_refused(self, lines: int, most: int) -> int:
        for _ in range(most):
            if (code := self.send(lines)) != 250:
                return code
        return 250

    def until_accepted(self) -> None:
        deadline = time.monotonic() + RECOVER_SECONDS
        while self.send() != 250:
            assert time.monotonic() < deadline, self.rig.log_tail()
            time.sleep(0.2)


def reads_and_deletes(rig: Rig) -> None:
    """Every stored mail can be fetched, and one can be expunged, while the disk is full."""
    client = Imap(rig.port("imap"))
    client.login(*rig.accounts[0])
    exists = client.select()["exists"]
    assert len(list(client.fetch_bodies(exists))) == exists > 0
    client.command(b"STORE 1 +FLAGS.SILENT (\\Deleted)")
    client.command(b"EXPUNGE")
    assert client.select()["exists"] == exists - 1
    client.close()


def faultless(rig: Rig, sender: Sender) -> None:
    sound(rig)
    judgement = mailboxes.judge(rig, sender.book)
    assert judgement.faultless, str(judgement)
    assert not judgement.deferred_kept, str(judgement)


def sound(rig: Rig) -> None:
    """The doctor finds nothing."""
    checkup = Checkup(rig.directory)
    checkup.look("exhaustion")
    assert not checkup.findings


def prepare(rig: Rig) -> Sender:
    """Twenty mails, and one that is to be deleted and is not the ledger's."""
    client = Imap(rig.port("imap"))
    client.login(*rig.accounts[0])
    client.append(b"INBOX", b"Subject: to be deleted\r\n\r\nx\r\n")
    client.close()
    sender = Sender(rig)
    for _ in range(20):
        assert sender.send() == 250
    return sender


def recovers(rig: Rig, sender: Sender) -> None:
    """By itself, and what it says then is still so after a new start."""
    sender.until_accepted()
    faultless(rig, sender)
    assert rig.stop() == 0
    rig.start()
    faultless(rig, sender)


@pytest.mark.parametrize("what", ["octets", "inodes"])
def test_a_disk_is_nearly_full(shared_folder: pathlib.Path, what: str) -> None:
    """The reserve (``store.reserve_percent``) refuses early, so that reading and deleting still work."""
    with loop_disk(shared_folder, 600, inodes=400) as disk:
        rig = Rig(disk.folder, workers=2)
        try:
            rig.start()
            sender = prepare(rig)
            if what == "inodes":
                disk.fill_inodes()
            else:
                disk.fill(leave=1 << 20)
            time.sleep(ROOM_SECONDS)
            assert sender.until_refused(50, 5) == 452
            reads_and_deletes(rig)
            disk.relieve()
            recovers(rig, sender)
        finally:
            rig.close()


def test_a_disk_is_full(shared_folder: pathlib.Path) -> None:
    """Without a reserve: the kernel itself says ENOSPC to segments and database, amid transactions."""
    with loop_disk(shared_folder, 300) as disk:
        rig = Rig(disk.folder, workers=2, settings=(*SETTINGS, "store.reserve_percent=0"))
        try:
            rig.start()
            sender = prepare(rig)
            disk.fill(leave=256 * 1024)
            assert sender.until_refused(LARGE, 200) in TEMPORARY
            for _ in range(20):
                assert sender.send(2000) in (*TEMPORARY, 250)
            client = Imap(rig.port("imap"))
            client.login(*rig.accounts[0])
            exists = client.select()["exists"]
            assert len(list(client.fetch_bodies(exists))) == exists > 0
            client.close()
            disk.relieve()
            recovers(rig, sender)
        finally:
            rig.close()


def test_no_descriptors(tmp_path: pathlib.Path) -> None:
    """New connections are told 421, who is in goes on; then all is as before."""
    with Rig(tmp_path, workers=1) as rig, contextlib.ExitStack() as clients:
        sender = prepare(rig)
        inside = Imap(rig.port("imap"))
        clients.callback(inside.close)
        inside.login(*rig.accounts[0])
        exists = inside.select()["exists"]
        wire = Wire(rig.port("smtp"))
        clients.callback(wire.close)

        def limit(pid: int) -> int:
            return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())) + 8

        with limited(rig.pids(), resource.RLIMIT_NOFILE, limit), contextlib.ExitStack() as crowd:
            for _ in range(20):
                greeting(rig, "imap", crowd)
            assert greeting(rig, "imap", crowd).startswith(b"* BYE ")
            assert greeting(rig, "smtp", crowd).startswith(b"421 ")
            with pytest.raises(
                Failed, match="UNAVAILABLE"
            ):  # the segment was not open yet: that is no damage
                list(inside.fetch_bodies(exists))
            mail = Mail("inside", rig.accounts[0][0], ledger.content("inside", BODY * 50))
            outcome, code = wire.send(mail.recipient, mail.octets)
            mail.hear(outcome)
            sender.book.write(mail.attempt())
            assert code in (250, *TEMPORARY)
            crowd.close()
            while len(list(fetched(inside, exists))) < exists:
                time.sleep(0.05)
        recovers(rig, sender)


def fetched(client: Imap, exists: int) -> Iterator[tuple[int, bytes]]:
    """What can be fetched now."""
    with contextlib.suppress(Failed):
        yield from client.fetch_bodies(exists)


def greeting(rig: Rig, listener: str, crowd: contextlib.ExitStack) -> bytes:
    """Connect and stay."""
    sock = crowd.enter_context(socket.create_connection(("127.0.0.1", rig.port(listener)), 15))
    return sock.recv(200)


def test_no_memory(tmp_path: pathlib.Path) -> None:
    """A large mail finds no memory: it is refused for now, and who is in goes on."""
    with Rig(tmp_path, workers=1) as rig:
        sender = prepare(rig)
        inside = Imap(rig.port("imap"))
        inside.login(*rig.accounts[0])
        exists = inside.select()["exists"]
        before = rig.pids()

        def limit(pid: int) -> int:
            pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[0])
            return pages * resource.getpagesize() + (2 << 20)

        with limited(rig.pids()[1:], resource.RLIMIT_AS, limit):
            codes = [sender.send(LARGE * 10) for _ in range(3)]
            assert set(codes) <= set(TEMPORARY)
            assert len(list(inside.fetch_bodies(exists))) == exists
        inside.close()
        assert rig.pids() == before
        recovers(rig, sender)


@pytest.mark.parametrize("lines", [50, LARGE])
@pytest.mark.parametrize(
    "supervisor",
    [pytest.param(False, id="replaced"), pytest.param(True, marks=pytest.mark.long, id="not-replaced")],
)
def test_a_write_is_cut_short(tmp_path: pathlib.Path, lines: int, supervisor: bool) -> None:
    """RLIMIT_FSIZE makes real short writes (then EFBIG), which strace cannot.

    With the supervisor limited too, a writer that died of it cannot come back: only then a mail may be kept
    that its sender was told to send later."""
    with Rig(tmp_path, workers=1) as rig:
        sender = prepare(rig)
        pids = rig.pids() if supervisor else rig.pids()[1:]
        with limited(pids, resource.RLIMIT_FSIZE, lambda _pid: 100_001):
            codes = [sender.send(lines) for _ in range(4)]
        assert set(codes) <= {250, *TEMPORARY}
        sender.until_accepted()
        sound(rig)
        judgement = mailboxes.judge(rig, sender.book)
        assert judgement.faultless, str(judgement)
        assert supervisor or not judgement.deferred_kept, str(judgement)
