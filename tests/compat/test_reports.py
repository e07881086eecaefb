"""Reports of another maker: rspamd counts, writes and mails one, we take it in and say what follows."""

from __future__ import annotations

import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.compat.test_relay import Names
from tests.named import at_port_53
from tests.rig import Rig

WITHIN = 20.0
DATE = "20261120"
RECORDS = (
    '_dmarc.example.test. 60 IN TXT "v=DMARC1; p=quarantine; rua=mailto:dmarc-reports@example.test"',
    'reporter.test. 60 IN TXT "v=spf1 ip4:127.0.0.1 -all"',
    '_dmarc.reporter.test. 60 IN TXT "v=DMARC1; p=reject"',
)
# what rspamd's own module keeps of a mail: ip, spf, dkim, disposition, override, author, signatures by
# result, the domain of SPF and its word
FORGOTTEN = "192.0.2.7,fail,fail,none,,example.test,,,,,example.test,fail"
GOOD = "192.0.2.1,pass,pass,none,,example.test,example.test,,,,example.test,pass"


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/bin:/usr/sbin")
    if found is None:
        pytest.skip(f"absent: {name}")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def redis(folder: pathlib.Path) -> Iterator[int]:
    """redis-server on a port of its own, keeping nothing."""
    port = free_port()
    words = (
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
    )
    with subprocess.Popen([program("redis-server"), *words], stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + WITHIN
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, "redis does not start"
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()


def ask(port: int, *commands: tuple[str, ...]) -> None:
    """Commands as RESP; each has to be answered with a number."""
    with socket.create_connection(("127.0.0.1", port), 5) as sock, sock.makefile("rb") as answers:
        for words in commands:
            parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
            sock.sendall(f"*{len(words)}\r\n{parts}".encode())
            assert answers.readline().startswith(b":")


def with_resolver(folder: pathlib.Path, resolver: str, *command: str) -> list[str]:
    """The command where /etc/resolv.conf names another resolver: rspamadm asks whom the system asks."""
    unshare = program("unshare")
    if subprocess.run([unshare, "-m", "true"], capture_output=True).returncode:
        pytest.skip("forbidden: mount namespaces")
    conf = folder / "resolv.conf"
    conf.write_text(f"nameserver {resolver}\n")
    bind = 'mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"'
    return [unshare, "-m", "sh", "-c", bind, str(conf), *command]


def configuration(redis_port: int, smtp_port: int, folder: pathlib.Path) -> str:
    return f"""
options {{ tempdir = "{folder}"; url_tld = "{folder}/suffixes"; }}
logging {{ type = "console"; level = "warning"; }}
dmarc {{
  servers = "127.0.0.1:{redis_port}";
  reporting {{
    enabled = true; email = "dmarc@reporter.test"; domain = "reporter.test"; org_name = "The Reporter";
    smtp = "127.0.0.1"; smtp_port = {smtp_port}; helo = "mx.reporter.test"; msgid_from = "reporter.test";
  }}
}}
"""


def test_a_report_of_rspamd_becomes_advice(tmp_path: pathlib.Path) -> None:
    rspamadm = program("rspamadm")
    key = f"dmarc_rpt;example.test;mailto:dmarc-reports@example.test;{DATE}"
    with (
        Names(*RECORDS) as names,
        at_port_53(names.port) as resolver,
        redis(tmp_path) as port,
        Rig(
            tmp_path,
            settings=("limits.profile=off", "dns.dnssec=off"),
            extra=("--dns", f"127.0.0.1:{names.port}"),
            workers=1,
        ) as rig,
    ):
        ask(
            port,
            ("ZADD", key, "412", FORGOTTEN),
            ("ZADD", key, "3", GOOD),
            ("SADD", f"dmarc_idx;{DATE}", key),
        )
        conf = tmp_path / "rspamd.conf"
        (tmp_path / "suffixes").write_text("test\ncom\n")
        conf.write_text(configuration(port, rig.port("smtp"), tmp_path))
        report = with_resolver(tmp_path, resolver, rspamadm, "dmarc_report", "-c", str(conf), DATE)
        done = subprocess.run(report, capture_output=True, timeout=60, cwd=tmp_path)
        rows = rig.verb("report", "dmarc", "list")
        assert [(r["domain"], r["source"], r["organization"], r["mails"], r["passed"]) for r in rows] == [
            ("example.test", "reporter.test", "The Reporter", 415, 3)
        ], done.stdout + done.stderr
        (summary,) = rig.verb("report", "dmarc", "summary")
        assert summary["advice"] == [
            "192.0.2.7 sends as example.test with SPF fail and DKIM none: 412 mails in 1 day; "
            "if it is yours, add it to SPF or sign there."
        ]
        shown = rig.run("report", "dmarc", "show", str(rows[0]["report"]), "--dir", str(rig.directory)).stdout
        assert b"192.0.2.7  412 mails  FAILED" in shown
