"""Pictures of authors: fetched behind the mail's back, shown where vouched for, kept within bounds."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from a3mailer.config.tree import Msgauth, Settings
from a3mailer.mail.authresults import MethodResult
from a3mailer.mail.ids import SYSTEM_ACCOUNT
from a3mailer.msgauth.bimi import Assertion, BimiResult
from a3mailer.msgauth.bimi_svg import MAX_PICTURE
from a3mailer.runtime.http import HttpAnswer, HttpClient, HttpFailure
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer import indicators
from a3mailer.transfer.indicators import (
    DAY,
    HOUR,
    KIND,
    MEDIA,
    MISSED,
    MOST_AN_HOUR,
    MOST_OF_ONE,
    PICTURE,
    REFUSED,
    VERIFIED,
    Indicator,
    Indicators,
    location_field,
    shown,
    told,
    words,
)
from tests.certificates import NOW
from tests.unit.msgauth.test_bimi_mark import FILE, ROOT, data, logotype, mark
from tests.unit.msgauth.test_bimi_svg import GOOD, picture
from tests.unit.transfer.store import WatchedStore
from tests.web import Authority, Web, reply

LOGO, PEM = "https://a.test/logo.svg", "https://a.test/vmc.pem"
CERTIFIED = BimiResult("pass", "a.test", "default", Assertion(LOGO, PEM), organizational="a.test")
PLAIN = BimiResult("pass", "a.test", "default", Assertion(LOGO), organizational="a.test")


@dataclass
class Pages:
    """The web: answers by address."""

    pages: Mapping[str, HttpAnswer | HttpFailure]
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def get(self, url: str, *, most: int, seconds: float) -> HttpAnswer:
        self.asked.append((url, most))
        found = self.pages.get(url, HttpAnswer(404, "", b""))
        if isinstance(found, HttpFailure):
            raise found
        return found


@dataclass
class World:
    web: Any
    clock: FakeClock
    store: WatchedStore
    indicators: Indicators
    settings: Settings

    async def seen(self, found: BimiResult = CERTIFIED) -> Indicator | None:
        """What is known once what waited was fetched."""
        await self.indicators.about(found)
        await self.indicators.round()
        return await self.indicators.about(found)


def settings(**given: Any) -> Settings:
    return Settings(msgauth=Msgauth(bimi=True, bimi_authorities="marks.pem", **given))


def world(folder: Path, pem: HttpAnswer | HttpFailure | None = None, web: Any = None, **given: Any) -> World:
    (folder / "marks.pem").write_bytes(ROOT.pem)
    clock = FakeClock(NOW.timestamp() + HOUR)
    store = WatchedStore(clock)
    pages = web or Pages(
        {PEM: pem or HttpAnswer(200, "text/plain", FILE), LOGO: HttpAnswer(200, MEDIA, GOOD)}
    )
    used = settings(**given)
    return World(pages, clock, store, Indicators(store, pages, clock, folder, used), used)


async def test_a_mark_is_fetched_once_and_told_of(tmp_path: Path) -> None:
    here = world(tmp_path)
    assert await here.indicators.about(CERTIFIED) is None and not here.web.asked
    result, location = told(CERTIFIED, None)
    assert (result.result, result.reason) == ("pass", "its indicator is not looked at yet") and not location
    known = await here.seen()
    assert known is not None and known.state == VERIFIED and here.web.asked == [(PEM, 128 * 1024)]
    assert words(known) == "the indicator of a.test, certified by Mark root for A Test Inc."
    result, location = told(CERTIFIED, known)
    assert result == CERTIFIED.method_result("pass")
    assert location == f"BIMI-Location: v=BIMI1;\r\n\tl={LOGO};\r\n\ta={PEM}\r\n".encode()
    assert await shown(here.store, "a.test", "default", here.clock.now()) == (known, GOOD)
    # another worker has it from the store
    other = Indicators(here.store, here.web, here.clock, tmp_path, here.settings)
    assert await other.about(CERTIFIED) == known and len(here.web.asked) == 1


async def test_it_is_looked_at_again_and_kept_while_it_cannot_be_had(tmp_path: Path) -> None:
    here = world(tmp_path)
    first = await here.seen()
    here.web.pages = {PEM: HttpFailure("timeout", "no answer")}
    here.clock.advance(DAY + 1)
    again = await here.seen()
    assert again is not None and again.state == VERIFIED and len(here.web.asked) == 2
    assert (await here.seen()) == again and len(here.web.asked) == 2  # left alone for an hour
    here.clock.advance(6 * DAY)
    gone = await here.seen()
    assert gone is not None and gone.state == MISSED and first is not None
    assert told(CERTIFIED, gone)[0].result == "temperror"
    assert (await shown(here.store, "a.test", "default", here.clock.now()))[1] == b""
    assert await here.store.document(SYSTEM_ACCOUNT, PICTURE, "a.test/default") is None


async def test_it_is_shown_no_longer_than_its_certificate(tmp_path: Path) -> None:
    here = world(tmp_path, HttpAnswer(200, "", mark(logotype(data(GOOD)), days=1)))
    known = await here.seen()
    assert known is not None and known.until == int((NOW + timedelta(days=1)).timestamp())
    here.clock.advance(23 * HOUR + 1)
    assert (await shown(here.store, "a.test", "default", here.clock.now()))[1] == b""
    expired = await here.seen()
    assert expired is not None and expired.state == REFUSED


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (HttpAnswer(200, "", mark(logotype(data(GOOD)), days=-1)), "vouches for it now"),
        (HttpAnswer(200, "", mark(logotype(data(picture("<script/>"))))), "cannot be shown"),
        (HttpAnswer(200, "", mark(logotype(data(GOOD)), "b.test")), "not for a.test"),
        (HttpAnswer(200, "", b"<html>"), "cannot be read"),
        (HttpAnswer(302, "", b""), "answers 302"),
        (HttpAnswer(404, "", b""), "answers 404"),
        (HttpFailure("refused", "a.test is at 10.0.0.1"), "10.0.0.1"),
        (HttpFailure("size", "sends more"), "sends more"),
    ],
)
async def test_what_vouches_for_nothing_is_remembered_for_a_day(
    tmp_path: Path, answer: HttpAnswer | HttpFailure, reason: str
) -> None:
    here = world(tmp_path, answer)
    known = await here.seen()
    assert known is not None and known.state == REFUSED and reason in known.reason
    result, location = told(CERTIFIED, known)
    assert (result.result, result.value("policy", "authority"), location) == ("fail", "fail", b"")
    here.clock.advance(DAY - 60)
    await here.seen()
    assert len(here.web.asked) == 1
    here.clock.advance(120)
    await here.seen()
    assert len(here.web.asked) == 2


@pytest.mark.parametrize("status", [500, 503])
async def test_a_server_in_trouble_is_asked_again_after_an_hour(tmp_path: Path, status: int) -> None:
    here = world(tmp_path, HttpAnswer(status, "", b""))
    known = await here.seen()
    assert known is not None and known.state == MISSED
    here.clock.advance(HOUR + 1)
    await here.seen()
    assert len(here.web.asked) == 2


async def test_a_picture_that_nobody_vouches_for_is_not_even_fetched(tmp_path: Path) -> None:
    here = world(tmp_path)
    known = await here.seen(PLAIN)
    assert known is not None and not here.web.asked
    assert told(PLAIN, known) == (
        MethodResult("bimi", "pass", "nobody vouches for its indicator", PLAIN.method_result().properties),
        b"",
    )
    assert words(known) == "no indicator of a.test is shown: nobody vouches for its indicator"


async def test_where_it_may_be_shown_it_is_not_called_verified(tmp_path: Path) -> None:
    here = world(tmp_path, bimi_unverified=True)
    known = await here.seen(PLAIN)
    assert known is not None and words(known).endswith("for which nobody but a.test vouches")
    assert here.web.asked == [(LOGO, MAX_PICTURE)]
    result, location = told(PLAIN, known)
    assert result.value("policy", "authority") == "none" and location.endswith(f"l={LOGO}\r\n".encode())
    here.indicators.reconfigure(settings())
    known = await here.indicators.about(PLAIN)
    assert known is not None and known.state == "unvouched"


async def test_without_authorities_no_certificate_counts(tmp_path: Path) -> None:
    here = world(tmp_path)
    assert await here.seen() is not None
    (tmp_path / "marks.pem").write_bytes(b"nothing")
    here.indicators.reconfigure(here.settings)
    known = await here.seen()
    assert known is not None and known.reason == "no authority is believed" and len(here.web.asked) == 1


async def test_another_assertion_is_another_picture(tmp_path: Path) -> None:
    here = world(tmp_path)
    await here.seen()
    moved = BimiResult("pass", "a.test", "default", Assertion("", "https://a.test/other.pem"))
    assert await here.indicators.about(moved) is None
    assert (known := await here.seen(moved)) is not None and known.state == REFUSED


BOMBS = {
    "entities": b'<!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + GOOD,
    "nested uses": picture("<g id='a'><use href='#a'/></g>"),
    "deep": picture("<g>" * 200 + "</g>" * 200),
    "elsewhere": picture('<image href="https://evil.test/x.png"/>'),
    "script": picture("<script>alert(1)</script>"),
    "packed": gzip.compress(b" " * (8 << 20)),
    "packed twice": gzip.compress(gzip.compress(GOOD)),
    "nothing": b"",
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_is_no_picture(tmp_path: Path, bomb: str) -> None:
    pages = Pages({LOGO: HttpAnswer(200, MEDIA, BOMBS[bomb])})
    here = world(tmp_path, web=pages, bimi_unverified=True)
    known = await here.seen(PLAIN)
    assert known is not None and known.state == REFUSED
    assert await shown(here.store, "a.test", "default", here.clock.now()) == (known, b"")


@pytest.mark.parametrize("media", ["text/html", "", "image/svg", "image/png"])
async def test_a_page_that_says_it_is_something_else_is_none(tmp_path: Path, media: str) -> None:
    here = world(tmp_path, web=Pages({LOGO: HttpAnswer(200, media, GOOD)}), bimi_unverified=True)
    known = await here.seen(PLAIN)
    assert known is not None and known.state == REFUSED and "not image/svg+xml" in known.reason


async def test_a_packed_picture_is_one(tmp_path: Path) -> None:
    here = world(
        tmp_path, web=Pages({LOGO: HttpAnswer(200, MEDIA, gzip.compress(GOOD))}), bimi_unverified=True
    )
    known = await here.seen(PLAIN)
    assert known is not None
    assert await shown(here.store, "a.test", "default", here.clock.now()) == (known, GOOD)


def of(domain: str, organization: str = "") -> BimiResult:
    assertion = Assertion("", f"https://{domain}/vmc.pem")
    return BimiResult("pass", domain, "default", assertion, organizational=organization or domain)


async def test_no_sender_can_make_us_ask_without_end(tmp_path: Path) -> None:
    here = world(tmp_path)
    for number in range(50):
        await here.seen(of(f"n{number}.a.test", "a.test"))
    assert len(here.web.asked) == MOST_OF_ONE
    for number in range(MOST_AN_HOUR + 50):
        await here.seen(of(f"d{number}.test"))
    assert len(here.web.asked) == MOST_AN_HOUR
    here.clock.advance(HOUR)
    await here.seen(of("n49.a.test", "a.test"))
    assert len(here.web.asked) == MOST_AN_HOUR + 1


async def test_the_store_keeps_so_many_and_those_that_end_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indicators, "MOST", 5)
    here = world(tmp_path)
    await here.seen()
    for number in range(12):
        await here.seen(of(f"d{number}.test"))
        here.clock.advance(1)
    rows = await here.store.documents(SYSTEM_ACCOUNT, KIND)
    assert [row.name for row in rows] == ["a.test/default", *(f"d{n}.test/default" for n in (10, 11, 8, 9))]
    assert len(await here.store.documents(SYSTEM_ACCOUNT, PICTURE)) == 1


async def test_run_fetches_until_it_is_stopped(tmp_path: Path) -> None:
    here = world(tmp_path)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(here.indicators.run(stop))
        while await here.indicators.about(CERTIFIED) is None:
            await asyncio.sleep(0)
        stop.set()


def test_an_address_that_fits_no_line_is_not_told() -> None:
    assert location_field(Indicator("a.test", "default", "https://a.test/" + "x" * 990, "", VERIFIED)) == b""


# --- a real server, a real client ------------------------------------------------------------------


async def _from_the_web(
    folder: Path, answer: bytes, *, inside: bool = True, name: str = "a.test"
) -> Indicator:
    resolver = FakeResolver()
    resolver.put("a.test", "A", "127.0.0.1")
    authority = Authority(folder)
    async with Web(authority.server(name), answer) as web:
        clock = FakeClock(NOW.timestamp() + HOUR)
        client = HttpClient(resolver, clock, authority.client(), inside=inside)
        here = world(folder, web=client, bimi_unverified=True)
        address = f"https://a.test:{web.port}/logo.svg"
        known = await here.seen(BimiResult("pass", "a.test", "default", Assertion(address)))
        await client.close()
        assert known is not None
        if known.state == "asserted":
            assert (await shown(here.store, "a.test", "default", clock.now()))[1] == GOOD
        return known


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (reply(GOOD, media=MEDIA), "asserted", ""),
        (reply(b"x" * (10 << 20), media=MEDIA), REFUSED, "more than"),
        (reply(GOOD, media="text/html"), REFUSED, "text/html"),
        (reply(b"", "Location: http://169.254.169.254/", status="302 Found"), REFUSED, "302"),
        (reply(GOOD, "Content-Encoding: gzip", media=MEDIA), REFUSED, "encoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n<svg", MISSED, "a.test"),
    ],
)
async def test_what_a_real_server_may_answer(tmp_path: Path, answer: bytes, state: str, reason: str) -> None:
    known = await _from_the_web(tmp_path, answer)
    assert known.state == state and reason in known.reason


async def test_an_address_inside_is_not_asked(tmp_path: Path) -> None:
    known = await _from_the_web(tmp_path, reply(GOOD, media=MEDIA), inside=False)
    assert known.state == REFUSED and "not a public address" in known.reason


async def test_a_server_of_another_name_is_not_believed(tmp_path: Path) -> None:
    known = await _from_the_web(tmp_path, reply(GOOD, media=MEDIA), name="b.test")
    assert known.state == MISSED
