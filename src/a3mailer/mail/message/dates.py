"""The Date field (RFC 5322 section 3.3, obsolete zones and years of section 4.3): to Unix time and back.

Unix times are UTC seconds. Tolerant: the parts may come in the order of RFC 5322, of asctime or of RFC 850;
what is no date is None; nothing here raises on any octets.
"""

import re
from functools import lru_cache
from typing import Final

from a3mailer.mail.message import limits
from a3mailer.mail.message.ascii import COLON

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}
_NAMES: Final = tuple(name.decode().title() for name in _MONTHS)
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ZONES: Final = {
    b"ut": 0,
    b"gmt": 0,
    b"utc": 0,
    b"z": 0,
    b"edt": -4,
    b"est": -5,
    b"cdt": -5,
    b"cst": -6,
    b"mdt": -6,
    b"mst": -7,
    b"pdt": -7,
    b"pst": -8,
}
_USUAL: Final = re.compile(rb"([^:]{1,30} )([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])( .{1,20})")
_LONGEST: Final = 200  # octets of the field that are looked at
_DAY: Final = 86_400


def days_from_civil(year: int, month: int, day: int) -> int:
    """Return the days from 1970-01-01 to a date of the Gregorian calendar (years count from March)."""
    if month <= 2:
        year -= 1
        month += 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 719_469


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


# date-time = [day-of-week ","] day month year hour ":" minute [":" second] zone
def parse(value: bytes) -> int | None:
    """Return the Unix time of an unfolded Date value, None when it holds no date."""
    usual = _USUAL.fullmatch(value)
    if usual is not None:
        date, hour, minute, second, zone = usual.groups()
        midnight = _midnight(date, zone)
        if midnight is not None:
            return midnight + 3600 * int(hour) + 60 * int(minute) + int(second)
    return parse_general(value)


@lru_cache(limits.REMEMBERED)
def _midnight(date: bytes, zone: bytes) -> int | None:
    """Return the Unix time of 00:00:00, None where the words around the time are not the usual ones.

    Mails come on few days and from few zones, but at any second.
    """
    words, zones = date.lower().split(), zone.lower().split()
    if len(words) != 4 or words[0][-1:] != b"," or words[2] not in _MONTHS or not zones:
        return None
    day = _date(words[1], words[2], words[3])
    return None if day is None else day - zone_seconds(zones[0])


def parse_general(value: bytes) -> int | None:
    """Return what `parse` returns, by the way that knows all forms."""
    words = value[:_LONGEST].lower().split()
    if len(words) < 6 or words[0][-1:] != b"," or words[2] not in _MONTHS:
        words = _ordered(words)
        if len(words) < 3:
            return None
    else:
        del words[0]
    date = _date(words[0], words[1], words[2])
    if date is None:
        return None
    return (
        date + _time(words[3] if len(words) > 3 else b"") - zone_seconds(words[4] if len(words) > 4 else b"")
    )


def _ordered(words: list[bytes]) -> list[bytes]:
    """Return the words of an unusual date in the order day, month, year, time, zone."""
    text = b" ".join(words).partition(b"(")[0]
    words = text.replace(b",", b" ").split()
    if words and words[0][:1].isalpha() and words[0][:3] not in _MONTHS:
        del words[0]  # day-of-week, whatever language it is in
    if words and words[0].count(b"-") == 2:
        words[0:1] = words[0].split(b"-")
    if len(words) >= 3 and words[0][:3] in _MONTHS:
        words[0], words[1] = words[1], words[0]
        if len(words) > 3 and COLON in words[2]:  # asctime: the year comes last
            words[2], words[3] = words[3], words[2]
    return words


def _number(word: bytes) -> int:
    return int(word) if word.isdigit() and len(word) <= 4 else -1


def _date(day_word: bytes, month_word: bytes, year_word: bytes) -> int | None:
    month = _MONTHS.get(month_word[:3])
    day, year = _number(day_word), _number(year_word)
    if month is None or year < 0 or day < 1:
        return None
    if len(year_word) < 4:
        year += 2000 if year < 50 and len(year_word) == 2 else 1900
    if day > 28 and day > _LENGTHS[month - 1] + (month == 2 and _leap(year)):
        return None
    return days_from_civil(year, month, day) * _DAY


# time-of-day = hour ":" minute [":" second]      ; an invalid time is 00:00:00 (RFC 5256 section 2.2)
def _time(word: bytes) -> int:
    if len(word) != 8:
        hour_word, _, rest = word.partition(b":")
        minute_word, _, second_word = rest.partition(b":")
        word = b":".join([digits.rjust(2, b"0") for digits in (hour_word, minute_word, second_word[:2])])
    digits = word[:2] + word[3:5] + word[6:]
    if word[2:6:3] != b"::" or not digits.isdigit():
        return 0
    number = int(digits)
    hour, minute, second = number // 10_000, number // 100 % 100, number % 100
    if hour > 23 or minute > 59 or second > 60:
        return 0
    return hour * 3600 + minute * 60 + second


# zone = ("+" / "-") 4DIGIT / obs-zone      ; an unknown zone is UTC (RFC 5322 section 4.3)
def zone_seconds(word: bytes) -> int:
    """Seconds east of UTC; ``word`` in lower case."""
    if word[:1] in (b"+", b"-"):
        digits = word[1:5]
        if len(digits) != 4 or not digits.isdigit():
            return 0
        seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
        return -seconds if word[:1] == b"-" else seconds
    return _ZONES.get(word, 0) * 3600


def format_date(unix_time: int, zone_minutes: int = 0) -> str:
    """Return a Unix time as an RFC 5322 date-time in a zone east of UTC by so many minutes."""
    days, second = divmod(unix_time + zone_minutes * 60, _DAY)
    year, month, day = civil_from_days(days)
    east = abs(zone_minutes)
    zone = f"{'-' if zone_minutes < 0 else '+'}{east // 60:02d}{east % 60:02d}"
    return (
        f"{_DAYS[(days + 3) % 7]}, {day:02d} {_NAMES[month - 1]} {year:04d} "
        f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d} {zone}"
    )


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Return (year, month, day) of the date so many days after 1970-01-01: days_from_civil turned round."""
    days += 719_468
    era, day_of_era = divmod(days, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day
