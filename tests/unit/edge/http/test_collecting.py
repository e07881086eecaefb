"""TLS reports by POST: off unless wanted, read as mailed ones are, and bounded in every direction."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from a3mailer.app.public import public
from a3mailer.app.verbs.office import Office
from a3mailer.edge.http import collecting
from a3mailer.edge.http.collecting import DAY, HOUR, MAX_BODY, MOST_FOR_ONE, MOST_OF_ONE, Collecting
from a3mailer.edge.http.door import HttpDoor
from a3mailer.identity.directory import Directory
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.msgauth.tlsrpt import GZIP_MEDIA, JSON_MEDIA, decode, pack
from a3mailer.ops.reports.tls import posted
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.rows import Report
from a3mailer.testing.clock import FakeClock
from a3mailer.transfer.policy.policy import Policy
from tests.unit.edge.http.api_world import Answer, ApiWorld
from tests.unit.msgauth.test_tlsrpt import EXAMPLE

DOMAIN = "company-y.example"
PACKED = pack(EXAMPLE)


class World(ApiWorld):
    """The public door of a server that has the domain the example of RFC 8460 is about."""

    def make_door(self, policy: Policy) -> HttpDoor:
        directory = Directory(self.store, self.settings)
        self.store.watch(directory.heard)
        return public(
            lambda: self.settings,
            policy,
            self.sending,
            self.store,
            self.authenticator,
            self.http,
            lambda: Office(self.store, Path("/nonexistent"), self.settings, self.clock, self.pool),
            Collecting(self.store, directory.domain, self.clock, posted).routes(),
        )

    async def wants(self, settings: str = '{"tls_post": true}') -> None:
        await self.do(op.PutDomain(DEFAULT_TENANT, DOMAIN, "", settings))

    async def post(
        self,
        octets: bytes = PACKED,
        media: str = GZIP_MEDIA,
        *more: str,
        domain: str = DOMAIN,
        peer: str = "192.0.2.9",
    ) -> Answer:
        lines = [
            f"POST /reports/tls/{domain} HTTP/1.1",
            "Host: mail.a.test",
            f"Content-Length: {len(octets)}",
        ]
        lines += [f"Content-Type: {media}", *more]
        return await self.raw("\r\n".join((*lines, "", "")).encode() + octets, peer=peer)

    async def kept(self) -> tuple[Report, ...]:
        return await self.store.reports("tls")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = FakeClock()
    made = World(MemoryStore(clock), clock)
    await made.settle()
    await made.wants()
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("octets", "media"),
    [(pack(EXAMPLE), GZIP_MEDIA), (EXAMPLE, JSON_MEDIA), (EXAMPLE, "Application/TLSRPT+json; charset=utf-8")],
)
async def test_a_report_is_kept_as_a_mailed_one(world: World, octets: bytes, media: str) -> None:
    assert (await world.post(octets, media)).status == 201
    (row,) = await world.kept()
    assert (row.domain, row.source) == (DOMAIN, "[192.0.2.9]")
    assert decode(row.content.encode()) == decode(EXAMPLE)
    assert (await world.post(octets, media)).status == 201
    assert len(await world.kept()) == 1, "sent again, it is there already"


@pytest.mark.parametrize("settings", ["{}", '{"tls_post": false}', '{"tls_post": 1}', "[]", "no JSON"])
async def test_a_domain_that_does_not_say_so_takes_none(world: World, settings: str) -> None:
    await world.wants(settings)
    assert (await world.post()).status == 404 and not await world.kept()


@pytest.mark.parametrize("domain", ["other.test", "a.test", "..", "%00", "company-y.example.evil.test"])
async def test_of_no_other_domain_anything_is_taken(world: World, domain: str) -> None:
    assert (await world.post(domain=domain)).status == 404 and not await world.kept()


HOSTILE: dict[str, tuple[bytes, str, int]] = {
    "no report": (b"{}", JSON_MEDIA, 400),
    "nothing": (b"", JSON_MEDIA, 400),
    "cut off": (pack(EXAMPLE)[:-9], GZIP_MEDIA, 400),
    "a bomb": (gzip.compress(b" " * (64 << 20)), GZIP_MEDIA, 400),
    "packed twice": (gzip.compress(pack(EXAMPLE)), GZIP_MEDIA, 400),
    "deep": (b'{"a":' + b"[" * 100_000, JSON_MEDIA, 400),
    "names twice": (EXAMPLE.replace(b'"report-id"', b'"contact-info"'), JSON_MEDIA, 400),
    "half a pair": (EXAMPLE.replace(b"Company-X", b"\\ud800"), JSON_MEDIA, 400),
    "HTML": (b"<form>", "text/html", 415),
    "a form": (b"a=b", "application/x-www-form-urlencoded", 415),
    "too large": (b" " * (MAX_BODY + 1), JSON_MEDIA, 413),
    "of others": (EXAMPLE.replace(b"company-y.example", b"company-z.example"), JSON_MEDIA, 422),
    "of a neighbour": (EXAMPLE.replace(b"company-y.example", b"xcompany-y.example"), JSON_MEDIA, 422),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_what_is_not_taken(world: World, what: str) -> None:
    octets, media, status = HOSTILE[what]
    assert (await world.post(octets, media)).status == status
    assert not await world.kept()
    assert (await world.post()).status == 201


async def test_an_encoding_that_was_not_asked_for(world: World) -> None:
    assert (await world.post(pack(EXAMPLE), JSON_MEDIA, "Content-Encoding: gzip")).status == 415


def numbered(number: int) -> bytes:
    tree = json.loads(EXAMPLE)
    return pack(json.dumps({**tree, "report-id": f"{number}@x.test"}).encode())


async def test_nobody_posts_without_end(world: World) -> None:
    told = [await world.post(numbered(n)) for n in range(MOST_OF_ONE + 3)]
    assert [each.status for each in told] == [201] * MOST_OF_ONE + [429] * 3
    assert "Retry-After: 3600" in told[-1].head
    same = await world.post(numbered(50), peer="2001:db8::1")
    assert same.status == 201
    world.clock.advance(HOUR)
    assert (await world.post(numbered(51))).status == 201


async def test_many_networks_fill_no_more_than_their_share(world: World) -> None:
    for number in range(MOST_FOR_ONE):
        assert (await world.post(numbered(number), peer=f"198.51.{number}.1")).status == 201
    refused = await world.post(numbered(1000), peer="203.0.113.1")
    assert refused.status == 429 and len(await world.kept()) == MOST_FOR_ONE
    world.clock.advance(DAY)
    assert (await world.post(numbered(1000), peer="203.0.113.1")).status == 201


async def test_counts_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MOST_COUNTED", 4)
    for number in range(20):
        assert (await world.post(numbered(number), peer=f"198.51.{number}.1")).status == 201


async def test_only_post(world: World) -> None:
    assert (await world.ask(f"GET /reports/tls/{DOMAIN}", None, "")).status == 405
