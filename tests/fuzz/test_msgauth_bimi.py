"""Fuzz targets of BIMI: records, the selector of a mail, and pictures."""

from __future__ import annotations

from a3mailer.msgauth import bimi, bimi_mark, bimi_svg
from tests.fuzz import mutate
from tests.unit.msgauth.test_bimi import RECORD
from tests.unit.msgauth.test_bimi_mark import LATER, ROOT, data, logotype, mark
from tests.unit.msgauth.test_bimi_svg import GOOD

TOKENS = (
    b"<script>", b"</g>", b"<g id='a'>", b"<use href='#a'/>", b"href='", b"url(", b"<!DOCTYPE a [", b"]>",
    b"&#0;", b"<![CDATA[", b"]]>", b"<?x", b"?>", b"<!--", b"-->", b"/>", b" onload='x'", b"xmlns:a='b'",
)  # fmt: skip


def record(octets: bytes) -> None:
    try:
        found = bimi.parse_record(octets)
    except ValueError:
        return
    if found is not None:
        assert all(
            each.lower().startswith("https://") or not each for each in (found.location, found.authority)
        )


def selector(octets: bytes) -> None:
    found = bimi.parse_selector((octets,))
    assert 0 < len(found) <= bimi.MAX_SELECTOR and found == found.lower()


def picture(octets: bytes) -> None:
    try:
        found = bimi_svg.parse(octets)
    except bimi_svg.BadPicture:
        return
    assert found.octets == octets and found.title.isprintable()
    assert b"<script" not in octets or b"<!--" in octets or b"<![CDATA[" in octets


def vouched(octets: bytes) -> None:
    try:
        found = bimi_mark.check(mark(octets, issuer=ROOT), "a.test", "default", [ROOT.certificate], LATER)
    except bimi_mark.BadMark:
        return
    assert found.picture.title and found.authority == "Mark root"


def taken_away(octets: bytes) -> None:
    kept = bimi.strip(octets)
    assert bimi.strip(kept) is kept and len(kept) <= len(octets)
    assert b"\nbimi-location:" not in kept.lower() and b"\nbimi-indicator:" not in kept.lower()


HEADER = b"BIMI-Location: v=BIMI1\r\n l=x\r\nFrom: a@a.test\r\nBIMI-Indicator : x\r\nTo: b@b.test\r\n"


@mutate.CASES
def test_any_octets_are_a_header_without_bimi(count: int, seed: int) -> None:
    mutate.run(
        taken_away, (HEADER,), count=count, seed=seed, tokens=(b"\nbimi-", b"\r\n ", b"location:", b"\n\n")
    )


@mutate.CASES
def test_any_octets_are_a_logotype(count: int, seed: int) -> None:
    mutate.run(
        vouched,
        (logotype(data(GOOD)),),
        count=count,
        seed=seed,
        tokens=(b"\x30\x80", b"\x16\x84", b"\x30\x00"),
    )


@mutate.CASES
def test_any_octets_are_a_bimi_record(count: int, seed: int) -> None:
    mutate.run(record, (RECORD,), count=count, seed=seed, tokens=(b"; ", b"l=", b"a=", b"https://", b"self"))


@mutate.CASES
def test_any_octets_are_a_bimi_selector(count: int, seed: int) -> None:
    mutate.run(
        selector, (b"v=BIMI1; s=brand",), count=count, seed=seed, tokens=(b"; ", b"s=", b".", b"\r\n ")
    )


@mutate.CASES
def test_any_octets_are_a_picture(count: int, seed: int) -> None:
    mutate.run(picture, (GOOD,), count=count, seed=seed, tokens=TOKENS)
