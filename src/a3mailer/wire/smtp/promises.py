"""What a sender asks of the transfer itself: MT-PRIORITY (RFC 6710), DELIVERBY (RFC 2852), FUTURERELEASE
(RFC 4865). Parameters of MAIL, lines of EHLO; times are seconds. Errors: Rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from a3mailer.wire.smtp.replies import UNKNOWN_PARAMETER, Rejected, Reply

PRIORITIES: Final = range(-9, 10)
"""RFC 6710 section 3."""
MAX_DIGITS: Final = 9
"""Digits of a number of seconds (RFC 2852 section 4, RFC 4865 section 3)."""
MAX_DATE: Final = 40
"""Octets of a date-time."""
BY_MODES: Final = ("N", "R", "NT", "RT")
"""by-mode and by-trace: notify or return, and tell of each hand-over."""
PARAMETERS: Final = frozenset({b"MT-PRIORITY", b"BY", b"HOLDFOR", b"HOLDUNTIL"})

BAD_PRIORITY: Final = Reply(501, "5.5.2", "MT-PRIORITY is a number from -9 to 9")
BAD_BY: Final = Reply(501, "5.5.4", "bad BY parameter")
TOO_LATE: Final = Reply(501, "5.5.4", "a mail to be returned needs a time in the future")
BAD_HOLD: Final = Reply(501, "5.5.4", "bad HOLDFOR or HOLDUNTIL parameter")
TWO_HOLDS: Final = Reply(501, "5.5.4", "HOLDFOR and HOLDUNTIL exclude each other")
TOO_LONG: Final = Reply(501, "5.5.4", "no mail is held as long as that")


@dataclass(frozen=True, slots=True)
class Asks:
    """What one MAIL command asks for; zeros and None: nothing."""

    priority: int | None = None
    by_seconds: int = 0
    by_mode: str = ""
    """One of BY_MODES, or empty: no time was given."""
    hold_seconds: int = 0
    hold_until: int = 0
    """Seconds since the epoch."""


NOTHING: Final = Asks()


@dataclass(frozen=True, slots=True)
class Promises:
    """What this server lets be asked for."""

    priority: bool = False
    deliver_by: bool = False
    hold_seconds: int = 0
    """max-future-release-interval; 0: nothing is held."""
    hold_until: int = 0
    """max-future-release-date-time, seconds since the epoch."""

    def lines(self) -> tuple[str, ...]:
        """Of an EHLO reply. No Priority Assignment Policy is named: all 19 levels are levels of their own."""
        lines = ["MT-PRIORITY"] if self.priority else []
        if self.deliver_by:
            lines.append("DELIVERBY")
        if self.hold_seconds:
            until = datetime.fromtimestamp(self.hold_until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            lines.append(f"FUTURERELEASE {self.hold_seconds} {until}")
        return tuple(lines)

    def check(self, asks: Asks) -> None:
        """Errors: Rejected, for what was not offered or goes too far."""
        if asks is NOTHING:
            return
        holding = bool(asks.hold_seconds or asks.hold_until)
        unknown = (
            (asks.priority is not None and not self.priority)
            or (asks.by_mode and not self.deliver_by)
            or (holding and not self.hold_seconds)
        )
        if unknown:
            raise Rejected(UNKNOWN_PARAMETER)
        if asks.hold_seconds > self.hold_seconds or asks.hold_until > self.hold_until:
            raise Rejected(TOO_LONG)


NO_PROMISES: Final = Promises()


def asks_of(found: Mapping[bytes, bytes | None]) -> Asks:
    """What the parameters of MAIL ask for. Errors: Rejected."""
    if PARAMETERS.isdisjoint(found):
        return NOTHING
    if b"HOLDFOR" in found and b"HOLDUNTIL" in found:
        raise Rejected(TWO_HOLDS)
    by_seconds, by_mode = _by(found[b"BY"]) if b"BY" in found else (0, "")
    return Asks(
        _priority(found[b"MT-PRIORITY"]) if b"MT-PRIORITY" in found else None,
        by_seconds,
        by_mode,
        _interval(found[b"HOLDFOR"]) if b"HOLDFOR" in found else 0,
        _moment(found[b"HOLDUNTIL"]) if b"HOLDUNTIL" in found else 0,
    )


# priority-value = (["-"] NZDIGIT) / "0"
def _priority(value: bytes | None) -> int:
    digit = (value or b"").removeprefix(b"-")
    if len(digit) != 1 or not digit.isdigit() or value == b"-0":
        raise Rejected(BAD_PRIORITY)
    return int(value or b"")


# by-value = by-time ";" by-mode [by-trace]     ; by-time = ["-" / "+"] 1*9digit
# by-mode  = "N" / "R"                          ; by-trace = "T"
def _by(value: bytes | None) -> tuple[int, str]:
    time, _, mode = (value or b"").decode("ascii", "replace").upper().partition(";")
    digits = time[1:] if time[:1] in ("+", "-") else time
    if mode not in BY_MODES or not digits.isdigit() or len(digits) > MAX_DIGITS:
        raise Rejected(BAD_BY)
    seconds = int(time)
    if seconds <= 0 and mode.startswith("R"):
        raise Rejected(TOO_LATE)
    return seconds, mode


# future-release-interval = 1*9DIGIT, 0 excluded
def _interval(value: bytes | None) -> int:
    if not value or not value.isdigit() or len(value) > MAX_DIGITS or not int(value):
        raise Rejected(BAD_HOLD)
    return int(value)


# future-release-date-time = date-time          ; RFC 3339 section 5.6
def _moment(value: bytes | None) -> int:
    text = (value or b"").decode("ascii", "replace").upper()
    if len(text) > MAX_DATE or text[4:5] + text[7:8] + text[10:11] + text[13:14] + text[16:17] != "--T::":
        raise Rejected(BAD_HOLD)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise Rejected(BAD_HOLD)
        return max(int(moment.timestamp()), 1)
    except (ValueError, OverflowError):
        raise Rejected(BAD_HOLD) from None
