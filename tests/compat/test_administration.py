"""The command line against the running server: what it changes holds at every door, in every worker."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import imaplib
import json
import os
import pathlib
import shutil
import signal
import smtplib
import ssl
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rig import Rig
from tests.unit.identity.scram_client import ScramClient

ALICE = ("alice@example.test", "secret-a")
WITHIN = 5.0
"""Seconds in which a change must hold everywhere; the hint takes milliseconds."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("administration"), workers=2) as rig:
        yield rig


def logs_in(rig: Rig, address: str, password: str) -> bool:
    with imaplib.IMAP4("127.0.0.1", rig.port("imap")) as imap:
        try:
            imap.login(address, password)
        except imaplib.IMAP4.error:
            return False
        return True


def holds(rig: Rig, expected: bool, address: str, password: str) -> bool:
    """Every one of several new connections (they meet both workers) agrees, soon."""
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        if all(logs_in(rig, address, password) is expected for _ in range(6)):
            return True
    return False


def send(rig: Rig, recipient: str, subject: str) -> None:
    head = f"Message-ID: <{subject.replace(' ', '.')}@elsewhere.test>\r\n"
    with smtplib.SMTP("127.0.0.1", rig.port("smtp")) as smtp:
        smtp.sendmail("x@elsewhere.test", [recipient], f"{head}Subject: {subject}\r\n\r\nbody\r\n")


def subjects(rig: Rig, address: str, password: str) -> list[bytes]:
    with imaplib.IMAP4("127.0.0.1", rig.port("imap")) as imap:
        imap.login(address, password)
        if imap.select("INBOX", readonly=True)[1] == [b"0"]:
            return []
        found = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        return sorted(p[1].strip().removeprefix(b"Subject: ") for p in found if isinstance(p, tuple))


def test_accounts_and_passwords(rig: Rig) -> None:
    rig.run(
        "account", "add", "new@example.test", "--password-stdin", "--dir", str(rig.directory), stdin=b"one\n"
    )
    assert holds(rig, True, "new@example.test", "one")
    rig.run(
        "account",
        "passwd",
        "new@example.test",
        "--password-stdin",
        "--dir",
        str(rig.directory),
        stdin=b"two\n",
    )
    assert holds(rig, False, "new@example.test", "one") and holds(rig, True, "new@example.test", "two")
    rig.verb("account", "disable", "new@example.test")
    assert holds(rig, False, "new@example.test", "two")
    send(rig, "new@example.test", "while disabled")
    rig.verb("account", "enable", "new@example.test")
    assert holds(rig, True, "new@example.test", "two")
    rig.verb("account", "rename", "new@example.test", "renamed@example.test")
    assert holds(rig, True, "renamed@example.test", "two")
    send(rig, "new@example.test", "to the old address")
    assert subjects(rig, "renamed@example.test", "two") == [b"to the old address", b"while disabled"]
    (row,) = [r for r in rig.verb("account", "list") if r["address"] == "renamed@example.test"]
    assert row["messages"] == 2
    rig.verb("account", "reset", "renamed@example.test")
    assert subjects(rig, "renamed@example.test", "two") == []
    rig.verb("account", "rm", "renamed@example.test")
    assert holds(rig, False, "renamed@example.test", "two")


def test_http_connections_that_stand_end_with_what_let_them_in(rig: Rig) -> None:
    """The workers serve them, the writer takes the change: the next request of each asks anew."""

    def verb(*words: str, password: bytes = b"") -> None:
        rig.run("account", *words, "--dir", str(rig.directory), stdin=password)

    def asked(connection: http.client.HTTPConnection) -> int:
        word = base64.b64encode(b"stands@example.test:one").decode()
        connection.request("GET", "/.well-known/jmap", headers={"Authorization": f"Basic {word}"})
        with connection.getresponse() as answer:
            answer.read()
            return answer.status

    def connect(stack: contextlib.ExitStack) -> list[http.client.HTTPConnection]:
        made = [http.client.HTTPConnection("127.0.0.1", rig.port("http"), timeout=WITHIN) for _ in range(6)]
        for each in made:
            stack.callback(each.close)
        return made

    verb("add", "stands@example.test", "--password-stdin", password=b"one\n")
    assert holds(rig, True, "stands@example.test", "one")
    with contextlib.ExitStack() as stack:
        standing = connect(stack)
        assert [asked(each) for each in standing * 2] == [200] * 12
        verb("disable", "stands@example.test")
        assert [asked(each) for each in standing] == [401] * 6
        verb("enable", "stands@example.test")
        standing = connect(stack)
        assert [asked(each) for each in standing] == [200] * 6
        verb("passwd", "stands@example.test", "--password-stdin", password=b"two\n")
        assert [asked(each) for each in standing] == [401] * 6


def test_a_token_logs_in_within_its_scopes_until_it_is_revoked(rig: Rig) -> None:
    scopes = ["--scope", "mailbox", "--scope", "message.read"]
    made = rig.verb("token", "add", ALICE[0], "--name", "phone", *scopes)
    assert holds(rig, True, ALICE[0], made["token"]) and holds(rig, False, "bob@example.test", made["token"])
    (shown,) = rig.verb("token", "list", ALICE[0])
    assert shown["good"] and "token" not in shown
    with imaplib.IMAP4("127.0.0.1", rig.port("imap")) as imap:
        imap.authenticate("PLAIN", lambda _: b"\0" + ALICE[0].encode() + b"\0" + made["token"].encode())
        assert imap.select("INBOX")[0] == "OK"
        assert imap.append("INBOX", "", "", b"x")[0] == "NO"  # message.append is no scope of it
    with smtplib.SMTP("127.0.0.1", rig.port("submission")) as smtp:
        smtp.login(ALICE[0], made["token"])
        with pytest.raises(smtplib.SMTPSenderRefused):
            smtp.sendmail(ALICE[0], [ALICE[0]], "Subject: x\r\n\r\n")
    sender = rig.verb("token", "add", ALICE[0], "--name", "printer", "--scope", "smtp.submit")
    with smtplib.SMTP("127.0.0.1", rig.port("submission")) as smtp:
        smtp.login(ALICE[0], sender["token"])
        smtp.sendmail(ALICE[0], ["admin@example.test"], "Subject: by token\r\n\r\n")
    with imaplib.IMAP4("127.0.0.1", rig.port("imap")) as imap:
        imap.login(ALICE[0], made["token"])
        imap.select("INBOX")
        rig.verb("token", "rm", made["digest"])
        deadline = time.monotonic() + WITHIN
        with pytest.raises(imaplib.IMAP4.abort):
            while time.monotonic() < deadline:
                imap.noop()
    assert holds(rig, False, ALICE[0], made["token"]) and holds(rig, True, ALICE[0], sender["token"])
    rig.verb("token", "rm", sender["token"])


def traced(rig: Rig) -> list[Any]:
    """The mails of the next test, as they were sent: each worker writes its log when it likes."""
    events = rig.verb("logs", "--event", "mail.received", "--lines", "50")
    mine = [event for event in events if event["message_id"].startswith("to.be.traced")]
    return sorted(mine, key=lambda event: str(event["message_id"]))


def test_the_log_follows_one_mail_and_top_counts_it(rig: Rig) -> None:
    for number in range(2):
        send(rig, "admin@example.test", f"to be traced {number}")
    deadline = time.monotonic() + WITHIN
    while len(received := traced(rig)) < 2:
        assert time.monotonic() < deadline, rig.log_tail()  # a worker writes once a second
        time.sleep(0.2)
    first, second = (event["trace"] for event in received)
    assert first != second
    of_first = rig.verb("logs", "--trace", first)
    assert received[0] in of_first
    assert {event["trace"].partition("-")[0] for event in of_first} == {first.partition("-")[0]}
    assert not rig.verb("logs", "--trace", first, "--level", "error")
    found = rig.verb("message", "trace", first)
    assert (found["trace"], found["events"], found["queue"]) == (first, of_first, [])
    assert rig.verb("message", "trace", "<to.be.traced.0@elsewhere.test>")["events"] == [received[0]]
    assert rig.run("message", "trace", "<>", "--dir", str(rig.directory), check=False).returncode == 2
    assert rig.run("message", "trace", "0" * 16, "--dir", str(rig.directory), check=False).returncode == 3
    found = rig.verb("top", "--interval", "1")
    assert [p["name"] for p in found["processes"]] == ["supervisor", "writer", "worker 1", "worker 2"]
    assert all(p["resident"] > 1 << 20 for p in found["processes"])
    assert set(found["metrics"]["a3_queue_entries"]) == {"waiting", "trying", "held"}
    page = rig.run("top", "--interval", "1", "--dir", str(rig.directory)).stdout.decode()
    assert "worker 2" in page and "0 open" in page


def test_following_the_log_shows_what_comes(rig: Rig) -> None:
    words = ("logs", "--follow", "--lines", "1", "--event", "server.reloaded", "--dir", str(rig.directory))
    reader = subprocess.Popen(
        rig.command(*words),
        stdout=subprocess.PIPE,
        env=rig.env,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a suite in the background ignores it
    )
    assert reader.stdout is not None
    try:
        rig.verb("reload")
        assert b" server.reloaded " in reader.stdout.readline()
        rig.verb("reload")
        assert b" server.reloaded " in reader.stdout.readline()
        reader.send_signal(signal.SIGINT)
        assert reader.wait(WITHIN * 4) == 130
    finally:
        reader.kill()
        reader.wait()
        reader.stdout.close()


def test_aliases_groups_domains_and_catch_all(rig: Rig) -> None:
    rig.verb("domain", "add", "second.test", "--catch-all", ALICE[0])
    rig.verb("alias", "add", "info@second.test", ALICE[0])
    rig.verb("group", "add", "all@example.test", ALICE[0], "bob@example.test")
    for recipient in (
        "info@second.test",
        "anything@second.test",
        "all@example.test",
        "postmaster@second.test",
    ):
        deadline = time.monotonic() + WITHIN
        while True:
            try:
                send(rig, recipient, recipient)
                break
            except smtplib.SMTPRecipientsRefused:
                assert time.monotonic() < deadline, recipient
    assert subjects(rig, *ALICE) == [b"all@example.test", b"anything@second.test", b"info@second.test"]
    assert subjects(rig, "bob@example.test", "secret-b") == [b"all@example.test"]
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(rig, "nobody@example.test", "x")


def test_a_role_without_mail_neither_reads_nor_submits(rig: Rig) -> None:
    rig.run("account", "add", "audit@example.test", "--password-stdin", "--role", "auditor", "--dir",
            str(rig.directory), stdin=b"x\n")  # fmt: skip
    assert holds(rig, True, "audit@example.test", "x")
    with imaplib.IMAP4("127.0.0.1", rig.port("imap")) as imap:
        imap.login("audit@example.test", "x")
        for status, said in (imap.select("INBOX"), imap.list()):
            assert status == "NO" and b"NOPERM" in said[0]
    with smtplib.SMTP("127.0.0.1", rig.port("submission")) as smtp:
        smtp.login("audit@example.test", "x")
        assert smtp.mail("audit@example.test")[0] == 550


def authenticate(imap: imaplib.IMAP4, client: ScramClient) -> None:
    """Play the client's three responses."""
    steps = iter((lambda _: client.first(), client.final, lambda _: b""))
    imap.authenticate("SCRAM-SHA-256-PLUS", lambda challenge: next(steps)(challenge))


def test_scram_with_channel_binding_over_tls(rig: Rig) -> None:
    address, password, at = "scram@example.test", "p=nc,il", ("--dir", str(rig.directory))
    rig.verb("domain", "set", "example.test", "--scram", "on")
    rig.run("account", "add", address, "--password-stdin", *at, stdin=password.encode() + b"\n")
    assert holds(rig, True, address, password)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    header = "p=tls-server-end-point,,"
    with imaplib.IMAP4_SSL("127.0.0.1", rig.port("imaps"), ssl_context=context) as imap:
        assert {"AUTH=SCRAM-SHA-256-PLUS", "AUTH=SCRAM-SHA-256"} <= set(imap.capabilities)
        bound = hashlib.sha256(imap.sock.getpeercert(binary_form=True)).digest()
        between = ScramClient(password, header, address, hashlib.sha256(b"another certificate").digest())
        with pytest.raises(imaplib.IMAP4.error):
            authenticate(imap, between)
    with imaplib.IMAP4_SSL("127.0.0.1", rig.port("imaps"), ssl_context=context) as imap:
        authenticate(imap, ScramClient(password, header, address, bound))
        assert imap.select("INBOX")[0] == "OK"


def test_what_was_done_is_in_the_audit_record(rig: Rig) -> None:
    rig.verb("account", "quota", ALICE[0], "1G")
    row = rig.verb("audit", "query", "--target", ALICE[0])[-1]
    assert (row["subject"], row["action"], row["detail"]) == ("operator", "account.quota", {"quota": 1 << 30})


def test_a_reload_takes_settings_and_refuses_faulty_ones(rig: Rig) -> None:
    rig.verb("config", "set", "smtp.size", "10000")
    assert [r["name"] for r in rig.verb("config", "diff", check=False)] == ["smtp.size"]
    assert rig.verb("reload")["restart"] == []
    deadline = time.monotonic() + WITHIN
    while rig.verb("config", "diff", check=False):
        assert time.monotonic() < deadline
    with smtplib.SMTP("127.0.0.1", rig.port("smtp")) as smtp:
        smtp.ehlo()
        assert smtp.esmtp_features["size"] == "10000"
    rig.verb("config", "set", "smtp.size", "--unset")
    rig.verb("config", "set", "port_base", "1")
    assert rig.verb("reload")["restart"] == ["server.port_base"]
    rig.verb("config", "set", "port_base", "--unset")
    broken = rig.directory / "conf.d" / "broken.toml"
    broken.write_text("[smtp]\nsize = 'x'\n")
    done = rig.run("reload", "--dir", str(rig.directory), check=False)
    broken.unlink()
    assert done.returncode == 9 and b"broken.toml" in done.stderr
    assert rig.status()


def test_a_second_serve_is_refused_and_a_restart_keeps_the_pid(rig: Rig) -> None:
    second = rig.run("serve", str(rig.directory), check=False)
    assert second.returncode == 6 and second.stderr.count(b"\n") == 1
    before = rig.status()
    assert rig.run("serve", str(rig.directory), "--check", check=False).returncode == 0
    rig.verb("restart")
    after = rig.status()
    assert before and after and after["pid"] == before["pid"]
    assert not set(before["workers"]) & set(after["workers"])
    assert logs_in(rig, *ALICE)


def test_stopped_and_started_again(tmp_path: pathlib.Path) -> None:
    with Rig(tmp_path, workers=1) as rig:
        rig.verb("stop")
        assert rig.stop() == 0 and rig.status() is None
        rig.verb("account", "disable", ALICE[0])  # alone, under the lock
        rig.start()
        assert not logs_in(rig, *ALICE)


def test_a_backup_of_the_running_server_serves_elsewhere(tmp_path: pathlib.Path) -> None:
    rig = Rig(tmp_path, workers=1)
    made = json.loads(rig.run("init", str(rig.directory), *rig._init, "--json").stdout)
    with rig:
        send(rig, ALICE[0], "x" * 2000)
        copy = tmp_path / "copy"
        assert rig.verb("backup", str(copy))["contents"] == 1
        send(rig, ALICE[0], "after the backup")
        assert rig.stop() == 0
        other = tmp_path / "other"
        key = made["recovery_key"].encode() + b"\n"
        rig.run("restore", str(copy), str(other), "--recovery-key-stdin", stdin=key)
        shutil.rmtree(rig.directory)
        rig.directory = other
        rig.start()
        assert subjects(rig, *ALICE) == [b"x" * 2000]
        with smtplib.SMTP("127.0.0.1", rig.port("smtp")) as smtp:
            smtp.sendmail(
                "x@elsewhere.test", ["bob@example.test"], b"Subject: large\r\n\r\n" + b"y" * (20 << 20)
            )
        assert subjects(rig, "bob@example.test", "secret-b") == [b"large"]
        found = rig.verb("doctor", "--deep")
        assert (found["findings"], bool(found["validated_by"])) == ([], True)


def test_the_mail_of_the_running_server_is_exported(rig: Rig, tmp_path: pathlib.Path) -> None:
    address, password = "exporter@example.test", "pw"
    words = ("account", "add", address, "--password-stdin", "--dir", str(rig.directory))
    rig.run(*words, stdin=password.encode() + b"\n")
    for number in range(3):
        send(rig, address, f"mail {number}")
    with imaplib.IMAP4("127.0.0.1", rig.port("imap")) as imap:
        imap.login(address, password)
        imap.select()
        imap.store("2", "+FLAGS", r"(\Seen \Flagged work)")
        found = imap.fetch("1:*", "(BODY.PEEK[])")[1]
    made = rig.verb("export", str(tmp_path / "out"), address)
    assert (made["messages"], made["damaged"]) == (3, [])
    files = sorted((tmp_path / "out" / address / "cur").iterdir(), key=lambda path: path.name.split(".")[1])
    assert [path.read_bytes() for path in files] == [p[1] for p in found if isinstance(p, tuple)]
    assert [path.name.rpartition(",")[2] for path in files] == ["", "FSa", ""]


def test_try_it_mode_keeps_its_mail(tmp_path: pathlib.Path) -> None:
    rig = Rig(tmp_path)  # for a free port base and the environment
    rig.env["A3_SERVER__PORT_BASE"] = str(rig.base)

    def serve() -> tuple[subprocess.Popen[bytes], str]:
        process = subprocess.Popen(
            rig.command(),
            cwd=tmp_path,
            env=rig.env,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdout is not None
        said = b""
        while b"Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said.decode()
            said += line
        return process, said.decode()

    def leave(process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does at Ctrl-C
        assert process.wait(60) == 0
        assert process.stdout is not None
        process.stdout.close()

    process, said = serve()
    notes = json.loads((tmp_path / "var/try-it.json").read_bytes())
    address, password = notes["accounts"][0]
    assert f"127.0.0.1:{rig.port('imaps')}" in said and address in said and password in said
    assert "A3R-" in said and "recovery_key" not in notes
    first = subjects(rig, address, password)
    assert len(first) == 5 and any(b"URGENT" in s for s in first)
    leave(process)
    process, said = serve()
    assert "A3R-" not in said and password in said
    assert subjects(rig, address, password) == first
    leave(process)
    rig.close()
