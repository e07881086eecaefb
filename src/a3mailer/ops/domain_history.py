"""What the last look at each domain found, kept in a file, and what has changed since the one before."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from a3mailer.ops.domain_check import Section
from a3mailer.telemetry.events import emit

FILE: Final = Path("cache") / "domains.json"
"""In the data directory. Lost, it is made anew: then nothing is known to have become worse."""
OK: Final = "ok"
WARNING: Final = "warning"
ERROR: Final = "error"
NOT_CHECKED: Final = "not checked"
RANK: Final = {OK: 0, WARNING: 1, ERROR: 2}


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at one domain. ``errors`` and ``warnings`` count sentences, for readers in a hurry."""

    checked: int
    """Seconds since the epoch."""
    validated_by: str
    errors: int
    warnings: int
    sections: tuple[Section, ...]


class Change(msgspec.Struct, frozen=True):
    """A subject that is not as it was."""

    subject: str
    before: str
    now: str
    text: str
    """What is wrong now; empty where nothing is."""


_decode: Final = msgspec.json.Decoder(dict[str, Look]).decode


def look_of(checked: int, validated_by: str, sections: Sequence[Section]) -> Look:
    """What is kept of a look."""
    return Look(
        checked=checked,
        validated_by=validated_by,
        errors=sum(len(each.errors) for each in sections),
        warnings=sum(len(each.warnings) for each in sections),
        sections=tuple(sections),
    )


def word(section: Section) -> str:
    """How good a section is."""
    if section.errors:
        return ERROR
    if section.warnings:
        return WARNING
    return NOT_CHECKED if section.not_checked else OK


def changes(before: Look, now: Look) -> Iterator[Change]:
    """Subjects that became worse or better; what could not be checked is neither."""
    was = {each.subject: each for each in before.sections}
    for section in now.sections:
        former = was.get(section.subject)
        old, new = word(former) if former else NOT_CHECKED, word(section)
        if NOT_CHECKED not in (old, new) and old != new:
            text = next(iter((*section.errors, *section.warnings)), "")
            yield Change(section.subject, old, new, text)


def merged(before: Look | None, now: Look) -> Look:
    """The look to keep: where a subject could not be checked, what was known of it stays."""
    known = {each.subject: each for each in before.sections} if before else {}
    sections = [known.get(each.subject, each) if word(each) == NOT_CHECKED else each for each in now.sections]
    return look_of(now.checked, now.validated_by, sections)


def tell(domain: str, before: Look | None, now: Look) -> None:
    """The events of a look."""
    emit("domain.checked", domain=domain, errors=now.errors, warnings=now.warnings)
    for each in changes(before, now) if before else ():
        if RANK[each.now] > RANK[each.before]:
            level = "error" if each.now == ERROR else "warning"
            emit(
                "domain.worse", level=level, domain=domain, subject=each.subject, now=each.now, text=each.text
            )
        else:
            emit("domain.better", domain=domain, subject=each.subject, now=each.now, text=each.text)


def read(directory: Path) -> dict[str, Look]:
    """The last look at each domain; none where there is no file, or none of ours."""
    try:
        return _decode((directory / FILE).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return {}


def write(directory: Path, looks: Mapping[str, Look]) -> None:
    """Keep them, whole or not at all. Errors: OSError."""
    path = directory / FILE
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(looks))
    draft.replace(path)
