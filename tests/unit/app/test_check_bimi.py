"""check bimi: record, policy and picture of a domain, in one look."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from a3mailer.app.cli.check import Brand, look_at_brand
from a3mailer.app.main import main
from a3mailer.msgauth.bimi_svg import MAX_PICTURE
from a3mailer.runtime.http import HttpFailure
from a3mailer.testing.resolver import FakeResolver
from tests.certificates import Certified, authority
from tests.unit.msgauth.test_bimi import LOGO, RECORD
from tests.unit.msgauth.test_bimi_mark import FILE, ROOT, data, logotype, mark
from tests.unit.msgauth.test_bimi_svg import GOOD, picture


@dataclass
class Page:
    status: int = 200
    body: bytes = GOOD
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def __call__(self, url: str, *, most: int) -> Page:
        self.asked.append((url, most))
        if not self.status:
            raise HttpFailure("refused", "inside")
        return self


def world(policy: bytes = b"v=DMARC1; p=reject") -> FakeResolver:
    made = FakeResolver()
    made.put("_dmarc.a.test", "TXT", policy)
    made.put("default._bimi.a.test", "TXT", RECORD)
    return made


async def test_all_is_well() -> None:
    page = Page()
    found = await look_at_brand(Brand("a.test"), world(), page)
    assert (found["result"], found["title"], found["square"]) == ("pass", "A Test", True)
    assert (found["location"], found["octets"]) == (LOGO, len(GOOD))
    assert page.asked == [(LOGO, MAX_PICTURE)]


@pytest.mark.parametrize(
    ("page", "result", "words"),
    [
        (Page(404), "temperror", "404"),
        (Page(body=b"<svg/>"), "fail", "cannot be shown"),
        (Page(0), "temperror", "inside"),
    ],
)
async def test_a_picture_that_cannot_be_had(page: Page, result: str, words: str) -> None:
    found = await look_at_brand(Brand("a.test"), world(), page)
    assert found["result"] == result and words in str(found["reason"])


async def test_what_the_policy_does_not_allow() -> None:
    found = await look_at_brand(Brand("a.test"), world(b"v=DMARC1; p=none"), Page())
    assert (found["result"], found["title"]) == ("skipped", "A Test") and "p=none" in str(found["reason"])
    none = FakeResolver()
    assert (await look_at_brand(Brand("a.test"), none, Page()))["result"] == "none"
    none.put("default._bimi.a.test", "TXT", RECORD)
    found = await look_at_brand(Brand("a.test"), none, Page())
    assert found["result"] == "skipped" and "no DMARC record" in str(found["reason"])
    none.fail("_dmarc.a.test", "TXT")
    assert (await look_at_brand(Brand("a.test"), none, Page()))["result"] == "temperror"


@pytest.mark.parametrize("words", [("a test",), ("a.test", "--selector", "a b")])
def test_what_cannot_be_asked(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "bimi", *words, "--dns", "127.0.0.1:9"]) == 2
    assert "is no" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("believed", "body", "result", "words"),
    [
        (ROOT, FILE, "pass", ""),
        (ROOT, GOOD, "fail", "cannot be read"),
        (authority("Nobody"), FILE, "fail", "believed"),
        (ROOT, mark(logotype(data(picture("<g/>")))), "fail", "another picture"),
    ],
)
async def test_somebody_vouches(believed: Certified, body: bytes, result: str, words: str) -> None:
    async def get(url: str, *, most: int) -> Page:
        return Page(body=body if url.endswith(".pem") else GOOD)

    found = await look_at_brand(Brand("a.test", authorities=(believed.certificate,)), world(), get)
    assert found["result"] == result and words in str(found["reason"])
    assert found.get("vouched_for_by") == ("Mark root" if result == "pass" else None)
