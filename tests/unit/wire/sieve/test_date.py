"""date and index (RFC 5260)."""

from __future__ import annotations

import pytest

from a3mailer.wire.sieve.errors import ScriptError
from tests.unit.wire.sieve.scripts import told, true

NEED = '"date", "index", "relational", "comparator-i;ascii-numeric"'
MAIL = b"""Received: from a; Sun, 25 Feb 2007 12:00:00 +0000 (UTC)
Received: from b; Mon, 26 Feb 2007 13:30:01 +0130
Received: from c; no date
Date: Tue, 1 Apr 1997 09:06:31 -0800 (PST)
X-Bad: Tue, 32 Jan 1997 09:06:31 -0800
X-Leap: 29 Feb 1997 09:06:31 -0800
X-Zone: 1 Jan 2000 00:00:00 GMT
X-East: 1 Jan 2000 00:00:00 pdt (a comment)
X-Nowhere: 1 Jan 2000 00:00:00 A
X-Last: Tue, 1 Apr 1997 09:06:31 -0800; Wed, 31 Dec 2003 23:59:59 +0000
To: a@x.example, b@x.example
To: c@x.example
X: 1
Y: 2
X: 3

""".replace(b"\n", b"\r\n")
NOW = (1_183_766_400 + 3_661, 120)  # 2007-07-07T01:01:01Z, a Saturday


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ("year", "1997"),
        ("MONTH", "04"),
        ("day", "01"),
        ("date", "1997-04-01"),
        ("julian", "50539"),
        ("hour", "09"),
        ("minute", "06"),
        ("second", "31"),
        ("time", "09:06:31"),
        ("iso8601", "1997-04-01T09:06:31-08:00"),
        ("std11", "Tue, 01 Apr 1997 09:06:31 -0800"),
        ("zone", "-0800"),
        ("weekday", "2"),
    ],
)
def test_parts_of_a_date(part: str, wanted: str) -> None:
    assert true(f'date :originalzone "date" "{part}" "{wanted}"', MAIL, NEED)


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        ('date :zone "+0530" "date" "iso8601" "1997-04-01T22:36:31+05:30"', True),
        ('date :zone "+0000" "date" "iso8601" "1997-04-01T17:06:31Z"', True),
        ('date :zone "-0000" "date" "zone" "+0000"', True),
        ('date "date" "iso8601" "1997-04-01T19:06:31+02:00"', True),
        ('date :zone "+1200" "date" "weekday" "3"', True),
        ('date :originalzone "received" "date" "2007-02-25"', True),
        ('date :originalzone :index 2 "received" "time" "13:30:01"', True),
        ('date :zone "+0000" :index 2 "received" "time" "12:00:01"', True),
        ('date :index 3 "received" "year" "2007"', False),
        ('date :index 2 :last :originalzone "received" "zone" "+0130"', True),
        ('date :index 4 "received" "year" "2007"', False),
        ('date "x-bad" "year" "1997"', False),
        ('date :matches "x-bad" "year" "*"', False),
        ('date :matches "x-leap" "year" "*"', False),
        ('date :matches "x-none" "year" "*"', False),
        ('date :originalzone "x-zone" "zone" "+0000"', True),
        ('date :originalzone "x-east" "iso8601" "2000-01-01T00:00:00-07:00"', True),
        ('date :originalzone "x-nowhere" "iso8601" "2000-01-01T00:00:00Z"', True),
        ('date :originalzone "x-last" "date" "2003-12-31"', True),
        ('date :value "ge" :originalzone "date" "hour" "09"', True),
        ('date :value "lt" :originalzone "date" "hour" "09"', False),
        ('date :count "eq" :comparator "i;ascii-numeric" "date" "year" "1"', True),
        ('date :count "eq" :comparator "i;ascii-numeric" "x-bad" "year" "0"', True),
        ('currentdate :zone "+0000" "iso8601" "2007-07-07T01:01:01Z"', True),
        ('currentdate "time" "03:01:01"', True),
        ('currentdate "weekday" "6"', True),
        ('currentdate "zone" "+0200"', True),
        ('currentdate :count "eq" :comparator "i;ascii-numeric" "date" "1"', True),
        ('header :index 1 "x" "1"', True),
        ('header :index 2 "x" "1"', False),
        ('header :index 2 "x" "3"', True),
        ('header :index 1 :last "x" "3"', True),
        ('header :last :index 2 "x" "1"', True),
        ('header :index 3 ["x", "y"] "2"', True),
        ('header :index 9 :contains "x" ""', False),
        ('header :index 9 :last :contains "x" ""', False),
        ('address :index 1 "to" "b@x.example"', True),
        ('address :index 2 "to" "b@x.example"', False),
        ('address :index 1 :last "to" "c@x.example"', True),
        ('address :index 1 :count "eq" :comparator "i;ascii-numeric" "to" "2"', True),
    ],
)
def test_dates_and_indices(test: str, wanted: bool) -> None:
    assert true(test, MAIL, NEED, now=NOW) is wanted


@pytest.mark.parametrize(
    ("test", "text"),
    [
        ('date :zone "+0000" :originalzone "date" "year" "1997"', "only one of them"),
        ('currentdate :originalzone "year" "1997"', "takes no :originalzone"),
        ('date :zone "0000" "date" "year" "1997"', "no time zone"),
        ('date :zone "+0060" "date" "year" "1997"', "no time zone"),
        ('date "date" "century" "20"', "is no part of a date"),
        ('header :last "x" "1"', ":last without :index"),
        ('header :index 0 "x" "1"', "counts from 1"),
        ('exists :index 1 "x"', "takes no :index"),
    ],
)
def test_what_cannot_be(test: str, text: str) -> None:
    with pytest.raises(ScriptError, match=text):
        told(f"require [{NEED}]; if {test} {{ }}")


def test_without_a_clock_the_current_date_is_an_error() -> None:
    assert told('require "date"; if currentdate "year" "2007" { }')[0].endswith("the time is not known here")


def test_the_example_of_a_mailbox_by_month() -> None:
    script = """require ["date", "variables", "fileinto"];
        if currentdate :matches "month" "*" { set "month" "${1}"; }
        if currentdate :matches "year"  "*" { set "year"  "${1}"; }
        fileinto "${month}-${year}";"""
    assert told(script, now=NOW) == ["fileinto 07-2007"]
