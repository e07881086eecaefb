"""An authenticator with its doubles, for tests of identity."""

from __future__ import annotations

import json

import pytest

from a3mailer.config.tree import Server, Settings
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.credentials import hash_password
from a3mailer.mail.errors import AuthenticationFailed, TryLater
from a3mailer.telemetry.events import Secret
from tests.unit.identity.directory_rows import Rows

SETTINGS = Settings(server=Server(domain="a.test"))
STORED = hash_password(Secret("right"))
OTHER = hash_password(Secret("other"))


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time + 1e9

    def monotonic(self) -> float:
        return self.time

    def cpu(self) -> float:
        return self.time


class Audit:
    def __init__(self) -> None:
        self.records: list[tuple[str, ...]] = []
        self.broken = False

    async def record(
        self, subject: str, action: str, target: str, outcome: str, detail: dict[str, str]
    ) -> None:
        if self.broken:
            raise TryLater
        self.records.append((subject, action, target, outcome, json.dumps(detail)))


class World:
    """An authenticator with its doubles; ``waits`` are the delays it asked for."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.rows, self.clock, self.audit = Rows(), Clock(), Audit()
        self.rows.put_domain("a.test")
        self.bob = self.rows.put_account("bob@a.test", secret=STORED)
        self.waits: list[float] = []
        self.door = Authenticator(self.rows, settings, self.clock, self.audit, b"k" * 32, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.time += seconds

    async def fails(self, login: str = "bob@a.test", password: str = "wrong", ip: str = "192.0.2.1") -> None:
        with pytest.raises(AuthenticationFailed):
            await self.door.password(login, Secret(password), ip)
