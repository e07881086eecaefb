"""The data types of JMAP (RFC 8620 sections 1.2 to 1.4): Id, Int, UnsignedInt, Date, UTCDate.

As annotations for msgspec, which checks them where a value is converted; dates have their own rules besides
(a thirtieth of February looks like a date), so who takes one reads it by ``read_date``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from msgspec import Meta

MAX_ID: Final = 255
"""Octets of an Id."""
MAX_INT: Final = (1 << 53) - 1

# Id = 1*255(ALPHA / DIGIT / "-" / "_")
Id = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,255}\\Z")]
# Ref = Id / "#" Id: where the id of a record made in the same request may stand (section 5.3)
Ref = Annotated[str, Meta(pattern="^#?[A-Za-z0-9_-]{1,255}\\Z")]
Int = Annotated[int, Meta(ge=-MAX_INT, le=MAX_INT)]
UnsignedInt = Annotated[int, Meta(ge=0, le=MAX_INT)]
# date-time of RFC 3339 section 5.6 in capital letters (section 1.4).
# QUIRK: JavaScript's toISOString always has a fraction, which section 1.4 wants left out where it is zero
# (tests/unit/edge/http/jmap/test_letter_suites.py)
_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,20})?"
_DATE: Final = _TIME + r"(Z|[+-][0-9]{2}:[0-9]{2})\Z"
Date = Annotated[str, Meta(pattern=_DATE)]
UTCDate = Annotated[str, Meta(pattern=_TIME + r"Z\Z")]

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_WRITTEN: Final = re.compile(_DATE)
_FRACTION: Final = re.compile(r"\.[0-9]+")


def is_date(text: str) -> bool:
    """Could this be a Date? What day it is, if any, ``read_date`` finds out."""
    return _WRITTEN.match(text) is not None


def is_id(text: str) -> bool:
    """Could this be an Id?"""
    return _ID.fullmatch(text) is not None


def utc_date(seconds: float) -> str:
    """Seconds since the epoch as UTCDate; before the year 1 or after 9999 the nearest there is."""
    whole = min(max(int(seconds), -62135596800), 253402300799)
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)


def read_date(text: str) -> int:
    """A Date or UTCDate as seconds since the epoch (whole ones). Errors: ValueError."""
    text = _FRACTION.sub("", text)
    if text[17:19] == "60":  # a leap second is the second after it
        return int(datetime.fromisoformat(f"{text[:17]}59{text[19:]}").timestamp()) + 1
    return int(datetime.fromisoformat(text).timestamp())
