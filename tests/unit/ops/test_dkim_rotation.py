"""Rotation as the running server does it: looks at the DNS, then at the next mail's signatures."""

from __future__ import annotations

import asyncio
import os
import pathlib
import random

from a3mailer.config.tree import Settings
from a3mailer.keys import selectors
from a3mailer.keys.selectors import PREPARED, RETIRED_SECONDS, SETTLE_SECONDS, Selector, key_text
from a3mailer.mail.ids import TenantId
from a3mailer.ops.dkim_rotation import keys, look
from a3mailer.ops.domain_watch import DomainWatch
from a3mailer.store.rows import Domain
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.signing import Signing
from tests.unit.msgauth.signed import pem

DOMAIN = "a.test"


class Directory:
    """Two domains, one of which has no keys."""

    async def domains(self) -> tuple[Domain, ...]:
        return tuple(Domain(TenantId(1), name, "", "{}") for name in ("none.test", DOMAIN))


class World:
    def __init__(self, place: pathlib.Path) -> None:
        self.folder = place / selectors.FOLDER / DOMAIN
        self.folder.mkdir(parents=True)
        (self.folder / "old.pem").write_bytes(pem("ed"))
        self.clock, self.resolver = FakeClock(), FakeResolver()
        self.signing = Signing(place / selectors.FOLDER, Settings())
        self.watch = DomainWatch(
            Directory(),  # type: ignore[arg-type]
            place,
            self.resolver,
            self.clock,
            lambda: 24.0,
            None,
            random.Random(1),
        )

    def prepare(self) -> None:
        now = int(self.clock.now())
        selectors.write(self.folder, (Selector("new", "ed25519", PREPARED, now),))
        (self.folder / "new.pem").write_bytes(pem("ed-new"))

    async def after(self, seconds: float) -> list[str]:
        """Who signs after a look."""
        self.clock.advance(seconds)
        await self.watch.look_at_keys(asyncio.Event())
        return [one.selector for one in self.signing.keys(DOMAIN)]


async def test_a_rotation_reaches_the_signatures_without_a_restart(tmp_path: pathlib.Path) -> None:
    world = World(tmp_path)
    assert await world.after(0) == ["old"] and not world.resolver.asked
    world.prepare()
    assert await world.after(0) == await world.after(RETIRED_SECONDS) == ["old"]
    world.resolver.put(f"new._domainkey.{DOMAIN}", "TXT", key_text(pem("ed")).encode())
    assert await world.after(SETTLE_SECONDS) == await world.after(SETTLE_SECONDS) == ["old"]  # another key's
    world.resolver.put(f"new._domainkey.{DOMAIN}", "TXT", key_text(pem("ed-new")).encode())
    assert await world.after(600) == ["old"]
    world.resolver.fail(f"new._domainkey.{DOMAIN}", "TXT")
    assert await world.after(SETTLE_SECONDS) == ["old"]
    world.resolver.put(f"new._domainkey.{DOMAIN}", "TXT", key_text(pem("ed-new")).encode())
    assert await world.after(600) == ["new"]
    world.resolver.put(f"old._domainkey.{DOMAIN}", "TXT", key_text(pem("ed")).encode())
    assert await world.after(RETIRED_SECONDS) == ["new"] and not (world.folder / "old.pem").exists()
    assert [key.state for key, _ in keys(world.folder)] == ["signing", "removed"]
    world.resolver.put(f"old._domainkey.{DOMAIN}", "TXT", b"v=DKIM1; p=")  # revoked is as good as gone
    assert await world.after(600) == ["new"]
    assert [key.name for key, _ in keys(world.folder)] == ["new"]


async def test_states_that_cannot_be_read_sign_nothing_and_stop_nothing(tmp_path: pathlib.Path) -> None:
    world = World(tmp_path)
    (world.folder / selectors.STATES).write_bytes(b"half a fi")
    os.utime(world.folder, ns=(1, 1))
    assert await world.after(0) == []
    (world.folder / selectors.STATES).unlink()
    os.utime(world.folder, ns=(2, 2))
    assert await world.after(0) == ["old"]


async def test_what_the_name_server_says_nothing_of_is_not_known() -> None:
    resolver = FakeResolver()
    resolver.fail(f"b._domainkey.{DOMAIN}", "TXT")
    text = key_text(pem("ed"))
    assert await look(DOMAIN, [("a", text), ("b", text), ("c", "")], resolver) == {"a": False, "c": False}
