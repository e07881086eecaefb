"""Dates on the wire (RFC 9051 section 9, date and date-time)."""

from __future__ import annotations

import datetime
from typing import Final

from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.parser import DIGITS, Parser

MONTHS: Final = (
    b"Jan",
    b"Feb",
    b"Mar",
    b"Apr",
    b"May",
    b"Jun",
    b"Jul",
    b"Aug",
    b"Sep",
    b"Oct",
    b"Nov",
    b"Dec",
)
_MONTH: Final = {name.upper(): number for number, name in enumerate(MONTHS, 1)}
DAY: Final = 86400
_EPOCH: Final = datetime.date(1970, 1, 1).toordinal()


# date = date-text / DQUOTE date-text DQUOTE     date-text = date-day "-" date-month "-" date-year
def parse_date(p: Parser) -> int:
    """A day, as days since 1970-01-01. Errors: BadSyntax."""
    quoted = p.take(b'"')
    day = int(_digits(p, 1, 2))
    number = _day_of(p, day)
    if quoted:
        p.expect(b'"')
    return number


# date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
def parse_date_time(p: Parser) -> int:
    """Seconds since the epoch, never negative. Errors: BadSyntax."""
    p.expect(b'"')
    day = int(_digits(p, 1, 1) if p.take(b" ") else _digits(p, 1, 2))
    days = _day_of(p, day)
    p.space()
    hour = _two(p, 23)
    p.expect(b":")
    minute = _two(p, 59)
    p.expect(b":")
    second = min(_two(p, 60), 59)
    p.space()
    east = p.peek() == b"+"
    if not (p.take(b"+") or p.take(b"-")):
        raise p.fail("time zone expected")
    offset = _two(p, 23) * 3600 + _two(p, 59) * 60
    p.expect(b'"')
    seconds = days * DAY + hour * 3600 + minute * 60 + second - (offset if east else -offset)
    return max(0, seconds)


def _digits(p: Parser, least: int, most: int) -> bytes:
    digits = p.run(DIGITS, most)
    if len(digits) < least:
        raise p.fail("date expected")
    return digits


def _two(p: Parser, most: int) -> int:
    digits = p.octets[p.at : p.at + 2]
    if len(digits) != 2 or not digits.isdigit() or int(digits) > most:
        raise p.fail("no such time")
    p.at += 2
    return int(digits)


def _day_of(p: Parser, day: int) -> int:
    p.expect(b"-")
    name = p.octets[p.at : p.at + 3].upper()
    if name not in _MONTH:
        raise p.fail("no such month")
    p.at += 3
    p.expect(b"-")
    year = p.octets[p.at : p.at + 4]
    if len(year) != 4 or not year.isdigit():
        raise p.fail("year expected")
    p.at += 4
    try:
        return datetime.date(int(year), _MONTH[name], day).toordinal() - _EPOCH
    except ValueError as error:
        raise BadSyntax("no such day") from error


def print_date_time(seconds: int) -> str:
    """``"17-Jul-1996 02:44:25 +0000"`` with its quotes, in UTC."""
    days, rest = divmod(seconds, DAY)
    date = datetime.date.fromordinal(min(days + _EPOCH, datetime.date.max.toordinal()))
    month = MONTHS[date.month - 1].decode("ascii")
    time = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f'"{date.day:02}-{month}-{date.year:04} {time} +0000"'
