"""The first day of a server: quickstart, its records in Debian's bind9, and a rotation that mail notices."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import pytest

from a3mailer.app import preflight
from a3mailer.app.cli import exits, quickstart
from a3mailer.app.cli.installing import Machine
from a3mailer.app.main import main
from a3mailer.config.tree import Dns, Server, Settings
from a3mailer.edge.dial import dial
from a3mailer.mail.authresults import PASS
from a3mailer.msgauth import fields
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.dkim import verify
from a3mailer.runtime import dnssec
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.unbound import Unavailable, library
from bench import ports
from tests.bind import Named
from tests.named import signed_server

SECONDS = 30.0
MAIL = "From: You <you@example.test>\r\nTo: far@else.test\r\nSubject: {}\r\n\r\nHello.\r\n"


@dataclass
class Sink:
    """A smart host that keeps what it is given."""

    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    mails: list[bytes] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._session, args=(connection,), daemon=True).start()

    def _session(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb", buffering=0) as stream:
            stream.write(b"220 sink\r\n")
            while line := stream.readline():
                if line.upper().startswith(b"DATA"):
                    stream.write(b"354 go on\r\n")
                    content = b""
                    while (piece := stream.readline()) != b".\r\n":
                        content += piece
                    self.mails.append(content)
                    stream.write(b"250 kept\r\n")
                    self.arrived.set()
                elif line.upper().startswith(b"QUIT"):
                    stream.write(b"221 bye\r\n")
                    return
                else:
                    stream.write(b"250 ok\r\n")


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    server = threading.Thread(target=made.serve, daemon=True)
    server.start()
    yield made
    made.listener.shutdown(socket.SHUT_RDWR)
    made.listener.close()
    server.join(SECONDS)


@pytest.fixture
def base() -> Iterator[int]:
    reserved = ports.reserve()
    yield reserved.base
    reserved.release()


def run(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    found = main(list(words))
    out, err = capsys.readouterr()
    assert found == code, (found, out, err)
    return out


def selectors(mail: bytes, port: int) -> list[str]:
    """The selectors of a mail's signatures, all of which the name server's keys verify."""

    async def ask() -> list[str]:
        clock = SystemClock()
        resolver = dnssec.resolver_of(Dns(servers=(f"127.0.0.1:{port}",), dnssec="off"), clock)
        try:
            header = fields.read(mail)
            results = await verify(header, Bodies(mail, header.body), resolver, int(clock.now()))
        finally:
            resolver.close()
        assert [each.result for each in results] == [PASS] * len(results), results
        return sorted(each.selector for each in results)

    return asyncio.run(ask())


async def test_a_first_run_knows_who_validates(tmp_path: pathlib.Path) -> None:
    try:
        library()
    except Unavailable as error:
        pytest.skip(f"absent: {error}")
    with signed_server(tmp_path, {}) as named:
        settings = Settings(server=Server(hostname="host.good.test", domain="good.test"))
        for anchor, verdict in ((str(named.anchor), preflight.OK), ("", preflight.WARNING)):
            dns = Dns(servers=(f"127.0.0.1:{named.port}",), trust_anchor=anchor)
            if not anchor:
                dns = msgspec.structs.replace(dns, dnssec="off")
            aim = preflight.Aim(tmp_path, settings, (), False, "127.0.0.1:1", (), 0.0)
            resolver = dnssec.resolver_of(dns, SystemClock())
            found = {f.subject: f for f in await preflight.network(aim, resolver, dial)}
            resolver.close()
            assert (found["resolver"].verdict, found["dnssec"].verdict) == (preflight.OK, verdict)


def test_from_nothing_to_signed_mail_and_new_keys(
    tmp_path: pathlib.Path,
    base: int,
    sink: Sink,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quickstart, "MACHINE", Machine(booted=tmp_path / "no-systemd"))
    (tmp_path / "named").mkdir()
    place, before = tmp_path / "mail", os.umask(0o022)
    with Named(tmp_path / "named", "example.test") as named:
        wish = ("you@example.test", str(place), "--start", "--json", "--anyway", "--relay", sink.address)
        where = ("--listen", "127.0.0.1", "--port-base", str(base), "--address", "192.0.2.25")
        dns = ("--dns", f"127.0.0.1:{named.port}", "--blocklist", "list.example.test")
        made = json.loads(run(capsys, exits.OK, "quickstart", *wish, *where, *dns))
        here = ("example.test", "--dir", str(place))
        update = ("--update", "--server", f"127.0.0.1:{named.port}", "--tsig", str(named.key_file))
        records = ("domain", "dns", *here, "--address", "192.0.2.25", *update)

        def mailed(subject: str) -> list[str]:
            sink.arrived.clear()
            context = ssl.create_default_context(cafile=place / "tls" / "cert.pem")
            context.check_hostname = False  # it is called by its address here
            with smtplib.SMTP_SSL("127.0.0.1", base + 465, timeout=SECONDS, context=context) as client:
                client.login("you@example.test", made["password"])
                client.sendmail("you@example.test", ["far@else.test"], MAIL.format(subject))
            assert sink.arrived.wait(SECONDS)
            return selectors(sink.mails[-1], named.port)

        try:
            run(capsys, exits.OK, *records)
            watch = ("domain", "check", *here, "--address", "192.0.2.25", "--watch", "--every", "1")
            lines = run(capsys, exits.OK, *watch).splitlines()
            assert lines and {line.split()[0] for line in lines} == {"published"}
            first = mailed("one")
            assert first == ["a3-ed25519", "a3-rsa"]
            rows = json.loads(run(capsys, exits.OK, "dkim", "rotate", *here, "--json"))
            fresh = sorted(row["selector"] for row in rows if row["state"] == "prepared")
            run(capsys, exits.NO, "dkim", "publish", *here, "--at-once")
            assert mailed("two") == first
            run(capsys, exits.OK, *records)
            run(capsys, exits.OK, "dkim", "publish", *here, "--at-once")
            assert mailed("three") == fresh and len(fresh) == 2  # no restart, no reload
        finally:
            run(capsys, exits.OK, "stop", "--dir", str(place))
            os.umask(before)
