"""The disk is full while mails are indexed: nothing is lost, searches are right, and it goes on by itself."""

import contextlib
import os
import pathlib
import signal
import time
from typing import Any

from a3mailer.testing.faults.disk import loop_disk
from bench.imap_client import Imap
from tests.faults.test_exhaustion import SETTINGS, sound
from tests.rig import Rig

WAIT_SECONDS = 60.0
WORD = b"subterranean"
MAILS = 30


def indexer(rig: Rig) -> int:
    """The process that makes the index: the only one that holds its lock's file."""
    while not (held := holders(rig)):
        time.sleep(0.05)
    assert len(held) == 1
    return held[0]


def holders(rig: Rig) -> list[int]:
    return [
        pid
        for pid in rig.pids()
        if any(
            os.path.realpath(one).endswith("indexer.lock")
            for one in pathlib.Path(f"/proc/{pid}/fd").iterdir()
        )
    ]


def status(rig: Rig) -> dict[str, Any]:
    found: dict[str, Any] = rig.verb("search", "status")
    return found


def until(rig: Rig, indexed: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while status(rig)["indexed"] != indexed:
        assert time.monotonic() < deadline, rig.log_tail()
        time.sleep(0.5)


def finds(rig: Rig, count: int) -> None:
    """All of them, whatever the index knows."""
    client = Imap(rig.port("imap"))
    client.login(*rig.accounts[0])
    client.select()
    answer = client.command(b"SEARCH TEXT " + WORD, keep=True)
    (line,) = [line for line in answer.split(b"\r\n") if line.startswith(b"* SEARCH")]
    assert len(line.split()) - 2 == count
    client.close()


def test_a_disk_is_full_while_mails_are_indexed(shared_folder: pathlib.Path) -> None:
    """Without a reserve: the kernel itself says ENOSPC. What is not indexed is read by who searches."""
    with loop_disk(shared_folder, 300) as disk:
        rig = Rig(disk.folder, workers=1, settings=(*SETTINGS, "store.reserve_percent=0"))
        rig.log = shared_folder / "serve.log"  # the disk will have no room for it
        pid = 0
        try:
            rig.start()
            pid = indexer(rig)
            os.kill(pid, signal.SIGSTOP)
            client = Imap(rig.port("imap"))
            client.login(*rig.accounts[0])
            for number in range(MAILS):
                client.append(b"INBOX", b"Subject: %d\r\n\r\nthe %s river\r\n" % (number, WORD))
            client.close()
            disk.fill()
            os.kill(pid, signal.SIGCONT)
            deadline = time.monotonic() + WAIT_SECONDS
            while "search.index.put_off" not in rig.log_tail(20_000):
                assert time.monotonic() < deadline, (rig.log_tail(), status(rig))
                time.sleep(0.5)
            said = status(rig)
            assert (said["indexed"], said["behind"]) == (0, 1)
            finds(rig, MAILS)
            assert not list((rig.directory / "texts").rglob("*.new"))
            disk.relieve()
            until(rig, MAILS)
            finds(rig, MAILS)
            assert indexer(rig) == pid
            assert "task.failed" not in rig.log_tail(100_000)
            sound(rig)
        finally:
            with contextlib.suppress(ProcessLookupError):
                if pid:
                    os.kill(pid, signal.SIGCONT)
            rig.close()
