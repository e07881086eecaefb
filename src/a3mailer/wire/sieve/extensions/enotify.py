"""enotify (RFC 5435) with the method mailto (RFC 5436): somebody is told of a mail."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from a3mailer.mail.address import Address
from a3mailer.wire.sieve.actions import Notify
from a3mailer.wire.sieve.addresses import outbound
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.extensions.core import KEYS
from a3mailer.wire.sieve.extensions.fcc import FCC, copy_of
from a3mailer.wire.sieve.extensions.variables import TAKERS
from a3mailer.wire.sieve.machine import Call, Machine, Tagged
from a3mailer.wire.sieve.vocabulary import (
    MATCHING,
    Extension,
    Kind,
    Parameter,
    Role,
    Tag,
    Word,
)

URI: Final = 2_048
"""Octets."""
MESSAGE: Final = 4_000
"""Characters; a longer message is cut (RFC 5435 section 3.6)."""
RECIPIENTS: Final = 4
FIELDS: Final = 16
# option = optionname "=" value      ; optionname = l-d *(l-d / "." / "-" / "_")
_OPTION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*+=[^\0\r\n]*+")
_FIELD: Final = re.compile(r"[a-z0-9-]{1,60}")
_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
CAPABILITIES: Final = {b"online": b"maybe", FCC.encode(): b"yes"}
IGNORED: Final = frozenset(("from", "auto-submitted", "received", "message-id", "date", "to", "cc", "bcc"))
"""Fields of a URI that are passed over (RFC 5436 section 2.7); to adds a recipient."""


# mailtoURI = "mailto:" [ to ] [ hfields ]     ; to = addr-spec *("," addr-spec)
# hfields = "?" hfield *( "&" hfield )         ; hfield = hfname "=" hfvalue (RFC 6068 section 2)
def read_uri(uri: bytes) -> tuple[tuple[Address, ...], tuple[tuple[str, str], ...]]:
    """Recipients and header fields. Errors: BadCall."""
    scheme, colon, rest = uri.partition(b":")
    if not colon or scheme.lower() != b"mailto":
        raise BadCall(f"{uri[:60].decode('utf-8', 'replace')!r}: only mailto is a method here")
    if len(uri) > URI or _PERCENT.search(uri):
        raise BadCall("a mailto URI that is too long or not encoded well")
    to, _, query = rest.partition(b"?")
    addresses = [unquote_to_bytes(each) for each in to.split(b",") if each]
    fields = []
    for piece in query.split(b"&") if query else ():
        name, equals, value = piece.partition(b"=")
        field = unquote_to_bytes(name).decode("utf-8", "replace").lower()
        if not equals or not _FIELD.fullmatch(field):
            raise BadCall("a mailto URI with a part that is no header field")
        text = unquote_to_bytes(value)
        if field == "to":
            addresses += text.split(b",")
        elif field not in IGNORED:
            fields.append((field, " ".join(text.decode("utf-8", "replace").split())))
    if not addresses or len(addresses) > RECIPIENTS or len(fields) > FIELDS:
        raise BadCall(f"a mailto URI wants 1 to {RECIPIENTS} recipients and at most {FIELDS} fields")
    return tuple(map(outbound, addresses)), tuple(fields)


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _notify(machine: Machine, call: Call) -> None:
    try:
        _check(call)
        recipients, fields = read_uri(call.string(0))
    except BadCall as error:
        raise RunFailed(str(error)) from error
    message = _text(b"".join(call.tag_strings("message")))[:MESSAGE]
    sender = " ".join(_text(b"".join(call.tag_strings("from"))).split())
    importance = int(b"".join(call.tag_strings("importance")) or b"2")
    options = tuple(map(_text, call.tag_strings("options")))
    machine.hold(len(message))
    notice = Notify(recipients, fields, message, sender, importance, options, copy_of(call))
    machine.act(call.modified(machine.changed(notice)))


def _check(call: Call) -> None:
    read_uri(call.string(0))
    if call.tag("importance") and call.tag_strings("importance")[0] not in (b"1", b"2", b"3"):
        raise BadCall(":importance is 1, 2 or 3")
    if call.tag("from"):
        outbound(call.tag_strings("from")[0])
    for option in call.tag_strings("options"):
        if not _OPTION.fullmatch(_text(option)):
            raise BadCall("an option is NAME=VALUE")


def _is_method(uri: bytes) -> bool:
    try:
        read_uri(uri)
    except BadCall:
        return False
    return True


def _valid(machine: Machine, call: Call) -> bool:
    return all(map(_is_method, call.strings(0)))


def _capability(machine: Machine, call: Call) -> bool:
    """Of mail nobody knows whether its reader is there: ``online`` is maybe. A copy can be filed."""
    found = CAPABILITIES.get(call.string(1).lower()) if _is_method(call.string(0)) else None
    return found is not None and call.matches(machine, (found,), call.strings(2))


def _encode(value: bytes, tag: Tagged) -> bytes:
    return quote(value, safe="").encode()


EXTENSION: Final = Extension(
    "enotify",
    words=(
        Word(
            "notify",
            Role.ACTION,
            _notify,
            (Parameter("method", Kind.STRING),),
            (
                Tag("from", Kind.STRING),
                Tag("importance", Kind.STRING),
                Tag("options", Kind.STRINGS),
                Tag("message", Kind.STRING),
            ),
            check=_check,
        ),
        Word("valid_notify_method", Role.TEST, _valid, (Parameter("list of methods", Kind.STRINGS),)),
        Word(
            "notify_method_capability",
            Role.TEST,
            _capability,
            (Parameter("method", Kind.STRING), Parameter("notification capability", Kind.STRING), KEYS),
            groups=MATCHING,
        ),
    ),
    tags=tuple((word, Tag("encodeurl", group="modifier 15", modify=_encode)) for word in TAKERS),
)
