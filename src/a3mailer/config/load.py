"""Sources merged into one frozen snapshot, every value with its provenance, every fault told at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from a3mailer.config.checks import check, contradictions
from a3mailer.config.fields import ALIASES, BOOT, FIELDS, BadValue, NoSuchSetting, field, text_of, value_of
from a3mailer.config.routes import parse_rule, read_secret
from a3mailer.config.sources import Given, Unreadable, all_sources
from a3mailer.config.tree import Settings


class ConfigError(Exception):
    """The settings cannot be used; ``problems`` has one line each, naming source and setting."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from."""

    source: str
    where: str


DEFAULT = Origin("default", "")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Settings as of one moment."""

    settings: Settings
    origins: Mapping[str, Origin]
    """By full name; what is not in it is a default."""

    def origin(self, name: str) -> Origin:
        """Where the value of a full name came from."""
        return self.origins.get(name, DEFAULT)


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that two snapshots disagree about."""

    name: str
    before: str
    after: str
    restart: bool
    """The new value needs ``restart``; else a reload takes it."""


def load(
    directory: Path | None,
    overrides: Mapping[str, str],
    variables: Mapping[str, str] | None = None,
    stored: Mapping[str, str] | None = None,
) -> Snapshot:
    """Read all sources (``variables`` is os.environ unless given). Errors: ConfigError."""
    values: dict[str, object] = {}
    origins: dict[str, Origin] = {}
    problems: list[str] = []
    try:
        for given in all_sources(directory, overrides, variables, stored):
            name = ALIASES.get(given.name, given.name) if given.text else given.name
            try:
                values[name] = _value(name, given)
                origins[name] = Origin(given.source, given.where)
            except (BadValue, NoSuchSetting) as error:
                problems.append(f"{given.where}: {_named(name, error)}")
    except Unreadable as error:
        problems.append(str(error))
    if problems:
        raise ConfigError(tuple(problems))
    settings = build(values)
    problems = [f"{_place(origins, n)}: {n}: {text}" for n, text in contradictions(settings)]
    if directory is not None:
        problems += [f"{_place(origins, n)}: {n}: {text}" for n, text in _files(directory, settings)]
    if problems:
        raise ConfigError(tuple(problems))
    return Snapshot(settings, origins)


def _files(directory: Path, settings: Settings) -> Iterator[tuple[str, str]]:
    """(name, what is wrong) of settings that name files which are read when they are taken."""
    for text in settings.queue.rules:
        secret = parse_rule(text).secret
        if secret:
            try:
                read_secret(directory, secret)
            except BadValue as error:
                yield "queue.rules", str(error)


def _value(name: str, given: Given) -> object:
    if given.source == "store" and name.startswith(BOOT):
        raise BadValue("is needed before the store is open and cannot be kept in it")
    known = field(name)
    value = known.parse(str(given.value)) if given.text else known.convert(given.value)
    check(known.name, value)
    return value


def _named(name: str, error: Exception) -> str:
    return str(error) if isinstance(error, NoSuchSetting) else f"{name}: {error}"


def _place(origins: Mapping[str, Origin], name: str) -> str:
    return origins[name].where if name in origins else "default"


def build(values: Mapping[str, object]) -> Settings:
    """The tree with these values (already checked) in place of defaults."""
    settings = Settings()
    changed: dict[str, dict[str, object]] = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        changed.setdefault(section, {})[key] = value
    sections = {s: msgspec.structs.replace(getattr(settings, s), **v) for s, v in changed.items()}
    return msgspec.structs.replace(settings, **sections)


def diff(before: Settings, after: Settings) -> tuple[Difference, ...]:
    """What changed, and whether a reload is enough for it."""
    found = []
    for name, each in FIELDS.items():
        old, new = value_of(before, name), value_of(after, name)
        if old != new:
            found.append(Difference(name, text_of(old), text_of(new), each.restart))
    return tuple(found)
