"""Row 10: who guesses names through AUTH learns nothing from the answers, nor from the work they cost.

Work is counted, not timed: hash computations with their parameters (all that takes longer than a scheduler's
breath), waits, events and replies.  The same probes, from the same networks in the same order, are put to one
world by names that exist and to another by names that do not; every one of them must come to the same.
"""

from __future__ import annotations

import base64
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from argon2.exceptions import VerifyMismatchError

from a3mailer.identity import authenticator, credentials
from a3mailer.testing.memory_connection import MemoryConnection, Stage
from tests.transcripts.smtp_world import STORED, SmtpWorld

PROBES = 1250
"""A kind of name; there are four."""
NAMES = 25
NETWORKS = 40
GUESSES = ("hunter2", "a3_guess", "p\u00e4ss", "\u2168")
PARAMETERS = re.compile(r"\$argon2id\$v=19\$(m=\d+,t=\d+,p=\d+)\$")


@dataclass(frozen=True, slots=True)
class Work:
    """What one session of guesses came to."""

    hashes: tuple[str, ...]
    waits: tuple[float, ...]
    events: tuple[str, ...]
    reads: tuple[str, ...]
    said: bytes


class Reads:
    """A reader whose calls are noted."""

    def __init__(self, reader: object, noted: list[str]) -> None:
        self._reader = reader
        self._noted = noted

    def __getattr__(self, name: str) -> object:
        self._noted.append(name)
        return getattr(self._reader, name)


class Watch:
    """A world whose work is counted."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = SmtpWorld(folder, {"profile": "submissions"})
        self.hashes: list[str] = []
        self.waits: list[float] = []
        self.events: list[str] = []
        self.reads: list[str] = []
        self.world.authenticator._reader = Reads(self.world.authenticator._reader, self.reads)  # type: ignore[assignment]
        monkeypatch.setattr(credentials, "_HASHER", self)
        monkeypatch.setattr(authenticator, "emit", self._heard)
        self.world.authenticator._sleep = self._sleep

    def verify(self, stored: str, _password: str) -> bool:
        """In the place of argon2: what it would have cost."""
        found = PARAMETERS.match(stored)
        assert found is not None, stored
        self.hashes.append(found[1])
        raise VerifyMismatchError

    def _heard(self, name: str, **_fields: object) -> None:
        self.events.append(name)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(round(seconds, 6))
        self.world.clock.time += seconds

    async def probe(self, name: str, ip: str, mechanism: str, passwords: list[str]) -> Work:
        """One session."""
        self.hashes, self.waits, self.events = [], [], []
        self.reads.clear()
        connect = lambda number: MemoryConnection((ip, 40000), secure=True)  # noqa: E731
        async with Stage(self.world.serve, connect) as stage:
            session = stage.open(1)
            said = await session.greeting() + await session.feed(b"EHLO a.example\r\n")
            for password in passwords:
                for line in LINES[mechanism](name, password):
                    said += await session.feed(line)
            said += await session.feed(b"QUIT\r\n")
        self.world.clock.time += 1.0
        return Work(tuple(self.hashes), tuple(self.waits), tuple(self.events), tuple(self.reads), said)


def _plain(name: str, password: str) -> list[bytes]:
    return [b"AUTH PLAIN " + base64.b64encode(f"\0{name}\0{password}".encode()) + b"\r\n"]


def _login(name: str, password: str) -> list[bytes]:
    steps = [b"AUTH LOGIN", base64.b64encode(name.encode()), base64.b64encode(password.encode())]
    return [step + b"\r\n" for step in steps]


LINES: dict[str, Callable[[str, str], list[bytes]]] = {"PLAIN": _plain, "LOGIN": _login}


def prepare(world: SmtpWorld, kind: str) -> list[str]:
    """The names to guess, of one kind; of equal lengths, since a name comes back to nobody but its owner."""
    names = [f"name{number:02}@example.test" for number in range(NAMES)]
    for name in names:
        if kind == "alias":
            owner = world.rows.put_account(f"x{name}", secret=STORED)
            world.rows.put_alias(name, owner.address)
        elif kind != "unknown":
            made = world.rows.put_account(name, secret="" if kind == "no password" else STORED)
            if kind == "disabled":
                world.rows.change(made.id, enabled=False)
    return names


async def works(folder: Path, kind: str, seed: int) -> list[Work]:
    dice = random.Random(seed)
    with pytest.MonkeyPatch.context() as monkeypatch:
        watch = Watch(folder, monkeypatch)
        names = prepare(watch.world, kind)
        found = []
        for _ in range(PROBES):
            ip = f"198.51.{dice.randrange(NETWORKS)}.7"
            passwords = [
                dice.choice(("hunter2", "a3_guess", "p\u00e4ss", "\u2168"))
                for _ in range(dice.choice((1, 2)))
            ]
            name = dice.choice(names)
            found.append(await watch.probe(name, ip, dice.choice(("PLAIN", "LOGIN")), passwords))
        watch.world.authenticator.close()
    return found


async def test_row_10_five_thousand_guesses_cost_the_same_for_who_exists_and_who_does_not(
    tmp_path: Path, seed: int
) -> None:
    unknown = await works(tmp_path, "unknown", seed)
    for kind in ("known", "disabled", "no password", "alias"):
        known = await works(tmp_path, kind, seed)
        different = [number for number in range(PROBES) if known[number] != unknown[number]]
        assert not different, (kind, known[different[0]], unknown[different[0]])
    assert Counter(len(work.hashes) > 0 for work in unknown)[True] > 100  # some were looked at,
    assert any(work.waits for work in unknown)  # some had to wait,
    assert any(not work.hashes for work in unknown)  # some were refused unseen
    assert {hash for work in unknown for hash in work.hashes} == {PARAMETERS.match(STORED)[1]}  # type: ignore[index]
