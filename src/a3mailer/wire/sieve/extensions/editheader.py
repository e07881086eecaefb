"""editheader (RFC 5293): fields are added and deleted; later tests and actions see them so.

A value is never put in as it is: it is encoded and folded, and one with a line end in it is an error.
"""

from __future__ import annotations

import re
from typing import Final

from a3mailer.mail.compose import BadPiece, field
from a3mailer.wire.sieve.door import Field
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.extensions.index import INDEX, LAST
from a3mailer.wire.sieve.machine import Call, Machine, decoded
from a3mailer.wire.sieve.vocabulary import (
    MATCHING,
    Extension,
    Kind,
    Parameter,
    Role,
    Tag,
    Word,
)

VALUE: Final = 8_192
"""Octets of a value that is added; RFC 5293 section 4 asks for 998 at least."""
KEPT: Final = frozenset(
    (b"received", b"auto-submitted", b"return-path", b"original-subject", b"original-from")
)
"""Never deleted (RFC 5293 section 6, RFC 5703 section 5), and what a script adds under these names is not."""
OURS: Final = frozenset(
    b"authentication-results received-spf dkim-signature arc-seal arc-message-signature "
    b"arc-authentication-results".split()
)
"""Not added by scripts either: whoever reads them takes them for the word of a server."""
_NAME: Final = re.compile(rb"[!-9;-~]{1,200}")
_FOLD: Final = re.compile(rb"\r\n(?=[ \t])")


def field_name(call: Call) -> bytes:
    """Errors: BadCall."""
    name = call.string(0)
    if not _NAME.fullmatch(name):
        raise BadCall(f"{name[:60].decode('utf-8', 'replace')!r} is no name of a header field")
    return name


def _made(call: Call) -> Field:
    """Errors: BadCall."""
    name = field_name(call)
    value = _FOLD.sub(b"", call.string(1)).strip()
    if len(value) > VALUE:
        raise BadCall(f"a header field of more than {VALUE} octets")
    try:
        octets = field(name.decode(), value.decode("utf-8").replace("\t", " ")).encode()
    except (BadPiece, UnicodeDecodeError) as error:
        raise BadCall(f"the value of {name.decode()}: control characters, or not UTF-8") from error
    return Field(name.lower(), octets[len(name) + 1 :].replace(b"\r\n", b"").strip(), octets)


def _add(machine: Machine, call: Call) -> None:
    try:
        made = _made(call)
    except BadCall as error:
        raise RunFailed(str(error)) from error
    machine.hold(len(made.octets))
    if made.name in KEPT or made.name in OURS:
        return
    fields = machine.header()
    machine.change_header((*fields, made) if call.tag("last") else (made, *fields))


def _check_add(call: Call) -> None:
    _made(call)


def _delete(machine: Machine, call: Call) -> None:
    try:
        name = field_name(call).lower()
    except BadCall as error:
        raise RunFailed(str(error)) from error
    if name in KEPT:
        return
    fields = machine.header()
    places = [place for place, each in enumerate(fields) if each.name == name]
    places = list(call.indexed(places))
    patterns = call.strings(1)
    if patterns:
        places = [p for p in places if call.matches(machine, (decoded(fields[p].value),), patterns)]
    if places:
        gone = frozenset(places)
        machine.change_header(tuple(each for place, each in enumerate(fields) if place not in gone))


def _check_delete(call: Call) -> None:
    field_name(call)


_FIELD: Final = Parameter("field name", Kind.STRING)
EXTENSION: Final = Extension(
    "editheader",
    words=(
        Word(
            "addheader",
            Role.ACTION,
            _add,
            (_FIELD, Parameter("value", Kind.STRING)),
            (Tag("last"),),
            check=_check_add,
        ),
        Word(
            "deleteheader",
            Role.ACTION,
            _delete,
            (_FIELD, Parameter("list of patterns", Kind.STRINGS, optional=True)),
            (INDEX, LAST),
            MATCHING,
            check=_check_delete,
        ),
    ),
)
