"""encoded-character (RFC 5228 section 2.4.2.4): how strings are read; ``strings`` does it."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve.vocabulary import Extension

EXTENSION: Final = Extension("encoded-character", grammar=True)
