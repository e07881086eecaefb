"""Parts of a mail (RFC 5703): foreverypart, mime, extracttext, replace, enclose.

A loop ends as the parts end, and each turn is charged like any step. ``:mime`` looks at the header of the
part a loop is at, outside of loops of the message itself; ``:anychild`` at those of all parts within it, too.
"""

from __future__ import annotations

from typing import Final

from a3mailer.mail.message.text import decoded_text
from a3mailer.wire.sieve.addresses import mailboxes
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.extensions.body import BODY
from a3mailer.wire.sieve.extensions.variables import MODIFIERS, check_name
from a3mailer.wire.sieve.machine import MIME, MIME_OPTION, Call, Machine
from a3mailer.wire.sieve.mime import WHOLE, Enclosure, Replacement, entity_of
from a3mailer.wire.sieve.vocabulary import Extension, Kind, Parameter, Role, Tag, Word

LOOP_NAME: Final = Tag("name", Kind.CONSTANT)
_HEADERS: Final = 50
"""Names of fields that ``enclose`` copies."""


def _extracttext(machine: Machine, call: Call) -> None:
    part = machine.part
    if part is None:
        raise RunFailed("extracttext outside of foreverypart")  # the compiler sees to it
    found = machine.parts[part]
    text = ""
    if found.media.startswith(b"text/"):
        short = found._replace(end=min(found.end, found.body + BODY))
        machine.charge((short.end - short.body) >> 6)
        text = decoded_text(machine.octets, short)
    first = call.tag_number("first")
    value = (text if first is None else text[:first]).encode("utf-8", "replace")
    machine.set_variable(call.string(0).decode().lower(), call.modified(value))


def _line(call: Call, tag: str) -> str:
    return " ".join(b"".join(call.tag_strings(tag)).decode("utf-8", "replace").split())


def _replace(machine: Machine, call: Call) -> None:
    part = WHOLE if machine.part is None else machine.part
    mime = bool(call.tag("mime"))
    try:
        _check_author(call)
    except BadCall as error:
        raise RunFailed(str(error)) from error
    entity = entity_of(call.string(0), mime=mime)
    machine.hold(len(entity))
    subject, author = ("", "") if mime else (_line(call, "subject"), _line(call, "from"))
    machine.replace(part, Replacement(entity, subject, author))


def _check_author(call: Call) -> None:
    if call.tag("from"):
        mailboxes(call.tag_strings("from")[0])


def _check_replace(call: Call) -> None:
    """RFC 5703 section 5. Errors: BadCall."""
    if call.tag("mime") and (call.tag("subject") or call.tag("from")):
        raise BadCall(":mime has its own header, without :subject and :from")
    _check_author(call)


def _enclose(machine: Machine, call: Call) -> None:
    names = frozenset(name.lower() for name in call.tag_strings("headers")[:_HEADERS])
    text = call.string(0).decode("utf-8", "replace")
    machine.hold(len(text))
    machine.enclose(Enclosure(text, _line(call, "subject"), names))


_MIME: Final = Tag(MIME)
_ANY: Final = Tag("anychild", beside=MIME)
_OPTIONS: Final = (
    Tag("type", group=MIME_OPTION, beside=MIME),
    Tag("subtype", group=MIME_OPTION, beside=MIME),
    Tag("contenttype", group=MIME_OPTION, beside=MIME),
    Tag("param", Kind.STRINGS, MIME_OPTION, beside=MIME),
)
FOREVERYPART: Final = Extension(
    "foreverypart",
    words=(
        Word("foreverypart", Role.LOOP, tags=(LOOP_NAME,)),
        Word("break", Role.BREAK, tags=(LOOP_NAME,)),
    ),
    grammar=True,
)
IN_HEADERS: Final = Extension(
    "mime",
    tags=(
        *((word, tag) for word in ("header", "address", "exists") for tag in (_MIME, _ANY)),
        *(("header", tag) for tag in _OPTIONS),
    ),
)
EXTRACTTEXT: Final = Extension(
    "extracttext",
    words=(
        Word(
            "extracttext",
            Role.ACTION,
            _extracttext,
            (Parameter("variable", Kind.CONSTANT),),
            (Tag("first", Kind.NUMBER), *MODIFIERS),
            also="variables",
            check=check_name,
            looped=True,
        ),
    ),
)
REPLACE: Final = Extension(
    "replace",
    words=(
        Word(
            "replace",
            Role.ACTION,
            _replace,
            (Parameter("replacement", Kind.STRING),),
            (Tag("mime"), Tag("subject", Kind.STRING), Tag("from", Kind.STRING)),
            check=_check_replace,
        ),
    ),
)
ENCLOSE: Final = Extension(
    "enclose",
    words=(
        Word(
            "enclose",
            Role.ACTION,
            _enclose,
            (Parameter("text", Kind.STRING),),
            (Tag("subject", Kind.STRING), Tag("headers", Kind.STRINGS)),
        ),
    ),
)
