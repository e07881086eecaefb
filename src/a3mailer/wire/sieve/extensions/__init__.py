"""What scripts can say: one file and one line an extension. A test compares the table with the documents."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve.dialect import Dialect
from a3mailer.wire.sieve.extensions import core, envelope, fileinto, relational
from a3mailer.wire.sieve.vocabulary import Extension

EXTENSIONS: Final[tuple[Extension, ...]] = (
    core.EXTENSION,
    fileinto.EXTENSION,
    envelope.EXTENSION,
    relational.RELATIONAL,
    relational.NUMERIC,
)

ALL: Final = Dialect(EXTENSIONS)  # the whole language
