"""Workers, writer and supervisor as an operator meets them: kill, restart, reload, a second start, stop."""

from __future__ import annotations

import imaplib
import os
import pathlib
import signal
import smtplib
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from tests.rig import Rig

MAIL = b"From: x@remote.test\r\nSubject: %d\r\n\r\nbody\r\n"


@pytest.fixture
def rig(tmp_path: pathlib.Path) -> Iterator[Rig]:
    with Rig(tmp_path, workers=2) as running:
        yield running


def until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("the condition was never met")


def inbox(rig: Rig, address: str = "bob@example.test", password: str = "secret-b") -> int:
    client = imaplib.IMAP4("127.0.0.1", rig.port("imap"))
    client.login(address, password)
    count = int(client.select()[1][0])  # type: ignore[arg-type]
    client.logout()
    return count


def send(rig: Rig, count: int) -> None:
    with smtplib.SMTP("127.0.0.1", rig.port("smtp")) as client:
        for n in range(count):
            client.sendmail("x@remote.test", ["bob@example.test"], MAIL % n)


def test_a_killed_worker_is_replaced_and_costs_only_its_sessions(rig: Rig) -> None:
    status = rig.status()
    assert status is not None
    victim = status["workers"][0]
    os.kill(victim, signal.SIGKILL)

    def replaced() -> bool:
        now = rig.status()
        return now is not None and victim not in now["workers"] and status["workers"][1] in now["workers"]

    until(replaced)
    send(rig, 3)
    assert inbox(rig) == 3


def test_a_killed_writer_is_replaced_and_nothing_acknowledged_is_lost(rig: Rig) -> None:
    send(rig, 2)
    status = rig.status()
    assert status is not None
    os.kill(status["writer"], signal.SIGKILL)
    send(rig, 3)  # waits for the new writer
    assert inbox(rig) == 5


def test_a_restart_refuses_no_connection_and_loses_nothing(rig: Rig) -> None:
    accepted, refused, stop = [0], [0], threading.Event()
    before = rig.status()
    assert before is not None

    def keep_sending() -> None:
        number = 0
        while not stop.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", rig.port("smtp"), timeout=30) as client:
                    for _ in range(10):
                        number += 1
                        client.sendmail("x@remote.test", ["bob@example.test"], MAIL % number)
                        accepted[0] += 1
            except ConnectionRefusedError:
                refused[0] += 1
            except (smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException) as said:
                assert getattr(said, "smtp_code", 421) == 421, said
            except smtplib.SMTPRecipientsRefused as said:
                assert [code for code, _ in said.recipients.values()] == [421], said

    sender = threading.Thread(target=keep_sending)
    sender.start()
    rig.run("restart", "--dir", str(rig.directory))
    until(lambda: (now := rig.status()) is not None and not set(now["workers"]) & set(before["workers"]))
    stop.set()
    sender.join()
    after = rig.status()
    assert after is not None and after["pid"] == before["pid"]
    assert refused[0] == 0 and accepted[0] > 0
    assert inbox(rig) == accepted[0]


def test_a_reload_takes_good_settings_and_refuses_bad_ones(rig: Rig) -> None:
    def size() -> str:
        with smtplib.SMTP("127.0.0.1", rig.port("smtp")) as client:
            client.ehlo("test")
            return client.esmtp_features["size"]

    rig.run("config", "set", "smtp.size", "123456", "--dir", str(rig.directory))
    os.kill(int((rig.status() or {})["pid"]), signal.SIGHUP)
    until(lambda: all(size() == "123456" for _ in range(6)))  # every worker
    path = rig.directory / "a3mailer.toml"
    path.write_text(path.read_text() + "\n[smtp.nonsense]\nx = 1\n")
    os.kill(int((rig.status() or {})["pid"]), signal.SIGHUP)
    until(lambda: b"server.reload.refused" in rig.log.read_bytes())
    assert size() == "123456"


def test_a_second_serve_refuses_to_start(rig: Rig) -> None:
    done = rig.run("serve", str(rig.directory), check=False)
    assert done.returncode != 0 and done.stderr.strip()
    assert b"Traceback" not in done.stderr
    assert rig.status() is not None


def test_a_stop_says_goodbye_to_idle_sessions(rig: Rig) -> None:
    with socket.create_connection(("127.0.0.1", rig.port("imap"))) as client:
        client.settimeout(30)
        assert client.recv(4096).startswith(b"* OK")
        os.kill(int((rig.status() or {})["pid"]), signal.SIGTERM)
        heard = b""
        while octets := client.recv(4096):
            heard += octets
    assert heard.startswith(b"* BYE")


def test_health_says_the_truth_about_the_writer(rig: Rig) -> None:
    def ready() -> int:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{rig.port('metrics')}/healthz/ready", timeout=30
            ) as r:
                return int(r.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert ready() == 200
    writer = int((rig.status() or {})["writer"])
    os.kill(writer, signal.SIGSTOP)
    try:
        assert ready() == 503
    finally:
        os.kill(writer, signal.SIGCONT)
    until(lambda: ready() == 200)


def test_a_change_reaches_the_other_worker(rig: Rig) -> None:
    """Sessions of all workers hear of a delivery by any of them; the 50 ms are measured in bench/latency."""
    clients = []
    for _ in range(6):  # enough that both workers have some
        client = socket.create_connection(("127.0.0.1", rig.port("imap")))
        client.settimeout(30)
        reader = client.makefile("rb")
        reader.readline()
        client.sendall(b"a LOGIN bob@example.test secret-b\r\nb SELECT INBOX\r\nc IDLE\r\n")
        while not reader.readline().startswith(b"+"):
            pass
        clients.append((client, reader))
    send(rig, 1)
    for client, reader in clients:
        line = reader.readline()
        while b"EXISTS" not in line:
            assert line, "the session ended"
            line = reader.readline()
        client.close()


def test_a_parked_session_ends_when_its_password_changes(rig: Rig) -> None:
    clients = []
    for address, password in (("bob@example.test", "secret-b"), ("alice@example.test", "secret-a")):
        client = socket.create_connection(("127.0.0.1", rig.port("imap")))
        client.settimeout(30)
        reader = client.makefile("rb")
        client.sendall(
            b"a LOGIN %b %b\r\nb SELECT INBOX\r\nc IDLE\r\n" % (address.encode(), password.encode())
        )
        while not reader.readline().startswith(b"+"):
            pass
        clients.append((client, reader))
    rig.run(
        "account",
        "passwd",
        "bob@example.test",
        "--password-stdin",
        "--dir",
        str(rig.directory),
        stdin=b"new\n",
    )
    assert clients[0][1].readline().startswith(b"* BYE")
    clients[1][0].sendall(b"DONE\r\n")
    assert clients[1][1].readline().startswith(b"c OK")
    for client, _ in clients:
        client.close()


def test_idle_over_tls_is_parked_told_and_goes_on(rig: Rig) -> None:
    context = ssl._create_unverified_context()
    with (
        socket.create_connection(("127.0.0.1", rig.port("imaps"))) as raw,
        context.wrap_socket(raw) as client,
    ):
        client.settimeout(30)
        reader = client.makefile("rb")
        for round in (1, 2):
            client.sendall(
                b"a%d LOGIN bob@example.test secret-b\r\nb SELECT INBOX\r\n" % round if round == 1 else b""
            )
            client.sendall(b"c%d IDLE\r\n" % round)
            while not reader.readline().startswith(b"+"):
                pass
            send(rig, 1)
            while b"EXISTS" not in (line := reader.readline()):
                assert line
            client.sendall(b"DONE\r\n")
            while not (line := reader.readline()).startswith(b"c%d OK" % round):
                assert line
        client.sendall(b"d LOGOUT\r\n")
        while not (line := reader.readline()).startswith(b"d OK"):
            assert line
