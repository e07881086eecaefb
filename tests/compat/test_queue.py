"""The queue of a whole server as its operator sees it: in the verbs, in the metrics, and tried when told."""

from __future__ import annotations

import pathlib
import smtplib
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


def submit(rig: Rig, count: int) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address, password = rig.accounts[0]
    with smtplib.SMTP_SSL("127.0.0.1", rig.port("submissions"), context=context) as client:
        client.login(address, password)
        for number in range(count):
            head = f"From: {address}\r\nTo: carol@far.test\r\nSubject: mail {number}\r\n"
            client.sendmail(address, ["carol@far.test"], f"{head}\r\nHello\r\n")


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
        first, *_ = (row["queue"] for row in here.verb("queue", "list"))
        here.verb("queue", "hold", str(first))
        until(here, waiting=2, held=1)
        there.start()
        here.verb("queue", "retry", "--all")  # in spite of the destination's back-off
        until(here)
        assert there.verb("account", "list")[-1]["messages"] == 3
    finally:
        here.close()
        there.close()
