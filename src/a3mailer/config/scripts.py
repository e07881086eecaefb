"""Scripts of the operator at the stages of SMTP, as ``policy.scripts`` has them: ``STAGE=FILE``."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from a3mailer.config.fields import BadValue

STAGES: Final = ("connect", "ehlo", "auth", "mail", "rcpt", "data")


class Scripted(NamedTuple):
    """A stage and what runs there."""

    stage: str
    file: str
    """In the data directory."""


# scripted = stage "=" path      ; a relative path, never out of the data directory
def parse_scripted(text: str) -> Scripted:
    """Errors: BadValue."""
    stage, equals, file = text.partition("=")
    if not equals or stage not in STAGES:
        raise BadValue(f"{text!r} is not STAGE=FILE with one of the stages: {', '.join(STAGES)}")
    path = Path(file)
    if not file or path.is_absolute() or ".." in path.parts:
        raise BadValue(f"{file!r} is not a file in the data directory")
    return Scripted(stage, file)
