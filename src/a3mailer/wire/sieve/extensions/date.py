"""date (RFC 5260): the date of a field, or of now, taken apart in a time zone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from a3mailer.mail.message import dates
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.extensions.core import KEYS
from a3mailer.wire.sieve.machine import Call, Machine, Tagged
from a3mailer.wire.sieve.vocabulary import MATCHING, Extension, Kind, Parameter, Role, Tag, Word

PART: Final = "part of a date"
# time-zone = ( "+" / "-" ) 4DIGIT
_ZONE: Final = re.compile(rb"([+-])([0-9]{2})([0-5][0-9])")
# the zone of a date-time, and comments behind it
_WRITTEN: Final = re.compile(rb"([+-][0-9]{4}|[A-Za-z]{1,5})[ \t]*+(?:\([^()]*+\)[ \t]*+)?+$")
_EPOCH: Final = 40_587
"""1970-01-01 as a Modified Julian Day."""
_DAY: Final = 86_400
_LAST_YEAR: Final = 9_999
_LONGEST: Final = 400
"""Octets of a field's end in which a date is looked for."""

Moment = tuple[int, int]
"""Seconds since the epoch, and minutes east of UTC."""


def _zone_minutes(text: bytes) -> int:
    """Errors: BadCall."""
    found = _ZONE.fullmatch(text)
    if found is None:
        raise BadCall(f"{text[:20].decode('utf-8', 'replace')!r} is no time zone")
    minutes = int(found[2]) * 60 + int(found[3])
    return -minutes if found[1] == b"-" else minutes


def _offset(minutes: int, colon: str) -> str:
    east = abs(minutes)
    return f"{'-' if minutes < 0 else '+'}{east // 60:02d}{colon}{east % 60:02d}"


def _date(days: int) -> str:
    return "{:04d}-{:02d}-{:02d}".format(*dates.civil_from_days(days))


def _time(second: int) -> str:
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


Piece = Callable[[int, int, Moment], str]
"""Of days since the epoch and seconds of the day, both in the zone, and the moment."""
PARTS: Final[Mapping[str, Piece]] = {
    "year": lambda days, second, moment: _date(days)[:4],
    "month": lambda days, second, moment: _date(days)[5:7],
    "day": lambda days, second, moment: _date(days)[8:],
    "date": lambda days, second, moment: _date(days),
    "julian": lambda days, second, moment: str(days + _EPOCH),
    "hour": lambda days, second, moment: _time(second)[:2],
    "minute": lambda days, second, moment: _time(second)[3:5],
    "second": lambda days, second, moment: _time(second)[6:],
    "time": lambda days, second, moment: _time(second),
    "iso8601": lambda days, second, moment: (
        f"{_date(days)}T{_time(second)}{_offset(moment[1], ':') if moment[1] else 'Z'}"
    ),
    "std11": lambda days, second, moment: dates.format_date(*moment),
    "zone": lambda days, second, moment: _offset(moment[1], ""),
    "weekday": lambda days, second, moment: str((days + 4) % 7),
}


def _part(machine: Machine, name: bytes, moment: Moment) -> bytes:
    part = name.decode("utf-8", "replace").lower()
    if part not in PARTS:
        raise RunFailed(f'"{part[:60]}" is no {PART}')
    return PARTS[part](*divmod(moment[0] + moment[1] * 60, _DAY), moment).encode()


def _here(machine: Machine) -> Moment:
    now = machine.mail.now
    if now is None:
        raise RunFailed("the time is not known here")
    return now


def _zone(machine: Machine, call: Call, written: int) -> int:
    if call.tag("zone") == "originalzone":
        return written
    if call.tag("zone"):
        try:
            return _zone_minutes(call.tag_strings("zone")[0])
        except BadCall as error:
            raise RunFailed(str(error)) from error
    return machine.mail.now[1] if machine.mail.now else 0


def _of_field(value: bytes) -> Moment | None:
    """The date at the end of a field, behind its last semicolon; its zone as it is written, else UTC."""
    text = value.rpartition(b";")[2].strip()[-_LONGEST:]
    moment = dates.parse(text)
    if moment is None or not 0 <= dates.civil_from_days(moment // _DAY)[0] < _LAST_YEAR:
        return None
    found = _WRITTEN.search(text)
    return moment, dates.zone_seconds(found[1].lower()) // 60 if found else 0


def _test(machine: Machine, call: Call) -> bool:
    fields = call.indexed(machine.raw_values(call.string(0)))
    moment = _of_field(fields[0]) if fields else None
    if moment is None:
        return call.matches(machine, (), call.strings(2))
    zone = _zone(machine, call, moment[1])
    return call.matches(machine, (_part(machine, call.string(1), (moment[0], zone)),), call.strings(2))


def iso8601(machine: Machine, call: Call, moment: int) -> bytes:
    """A moment in the zone that a call names, else in that of this place."""
    return _part(machine, b"iso8601", (moment, _zone(machine, call, 0)))


def _current(machine: Machine, call: Call) -> bool:
    moment = (_here(machine)[0], _zone(machine, call, 0))
    return call.matches(machine, (_part(machine, call.string(0), moment),), call.strings(1))


def _check_zone(tag: Tagged) -> None:
    assert isinstance(tag.value, tuple)
    _zone_minutes(tag.value[0])


BY_ZONE: Final = Tag("zone", Kind.STRING, "zone", _check_zone)
_DATE_PART: Final = Parameter("date part", Kind.STRING, members=PART)
EXTENSION: Final = Extension(
    "date",
    words=(
        Word(
            "date",
            Role.TEST,
            _test,
            (Parameter("header name", Kind.STRING), _DATE_PART, KEYS),
            (BY_ZONE, Tag("originalzone", group="zone")),
            MATCHING,
        ),
        Word("currentdate", Role.TEST, _current, (_DATE_PART, KEYS), (BY_ZONE,), MATCHING),
    ),
    members=tuple((PART, name) for name in PARTS),
)
