"""What a sender wants to hear, and by when it should be there (RFC 6009): of the mail, and of a redirect.

envelope-dsn: the parts ``notify``, ``orcpt``, ``ret``, ``envid``; envelope-deliverby: ``bytimeabsolute`` with
``:zone``, ``bytimerelative``, ``bymode`` (notify or return) and ``bytrace`` (trace or empty). redirect-dsn
and redirect-deliverby: the same as tags of ``redirect``.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import structs

from a3mailer.mail.message.dates import days_from_civil
from a3mailer.wire.sieve.actions import Redirect
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.extensions.date import BY_ZONE
from a3mailer.wire.sieve.extensions.envelope import ABSOLUTE, PART
from a3mailer.wire.sieve.machine import Tagged
from a3mailer.wire.sieve.vocabulary import Extension, Kind, Tag

EVENTS: Final = frozenset(("SUCCESS", "FAILURE", "DELAY"))
RETURNS: Final = ("FULL", "HDRS")
MODES: Final = {"notify": "N", "return": "R"}
BY_MODE: Final = "R"
"""Where :bymode is not given (section 7)."""
# alimit = full-date "T" time ( "Z" / ( "+" / "-" ) 2DIGIT [ ":" ] 2DIGIT )     ; RFC 3339 section 5.6
_MOMENT: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))"
)


def _text(tag: Tagged) -> str:
    assert isinstance(tag.value, tuple)
    return tag.value[0].decode("utf-8", "replace")


# notify-value = "NEVER" / event *( "," event )     ; event = "SUCCESS" / "FAILURE" / "DELAY"
def _notify_of(tag: Tagged) -> tuple[str, ...]:
    """Errors: BadCall."""
    words = tuple(_text(tag).upper().split(","))
    if words != ("NEVER",) and (not EVENTS.issuperset(words) or len(set(words)) != len(words)):
        raise BadCall(":notify is NEVER, or of SUCCESS, FAILURE and DELAY")
    return words


def _check_notify(tag: Tagged) -> None:
    _notify_of(tag)


def _check_ret(tag: Tagged) -> None:
    if _text(tag).upper() not in RETURNS:
        raise BadCall(":ret is FULL or HDRS")


def _check_mode(tag: Tagged) -> None:
    if _text(tag).lower() not in MODES:
        raise BadCall(':bymode is "notify" or "return"')


def _moment(tag: Tagged) -> int:
    """Errors: BadCall."""
    found = _MOMENT.fullmatch(_text(tag))
    if found is None:
        raise BadCall(":bytimeabsolute is a date and time such as 2026-01-31T20:00:00Z")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    if not (0 < month < 13 and 0 < day < 32 and hour < 24 and minute < 60 and second < 61):
        raise BadCall(":bytimeabsolute is no moment")
    east = int(found[8] or 0) * 3600 + int(found[9] or 0) * 60
    moment = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    return moment + (east if found[7] == "-" else -east)


def _check_moment(tag: Tagged) -> None:
    _moment(tag)


def _made(check: BadCall) -> RunFailed:
    return RunFailed(str(check))


def _notify(action: Redirect, tag: Tagged) -> Redirect:
    try:
        return structs.replace(action, notify=_notify_of(tag))
    except BadCall as error:
        raise _made(error) from error


def _ret(action: Redirect, tag: Tagged) -> Redirect:
    try:
        _check_ret(tag)
    except BadCall as error:
        raise _made(error) from error
    return structs.replace(action, ret=_text(tag).upper())


def _absolute(action: Redirect, tag: Tagged) -> Redirect:
    try:
        return structs.replace(action, by=_moment(tag), by_mode=action.by_mode or BY_MODE)
    except BadCall as error:
        raise _made(error) from error


def _relative(action: Redirect, tag: Tagged) -> Redirect:
    assert isinstance(tag.value, int)
    return structs.replace(action, by=-max(1, tag.value), by_mode=action.by_mode or BY_MODE)


def _mode(action: Redirect, tag: Tagged) -> Redirect:
    try:
        _check_mode(tag)
    except BadCall as error:
        raise _made(error) from error
    return structs.replace(action, by_mode=MODES[_text(tag).lower()] + action.by_mode[1:])


def _trace(action: Redirect, tag: Tagged) -> Redirect:
    return structs.replace(action, by_mode=(action.by_mode or BY_MODE)[:1] + "T")


TIME: Final = "bytime"
ENVELOPE_DSN: Final = Extension(
    "envelope-dsn", members=tuple((PART, name) for name in ("notify", "orcpt", "ret", "envid"))
)
ENVELOPE_DELIVERBY: Final = Extension(
    "envelope-deliverby",
    tags=(("envelope", BY_ZONE),),
    members=tuple((PART, name) for name in (ABSOLUTE, "bytimerelative", "bymode", "bytrace")),
)
REDIRECT_DSN: Final = Extension(
    "redirect-dsn",
    tags=(
        ("redirect", Tag("notify", Kind.STRING, check=_check_notify, modify=_notify)),
        ("redirect", Tag("ret", Kind.STRING, check=_check_ret, modify=_ret)),
    ),
)
REDIRECT_DELIVERBY: Final = Extension(
    "redirect-deliverby",
    tags=(
        ("redirect", Tag("bytimerelative", Kind.NUMBER, TIME, modify=_relative)),
        ("redirect", Tag("bytimeabsolute", Kind.STRING, TIME, _check_moment, modify=_absolute)),
        ("redirect", Tag("bymode", Kind.STRING, check=_check_mode, beside=TIME, modify=_mode)),
        ("redirect", Tag("bytrace", beside=TIME, modify=_trace)),
    ),
)
