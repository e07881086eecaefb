"""Which mailbox: mailbox (RFC 5490 section 3), special-use (RFC 8579), mailboxid (RFC 9042)."""

from __future__ import annotations

import re
from typing import Final

from msgspec import structs

from a3mailer.wire.sieve.actions import FileInto
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.extensions.fcc import beside_fcc
from a3mailer.wire.sieve.machine import Call, Machine, Tagged
from a3mailer.wire.sieve.vocabulary import Extension, Kind, Parameter, Role, Tag, Word


def _texts(values: tuple[bytes, ...]) -> list[str]:
    return [value.decode("utf-8", "replace") for value in values]


def _exists(machine: Machine, call: Call) -> bool:
    return all(machine.mail.has_mailbox("name", name) for name in _texts(call.strings(0)))


def _special_use_exists(machine: Machine, call: Call) -> bool:
    """All of the uses, of one mailbox where one is named."""
    of = "".join(_texts(call.strings(0)))
    return all(machine.mail.has_mailbox("special-use", use, of) for use in _texts(call.strings(1)))


def _id_exists(machine: Machine, call: Call) -> bool:
    return all(machine.mail.has_mailbox("id", each) for each in _texts(call.strings(0)))


def _create(action: FileInto, tag: Tagged) -> FileInto:
    return structs.replace(action, create=True)


def _special_use(action: FileInto, tag: Tagged) -> FileInto:
    assert isinstance(tag.value, tuple)
    try:
        _check_use(tag)
    except BadCall as error:
        raise RunFailed(str(error)) from error
    return structs.replace(action, special_use=_texts(tag.value)[0])


def _id(action: FileInto, tag: Tagged) -> FileInto:
    assert isinstance(tag.value, tuple)
    return structs.replace(action, mailbox_id=_texts(tag.value)[0])


# use-attr = "\All" / "\Archive" / ... / use-attr-ext        ; use-attr-ext = "\" atom (RFC 6154 section 6)
_ATTRIBUTE: Final = re.compile(rb"\\[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+")


def _check_use(tag: Tagged) -> None:
    assert isinstance(tag.value, tuple)
    if not _ATTRIBUTE.fullmatch(tag.value[0]):
        raise BadCall(f"{tag.value[0][:60].decode('utf-8', 'replace')!r} is no special-use attribute")


_CREATE: Final = Tag("create", modify=_create)
_WHICH: Final = "which mailbox"
"""By its use or by its id, not both (RFC 9042 section 4.2)."""
_USE: Final = Tag("specialuse", Kind.STRING, _WHICH, _check_use, modify=_special_use)
_BY_ID: Final = Tag("mailboxid", Kind.STRING, _WHICH, modify=_id)
MAILBOX: Final = Extension(
    "mailbox",
    words=(Word("mailboxexists", Role.TEST, _exists, (Parameter("list of mailboxes", Kind.STRINGS),)),),
    tags=(("fileinto", _CREATE), *beside_fcc(_CREATE)),
)
SPECIAL_USE: Final = Extension(
    "special-use",
    words=(
        Word(
            "specialuse_exists",
            Role.TEST,
            _special_use_exists,
            (
                Parameter("mailbox", Kind.STRING, optional=True),
                Parameter("list of special-use attributes", Kind.STRINGS),
            ),
        ),
    ),
    tags=(("fileinto", _USE), *beside_fcc(_USE)),
)
MAILBOX_ID: Final = Extension(
    "mailboxid",
    words=(Word("mailboxidexists", Role.TEST, _id_exists, (Parameter("list of ids", Kind.STRINGS),)),),
    tags=(("fileinto", _BY_ID), *beside_fcc(_BY_ID)),
)
