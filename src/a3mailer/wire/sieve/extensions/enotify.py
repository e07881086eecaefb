"""enotify (RFC 5435) with the method mailto (RFC 5436): somebody is told of a mail."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from a3mailer.mail.address import Address
from a3mailer.wire.sieve.actions import Notify
from a3mailer.wire.sieve.addresses import outbound, outbound_list
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
READING: Final = 6
"""Shift: octets of a URI that are read for one step."""
RECIPIENTS: Final = 4
FIELDS: Final = 16
# option = optionname "=" value      ; optionname = l-d *(l-d / "." / "-" / "_")
_OPTION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*+=[^\0\r\n]*+")
_FIELD: Final = re.compile(r"[a-z0-9-]{1,60}")
_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
CAPABILITIES: Final = {b"online": b"maybe", FCC.encode(): b"yes"}
IGNORED: Final = frozenset(("from", "auto-submitted", "received", "message-id", "date", "bcc"))
"""Fields of a URI that are passed over (RFC 5436 section 2.7)."""
# scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
_SCHEME: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*+):")


class Mailto(NamedTuple):
    """A URI of this method."""

    to: tuple[Address, ...]
    cc: tuple[Address, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()


# mailtoURL = "mailto:" [ to ] [ headers ]     ; to = #mailbox, encoded (RFC 2368, RFC 6068)
# headers = "?" header *( "&" header )         ; header = hname "=" hvalue
def read_uri(uri: bytes) -> Mailto:
    """What it says. Errors: BadCall."""
    if not _is_mailto(uri):
        raise BadCall(f"{uri[:60].decode('utf-8', 'replace')!r}: only mailto is a method here")
    rest = uri.partition(b":")[2]
    if len(uri) > URI or _PERCENT.search(uri):
        raise BadCall("a mailto URI that is too long or not encoded well")
    to, _, query = rest.partition(b"?")
    wanted = {"to": outbound_list(unquote_to_bytes(to)), "cc": ()}
    fields = []
    for piece in query.split(b"&") if query else ():
        name, equals, value = piece.partition(b"=")
        field = unquote_to_bytes(name).decode("utf-8", "replace").lower()
        if not equals or not _FIELD.fullmatch(field):
            raise BadCall("a mailto URI with a part that is no header field")
        text = unquote_to_bytes(value)
        if field in wanted:
            wanted[field] += outbound_list(text)
        elif field not in IGNORED:
            fields.append((field, " ".join(text.decode("utf-8", "replace").split())))
    found = tuple(dict.fromkeys((*wanted["to"], *wanted["cc"])))
    if not found or len(found) > RECIPIENTS or len(fields) > FIELDS:
        raise BadCall(f"a mailto URI wants 1 to {RECIPIENTS} recipients and at most {FIELDS} fields")
    first = tuple(dict.fromkeys(wanted["to"]))
    return Mailto(first, tuple(each for each in found if each not in first), tuple(fields))


def _is_mailto(uri: bytes) -> bool:
    """Errors: BadCall, where it is no URI."""
    scheme = _SCHEME.match(uri)
    if scheme is None:
        raise BadCall(f"{uri[:60].decode('utf-8', 'replace')!r} is no URI")
    return scheme[1].lower() == b"mailto"


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _notify(machine: Machine, call: Call) -> None:
    try:
        _check(call)
        method = read_uri(call.string(0))
    except BadCall as error:
        raise RunFailed(str(error)) from error
    message = _text(b"".join(call.tag_strings("message")))[:MESSAGE]
    sender = " ".join(_text(b"".join(call.tag_strings("from"))).split())
    importance = int(b"".join(call.tag_strings("importance")) or b"2")
    options = tuple(map(_text, call.tag_strings("options")))
    machine.hold(len(message))
    notice = Notify(method.to, method.cc, method.fields, message, sender, importance, options, copy_of(call))
    machine.act(call.modified(machine.changed(notice)))


def _check(call: Call) -> None:
    """Another method is an error of the run alone (RFC 5435 section 3.2): a script may ask before."""
    if _is_mailto(call.string(0)):
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
    machine.charge(sum(map(len, call.strings(0))) >> READING)
    return all(map(_is_method, call.strings(0)))


def _capability(machine: Machine, call: Call) -> bool:
    """Of mail nobody knows whether its reader is there: ``online`` is maybe. A copy can be filed."""
    machine.charge(len(call.string(0)) >> READING)
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
