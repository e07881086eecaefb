"""dkim list, rotate, record, publish: on a real store, with a real name server on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from a3mailer.app.cli import exits
from a3mailer.app.main import main
from a3mailer.config.tree import Settings
from a3mailer.keys import selectors
from a3mailer.testing.nameserver import NameServer
from a3mailer.transfer.signing import Signing

DOMAIN = "example.test"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    before = os.umask(0o022)
    place = tmp_path_factory.mktemp("dkim") / "instance"
    assert main(["init", str(place), "--domain", DOMAIN]) == 0
    yield place
    os.umask(before)


async def run(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    found = await asyncio.to_thread(main, list(words))
    out, err = capsys.readouterr()
    assert found == code, (found, out, err)
    return out + err


async def test_the_next_keys_sign_when_their_records_are_seen(
    place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = (DOMAIN, "--dir", str(place))
    signing = Signing(place / selectors.FOLDER, Settings())

    def signers() -> list[str]:
        return [one.selector for one in signing.keys(DOMAIN)]

    async def states() -> dict[str, str]:
        rows: list[dict[str, Any]] = json.loads(await run(capsys, exits.OK, "dkim", "list", *where, "--json"))
        return {row["selector"]: row["state"] for row in rows}

    first = ["a3-rsa", "a3-ed25519"]
    assert signers() == first and await states() == dict.fromkeys(sorted(first), "signing")
    assert "no rotation" in await run(capsys, exits.ABSENT, "dkim", "rotate", *where, "--cancel")
    printed = await run(capsys, exits.OK, "dkim", "rotate", *where)
    records = [line for line in printed.splitlines() if " IN TXT " in line]
    fresh = sorted(line.partition(".")[0] for line in records)
    assert len(fresh) == 2 and signers() == first
    assert "under way" in await run(capsys, exits.EXISTS, "dkim", "rotate", *where)
    assert set(records) < set((await run(capsys, exits.OK, "dkim", "record", *where)).splitlines())
    async with NameServer() as server:
        ask = ("dkim", "publish", *where, "--dns", f"127.0.0.1:{server.port}", "--at-once")
        said = await run(capsys, exits.NO, *ask)
        assert signers() == first and "a3-rsa: its record is missing" in said
        for line in records:
            server.put(line)
        said = await run(capsys, exits.NO, *ask)
        assert f"{fresh[0]}: signing" in said and "a3-rsa: retired" in said
        assert signers() == sorted(fresh, reverse=True)
        known = await run(capsys, exits.OK, "domain", "dns", *where, "--json")
        shown = {
            r["name"].partition(".")[0]: r["needed"] for r in json.loads(known) if r["subject"] == "dkim"
        }
        assert shown == {"a3-rsa": False, "a3-ed25519": False, **dict.fromkeys(fresh, True)}
    log = await run(
        capsys, exits.OK, "audit", "query", "--action", "domain.keys", "--dir", str(place), "--json"
    )
    assert [row["detail"]["step"] for row in json.loads(log) if row["target"] == DOMAIN] == [
        "prepared",
        "seen",
    ]


async def test_a_rotation_can_be_taken_back(place: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("other.test", "--dir", str(place))
    await run(capsys, exits.OK, "domain", "add", *where)
    before = sorted(os.listdir(place / selectors.FOLDER / "other.test"))
    await run(capsys, exits.OK, "dkim", "rotate", *where, "--kind", "ed25519")
    assert (await run(capsys, exits.OK, "dkim", "list", *where)).count("prepared") == 1
    await run(capsys, exits.OK, "dkim", "rotate", *where, "--cancel")
    after = sorted(os.listdir(place / selectors.FOLDER / "other.test"))
    assert after == sorted([*before, selectors.STATES])


async def test_what_is_not_there_is_said(place: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no domain" in await run(capsys, exits.ABSENT, "dkim", "list", "no.test", "--dir", str(place))
    said = await run(capsys, exits.ABSENT, "dkim", "record", DOMAIN, "none", "--dir", str(place))
    assert "no key none" in said
