"""Fuzz targets of DMARC aggregate reports (RFC 7489) and of abuse reports (RFC 5965), from anybody."""

from __future__ import annotations

import gzip
import json

import msgspec

from a3mailer.mail.message import index
from a3mailer.msgauth import feedback
from a3mailer.msgauth.aggregate import MAX_AUTH, MAX_TEXT, encode, parse
from a3mailer.msgauth.packed import MAX_UNPACKED, Unreadable, unpack
from tests.fuzz import mutate
from tests.unit.msgauth.test_aggregate import WITHOUT_NAMESPACE, zipped
from tests.unit.msgauth.test_feedback import ABUSE

TOKENS = (b"<record>", b"</record>", b"<!DOCTYPE a [", b"<!ENTITY b 'c'>", b"]>", b"&b;", b"&#0;",
          b"&#55555;", b"<![CDATA[", b"]]>", b"<?x", b"?>", b"<!--", b"-->", b"<row>", b"/>", b"\xff\xfe",
          b"<a b='c'")  # fmt: skip
FIELDS = (b"\r\n", b"\n\n", b"Feedback-Type: ", b"message/feedback-report", b"--part1_13d.2e68ed54_boundary",
          b": ", b"Incidents: ", b"=?utf-8?q?", b"?=", b"\0", b"\xed\xa0\x80", b"base64")  # fmt: skip


def aggregate(octets: bytes) -> None:
    try:
        found = parse(octets)
    except Unreadable:
        return
    assert found.published.domain
    assert all(len(row.dkim_auth) <= MAX_AUTH and row.header_from.isprintable() for row in found.rows)
    assert len(found.report_id) <= MAX_TEXT
    assert json.loads(msgspec.json.encode(found))
    assert parse(encode(found)).rows == found.rows


def packed(octets: bytes) -> None:
    try:
        assert len(unpack(octets)) <= MAX_UNPACKED
    except Unreadable:
        return


def abuse(octets: bytes) -> None:
    found = feedback.parse(octets, index(octets))
    if found is None:
        return
    assert found.incidents > 0
    assert all(text.isprintable() for text in (found.subject, found.author, found.mail_from, *found.results))
    assert msgspec.json.encode(found)
    mail = feedback.compose(
        found,
        feedback.redact(octets[:200], b"k"),
        sender="p@b.test",
        to="r@a.test",
        subject="x",
        now=1,
        token="t",
    )
    again = feedback.parse(mail, index(mail))
    assert again is not None


@mutate.CASES
def test_any_octets_are_an_aggregate_report(count: int, seed: int) -> None:
    mutate.run(
        aggregate,
        (WITHOUT_NAMESPACE, encode(parse(WITHOUT_NAMESPACE))),
        count=count,
        seed=seed,
        tokens=TOKENS,
    )


@mutate.CASES
def test_any_octets_are_a_packed_report(count: int, seed: int) -> None:
    small = WITHOUT_NAMESPACE[:500]
    mutate.run(packed, (gzip.compress(small, mtime=0), zipped(small)), count=count, seed=seed)


@mutate.CASES
def test_any_octets_are_an_abuse_report(count: int, seed: int) -> None:
    mutate.run(abuse, (ABUSE,), count=count, seed=seed, tokens=FIELDS)
