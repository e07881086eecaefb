"""Events carry text that strangers chose (attack row 51)."""

from __future__ import annotations

import json
import os

import pytest

from a3mailer.telemetry.events import EventLog


@pytest.mark.parametrize(
    "text", ["\udcff", "a\nb", "\x00\x1b[2J", "\u2028", '"}, {"event": "forged"', "x" * 100_000]
)
def test_one_event_is_one_line_of_json_whatever_its_text(text: str) -> None:
    reader, writer = os.pipe()
    log = EventLog(fd=writer)
    log._write = lambda _fd, octets: written.extend(octets) or len(octets)  # type: ignore[func-returns-value]
    written = bytearray()
    log.emit("test.hostile", login=text, nested={"text": text})
    log.flush()
    os.close(reader)
    os.close(writer)
    (line,) = written.splitlines()
    record = json.loads(line)
    assert record["event"] == "test.hostile" and record["login"].encode("utf-8")
