"""The queue of a whole server as its operator sees it: in the verbs, in the metrics, and tried when told."""

from __future__ import annotations

import pathlib
import smtplib
import socket
import ssl
import time
import urllib.request

from tests.rig import Rig

WITHIN = 25.0
"""Seconds: less than the first back-off of a destination."""


def gauge(rig: Rig) -> dict[str, int]:
    """``a3_queue_entries`` by state, from /metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{rig.port('metrics')}/metrics", timeout=30) as page:
        lines = page.read().decode().splitlines()
    mark = 'a3_queue_entries{state="'
    pairs = [line.removeprefix(mark).split('"} ') for line in lines if line.startswith(mark)]
    return {state: int(count) for state, count in pairs}


def until(rig: Rig, **counts: int) -> None:
    deadline = time.monotonic() + WITHIN
    while (seen := gauge(rig)) != {"waiting": 0, "trying": 0, "held": 0, **counts}:
        assert time.monotonic() < deadline, (seen, rig.log_tail())
        time.sleep(0.1)


def submit(rig: Rig, count: int, domain: str = "far.test") -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address, password = rig.accounts[0]
    with smtplib.SMTP_SSL("127.0.0.1", rig.port("submissions"), context=context) as client:
        client.login(address, password)
        for number in range(count):
            head = f"From: {address}\r\nTo: carol@{domain}\r\nSubject: mail {number}\r\n"
            client.sendmail(address, [f"carol@{domain}"], f"{head}\r\nHello\r\n")


def test_what_waits_is_in_the_metrics_and_goes_when_told(tmp_path: pathlib.Path) -> None:
    there = Rig(tmp_path / "there", domain="far.test", accounts=(("carol@far.test", "secret-c"),))
    relay = ("--relay", f"127.0.0.1:{there.port('smtp')}")
    here = Rig(tmp_path / "here", workers=2, extra=relay)
    for rig in (here, there):
        rig.directory.parent.mkdir()
    try:
        here.start()
        assert gauge(here) == {"waiting": 0, "trying": 0, "held": 0}
        submit(here, 3)
        until(here, waiting=3)  # nobody listens there; the next attempt is minutes away
        rows = here.verb("queue", "list")
        first = rows[0]["queue"]
        assert here.verb("message", "trace", rows[1]["trace"])["queue"] == [rows[1]]
        assert here.verb("message", "trace", rows[0]["trace"])["queue"] == rows  # a connection's: all of it
        here.verb("queue", "hold", "--all")
        until(here, held=3)
        done = here.verb("queue", "release", "--domain", "far.test")
        assert done == [{"queue": row["queue"], "act": "release"} for row in rows]
        until(here, waiting=3)
        here.verb("queue", "hold", str(first))
        until(here, waiting=2, held=1)
        there.start()
        here.verb("queue", "retry", "--all")  # in spite of the destination's back-off
        until(here)
        assert there.verb("account", "list")[-1]["messages"] == 3
    finally:
        here.close()
        there.close()


def test_other_name_servers_are_asked_after_a_reload(tmp_path: pathlib.Path) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as fresh,
    ):
        for sock in (silent, fresh):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(WITHIN)
        dns = f"127.0.0.1:{silent.getsockname()[1]}"
        with Rig(
            tmp_path,
            workers=1,
            extra=("--dns", dns),
            settings=("profile=plain", "dns.timeout=1", "dns.dnssec=off"),
        ) as rig:
            submit(rig, 1, "nowhere.test")
            assert b"\x07nowhere\x04test\x00" in silent.recv(512)
            rig.verb("config", "set", "dns.servers", f"127.0.0.1:{fresh.getsockname()[1]}")
            rig.verb("reload")
            rig.verb("queue", "retry", "--all")
            submit(rig, 1, "elsewhere.test")
            assert b"where\x04test\x00" in fresh.recv(512)
