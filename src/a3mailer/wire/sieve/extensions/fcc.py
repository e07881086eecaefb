"""fcc (RFC 8580): a copy of what an action sends is filed, too, as ``fileinto`` would file it."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from a3mailer.wire.sieve.actions import FileInto, Notify, Vacation
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.extensions.fileinto import mailbox_name
from a3mailer.wire.sieve.machine import Call, Tagged
from a3mailer.wire.sieve.vocabulary import Extension, Kind, Tag

WORDS: Final = ("vacation", "notify")
"""The actions that send something of their own."""
FCC: Final = "fcc"


def _check(tag: Tagged) -> None:
    assert isinstance(tag.value, tuple)
    mailbox_name(tag.value[0])


EXTENSION: Final = Extension(FCC, tags=tuple((word, Tag(FCC, Kind.STRING, check=_check)) for word in WORDS))


def beside_fcc(tag: Tag) -> tuple[tuple[str, Tag], ...]:
    """A tag of ``fileinto`` that says the same of the copy (RFC 8580 section 3.1)."""
    modify = tag.modify
    assert modify is not None

    def of_copy(action: Vacation | Notify, tagged: Tagged) -> Vacation | Notify:
        return structs.replace(action, fcc=modify(action.fcc, tagged))

    return tuple((word, tag._replace(beside=FCC, modify=of_copy)) for word in WORDS)


def copy_of(call: Call) -> FileInto | None:
    """Where the copy goes; None: there is none. Errors: RunFailed."""
    if not call.tag(FCC):
        return None
    try:
        return FileInto(mailbox_name(call.tag_strings(FCC)[0]), copy=True)
    except BadCall as error:
        raise RunFailed(str(error)) from error
