"""vacation (RFC 5230) and vacation-seconds (RFC 6131): what is answered, and what counts as the same answer.

Whether an answer may be sent (section 4.5 and 4.6) and whether it was sent before is for who runs the script.
"""

from __future__ import annotations

import hashlib
from typing import Final

from a3mailer.mail.message.addresses import parse_mailboxes
from a3mailer.wire.sieve.actions import Vacation
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.extensions.fcc import copy_of
from a3mailer.wire.sieve.machine import Call, Machine, Tagged
from a3mailer.wire.sieve.vocabulary import Extension, Kind, Parameter, Role, Tag, Word

DAY: Final = 86_400
DEFAULT: Final = 7 * DAY
LONGEST: Final = 365 * DAY
SECONDS: Final = 2**31
SUBJECT: Final = 1_000
"""Characters."""
HANDLE: Final = 1_000
"""Octets; a longer one counts up to here."""
INTERVAL: Final = "interval"


def _vacation(machine: Machine, call: Call) -> None:
    try:
        _check(call)
    except BadCall as error:
        raise RunFailed(str(error)) from error
    machine.hold(len(call.string(0)))
    answer = Vacation(
        call.string(0).decode("utf-8", "surrogateescape" if call.tag("mime") else "replace"),
        _seconds(call),
        _handle(call),
        _line(call, "subject")[:SUBJECT],
        _line(call, "from"),
        tuple(map(_text, call.tag_strings("addresses"))),
        bool(call.tag("mime")),
        copy_of(call),
    )
    machine.act(call.modified(machine.changed(answer)))


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _line(call: Call, tag: str) -> str:
    """The string of a tag as one line."""
    return " ".join(_text(b"".join(call.tag_strings(tag))).split())


def _seconds(call: Call) -> int:
    given = call.tag_number(INTERVAL)
    if given is None:
        return DEFAULT
    if call.tag(INTERVAL) == "days":
        return min(max(given, 1) * DAY, LONGEST)
    return min(given, LONGEST)


def _handle(call: Call) -> bytes:
    """RFC 5230 section 4.2: the handle, or what the answer is made of before variables are put in."""
    if given := call.tag_strings("handle"):
        return b"=" + given[0][:HANDLE]
    written = call.written or call
    made = hashlib.sha256()
    for tag in ("subject", "from", "mime"):
        for text in (written.tag(tag).encode(), *written.tag_strings(tag)):
            made.update(b"%d:%b" % (len(text), text))
        made.update(b";")
    made.update(written.string(0))
    return made.digest()


def _check(call: Call) -> None:
    if call.tag("mime"):
        header = call.string(0).partition(b"\r\n\r\n")[0]
        if not header.isascii():
            raise BadCall("the header of a MIME entity must be US-ASCII")
    sender = b"".join(call.tag_strings("from"))
    if call.tag("from"):
        found = parse_mailboxes(sender)
        if not found or not all(each.local_part and each.domain for each in found):
            raise BadCall(f"{sender[:60].decode('utf-8', 'replace')!r} is no list of mailboxes")


def _check_seconds(tag: Tagged) -> None:
    if isinstance(tag.value, int) and tag.value > SECONDS:
        raise BadCall(f":seconds over {SECONDS}")


_WORD: Final = Word(
    "vacation",
    Role.ACTION,
    _vacation,
    (Parameter("reason", Kind.STRING),),
    (
        Tag("days", Kind.NUMBER, INTERVAL),
        Tag("subject", Kind.STRING),
        Tag("from", Kind.STRING),
        Tag("addresses", Kind.STRINGS),
        Tag("mime"),
        Tag("handle", Kind.STRING),
    ),
    check=_check,
)
VACATION: Final = Extension("vacation", words=(_WORD,))
VACATION_SECONDS: Final = Extension(
    "vacation-seconds",
    words=(_WORD,),
    tags=(("vacation", Tag("seconds", Kind.NUMBER, INTERVAL, _check_seconds)),),
)
