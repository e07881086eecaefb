"""copy (RFC 3894): file or redirect, and everything else happens as if that had not been."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from a3mailer.wire.sieve.actions import FileInto, Redirect
from a3mailer.wire.sieve.machine import Tagged
from a3mailer.wire.sieve.vocabulary import Extension, Tag


def _copy(action: FileInto | Redirect, tag: Tagged) -> FileInto | Redirect:
    return structs.replace(action, copy=True)


COPY: Final = Tag("copy", modify=_copy)
EXTENSION: Final = Extension("copy", tags=(("fileinto", COPY), ("redirect", COPY)))
