"""domain check as a command, asking a real name server on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
from collections.abc import Iterator

import pytest

from a3mailer.app.cli import domain_check, exits
from a3mailer.app.main import main
from a3mailer.ops import domain_history as history
from a3mailer.ops.domain_check import Section
from a3mailer.runtime import unbound
from a3mailer.testing.nameserver import NameServer


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    before = os.umask(0o022)
    place = tmp_path_factory.mktemp("check") / "instance"
    assert main(["init", str(place), "--domain", "example.test"]) == 0
    yield place
    os.umask(before)


async def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = await asyncio.to_thread(main, list(words))
    out, err = capsys.readouterr()
    return code, out, err


async def publish(capsys: pytest.CaptureFixture[str], server: NameServer, *words: str) -> None:
    _, out, _ = await command(capsys, "domain", "dns", *words, "--json")
    for each in json.loads(out):
        server.put(f"{each['name']}. 60 IN {each['kind']} {each['data']}")


async def test_errors_end_with_1_and_say_what_to_do(
    place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with NameServer() as server:
        words = ("example.test", "--dir", str(place), "--address", "192.0.2.1")
        ask = ("--dns", f"127.0.0.1:{server.port}", "--blocklist", "list.test")
        code, out, _ = await command(capsys, "domain", "check", *words, *ask)
        assert code == exits.NO and "error: example.test has no MX record" in out
        assert "do: Publish: example.test. IN MX 10 mail.example.test." in out
        await publish(capsys, server, *words)
        code, out, _ = await command(capsys, "domain", "check", *words, *ask, "--json")
        found = json.loads(out)
        sections = {each["subject"]: each for each in found["sections"]}
        assert {r["state"] for r in found["records"]} == {"published"}
        assert "no address the world can reach" in sections["address"]["errors"][0]  # a documentation address
        assert code == exits.NO and {s for s, each in sections.items() if each["errors"]} <= {
            "address",
            "mta-sts",
        }
        assert "self-signed" in sections["certificate"]["warnings"][0]


async def test_watch_turns_green_record_by_record(
    place: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with NameServer() as server:
        words = ("example.test", "--dir", str(place), "--address", "192.0.2.1")
        loop, rounds = asyncio.get_running_loop(), []

        def pause(seconds: float) -> None:
            rounds.append(seconds)
            asyncio.run_coroutine_threadsafe(publish_some(), loop).result()

        async def publish_some() -> None:
            if len(rounds) == 1:
                server.put("example.test. 60 IN MX 10 mail.example.test.")
            else:
                for record in wanted:
                    server.put(record)

        _, out, _ = await command(capsys, "domain", "dns", *words, "--json")
        wanted = [f"{r['name']}. 60 IN {r['kind']} {r['data']}" for r in json.loads(out)]
        monkeypatch.setattr(domain_check.time, "sleep", pause)
        ask = ("--dns", f"127.0.0.1:{server.port}", "--watch", "--every", "7")
        code, out, err = await command(capsys, "domain", "check", *words, *ask)
        lines = out.splitlines()
        assert code == exits.OK and rounds == [7, 7] and "Every needed record" in err
        mx = [line.split()[0] for line in lines if line.endswith("MX    example.test")]
        assert mx == ["missing", "published"]
        green = [i for i, line in enumerate(lines) if line.startswith("published")]
        assert (
            "MX" in lines[green[0]] and "DKIM" not in lines[green[0]] and len(green) == len(set(wanted)) - 0
        )
        assert "\x1b" not in out  # no terminal, no colours


async def test_the_last_look_of_the_server_is_shown(
    place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("domain", "check", "example.test", "--dir", str(place), "--last")
    code, _, err = await command(capsys, *words)
    assert code == exits.ABSENT and "not looked at example.test yet" in err
    bad = Section("mx", errors=("no MX record",), instructions=("Publish: it",))
    look = history.look_of(1_800_000_000, "libunbound", (bad, Section("spf")))
    history.write(place, {"example.test": look})
    code, out, _ = await command(capsys, *words)
    assert code == exits.NO and out.startswith("looked at 2027-01-15") and "error: no MX record" in out
    code, out, _ = await command(capsys, *words, "--json")
    assert json.loads(out)["sections"][0]["instructions"] == ["Publish: it"]
    (place / history.FILE).unlink()


async def test_a_wrong_server_is_a_usage_error(
    place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("domain", "check", "example.test", "--dir", str(place), "--dns", "nowhere:53")
    code, _, err = await command(capsys, *words)
    assert code == exits.USAGE and "ADDRESS:PORT" in err


async def test_it_says_who_validates_and_fails_where_nobody_is_to(
    place: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with NameServer() as server:
        ask = ("--dns", f"127.0.0.1:{server.port}", "--blocklist", "list.test")
        words = ("domain", "check", "example.test", "--dir", str(place), *ask)
        monkeypatch.setenv("A3_DNS__DNSSEC", "off")
        _, out, _ = await command(capsys, *words, "--json")
        assert json.loads(out)["validated_by"] == "nobody: dns.dnssec is off"
        _, out, _ = await command(capsys, *words)
        assert out.startswith("example.test: (answers of the DNS are validated by nobody: dns.dnssec is off)")
        monkeypatch.setenv("A3_DNS__DNSSEC", "libunbound")
        monkeypatch.setattr(unbound, "LIBRARIES", ("libnowhere.so",))
        code, _, err = await command(capsys, *words)
        assert code == exits.CONFIG and "libunbound is not installed" in err
