"""The daily look of a running server: from what it holds to sections, by its own resolver."""

from __future__ import annotations

import asyncio
import os
import pathlib
import socket
import ssl
from types import SimpleNamespace

from a3mailer.app.examining import examiner, hours
from a3mailer.app.main import main
from a3mailer.config.load import load
from a3mailer.config.tree import Dns, Server, Settings
from a3mailer.runtime import dnssec
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.http import HttpClient
from a3mailer.testing.nameserver import NameServer


async def ends_here(domain: str) -> None:
    return None


async def test_a_server_that_the_world_reaches_examines_its_domains(tmp_path: pathlib.Path) -> None:
    before = os.umask(0o022)
    place, clock = tmp_path / "instance", SystemClock()
    assert await asyncio.to_thread(main, ["init", str(place), "--domain", "example.test"]) == 0
    os.umask(before)
    settings = load(place, {}, {}).settings
    async with NameServer() as server:
        server.put("example.test. 60 IN MX 5 mx.other.test.")
        resolver = dnssec.resolver_of(Dns(servers=(f"127.0.0.1:{server.port}",), dnssec="off"), clock)
        client = HttpClient(resolver, clock, ssl.create_default_context(), inside=True)
        with socket.create_server(("0.0.0.0", 0)) as smtp, socket.create_server(("127.0.0.1", 0)) as lmtp:
            for bound, reachable in (({"lmtp": [lmtp]}, False), ({"lmtp": [lmtp], "smtp": [smtp]}, True)):
                held = SimpleNamespace(directory=place, bound=bound)
                examine = examiner(held, resolver, client, lambda: settings, clock, ends_here)  # type: ignore[arg-type]
                assert (examine is not None) is reachable
            assert examine is not None
            validator, sections = await examine("example.test")
        found = {each.subject: each for each in sections}
        assert validator.startswith("nobody") and "mx.other.test" in found["mx"].errors[0]
        assert "self-signed" in found["certificate"].warnings[0]
        await client.close()
        resolver.close()


def test_where_nothing_is_judged_nothing_is_looked_at() -> None:
    assert hours(Settings()) == 24.0 and hours(Settings(server=Server(profile="plain"))) == 0.0
    assert hours(Settings(dns=Dns(check_hours=6))) == 6.0
