"""Limits hold for the server as a whole, however many workers share the work."""

from __future__ import annotations

import contextlib
import imaplib
import pathlib
import socket
import time

from tests.rig import Rig

WITHIN = 20.0
WORKERS = 3


def greeting(rig: Rig, stack: contextlib.ExitStack) -> bytes:
    client = stack.enter_context(socket.create_connection(("127.0.0.1", rig.port("imap")), WITHIN))
    return client.recv(100)


def test_connections_of_an_address_are_counted_over_all_workers(tmp_path: pathlib.Path) -> None:
    settings = ("profile=plain", "limits.connections_per_ip=4")
    with Rig(tmp_path, workers=WORKERS, settings=settings) as rig:
        for _ in range(2):
            with contextlib.ExitStack() as stack:
                said = [greeting(rig, stack) for _ in range(12)]
                assert [each[:4] for each in said] == [b"* OK"] * 4 + [b"* BY"] * 8
            deadline = time.monotonic() + WITHIN
            while True:  # closed ones are let go
                with contextlib.ExitStack() as stack:
                    if [greeting(rig, stack)[:4] for _ in range(4)] == [b"* OK"] * 4:
                        break
                assert time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(0.2)
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                greeting(rig, stack)
            for pid in rig.wait_ready()["workers"]:
                rig.kill(pid)  # its connections are gone, and so is what it had counted
            rig.wait_ready()
            assert greeting(rig, stack).startswith(b"* OK")


def test_wrong_logins_are_counted_over_all_workers(tmp_path: pathlib.Path) -> None:
    with Rig(tmp_path, workers=WORKERS, settings=("profile=plain",)) as rig:
        for _ in range(6):
            with (
                imaplib.IMAP4("127.0.0.1", rig.port("imap")) as imap,
                contextlib.suppress(imaplib.IMAP4.error),
            ):
                imap.login(rig.accounts[0][0], "wrong")
        (record,) = rig.verb("audit", "query", "--action", "session.login")
        assert record["outcome"] == "throttled" and record["detail"]["failures"] == "6"
