"""Where settings come from, each over the ones before: files, environment, secret files, store, command line.

A source yields raw values with the place they were found, so that every error and every value can say
where it is from.  Unreadable files and names that do not exist are errors: a typing slip is never ignored.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PREFIX: Final = "A3_"
SEPARATOR: Final = "__"
FILE_SUFFIX: Final = "_FILE"
MAIN_FILE: Final = "a3mailer.toml"
EXTRA_FOLDER: Final = "conf.d"
SET_FILE: Final = "90-set.toml"
"""In EXTRA_FOLDER: what ``config set`` writes for settings that are needed before the store is open."""
INSTALLED: Final = Path("/var/lib/a3mailer")
INSTALLED_SETTINGS: Final = Path("/etc/a3mailer")
"""In the installed layout its files are read before those of the data directory."""
MAX_FILE: Final = 1 << 20
"""Octets of one settings or secret file."""


@dataclass(frozen=True, slots=True)
class Given:
    """One raw value. ``text`` says that it is a string to be parsed, not a typed value of TOML."""

    name: str
    value: object
    text: bool
    source: str
    """``file``, ``environment``, ``secret``, ``store`` or ``command line``."""
    where: str
    """The file, variable or option, for people."""


class Unreadable(Exception):
    """A source cannot be read; the text names it and says why."""


def files(directory: Path) -> Iterator[Given]:
    """``a3mailer.toml``, then ``conf.d/*.toml`` by name. Errors: Unreadable."""
    for folder in (INSTALLED_SETTINGS, directory) if directory == INSTALLED else (directory,):
        paths = [folder / MAIN_FILE, *sorted((folder / EXTRA_FOLDER).glob("*.toml"))]
        for path in paths:
            if path.exists():
                yield from toml(path)


def toml(path: Path) -> Iterator[Given]:
    """The values of one TOML file: tables are sections. Errors: Unreadable."""
    for section, table in _load(path).items():
        if not isinstance(table, dict):
            raise Unreadable(f"{path}: {section} is not in a [section]")
        for key, value in table.items():
            yield Given(f"{section}.{key}", value, False, "file", str(path))


def _load(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_size > MAX_FILE:
            raise Unreadable(f"{path}: larger than {MAX_FILE} octets")
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path}: {error}") from error


def environment(variables: Mapping[str, str]) -> Iterator[Given]:
    """``A3_SECTION__KEY``; other ``A3_`` variables without the double underscore are not settings."""
    for variable, text in sorted(variables.items()):
        name = _setting(variable)
        if name is not None and not name.endswith("_file"):
            yield Given(name, text, True, "environment", variable)


def secret_files(variables: Mapping[str, str]) -> Iterator[Given]:
    """``A3_SECTION__KEY_FILE`` names a file whose text is the value; systemd credentials named
    ``section.key`` too. Errors: Unreadable."""
    for variable, path in sorted(variables.items()):
        name = _setting(variable)
        if name is not None and name.endswith("_file"):
            yield Given(name.removesuffix("_file"), _secret(Path(path)), True, "secret", variable)
    folder = variables.get("CREDENTIALS_DIRECTORY")
    if folder and (credentials := Path(folder)).is_dir():
        for path_ in sorted(credentials.iterdir()):
            if path_.name.count(".") == 1:
                yield Given(path_.name, _secret(path_), True, "secret", f"credential {path_.name}")


def _setting(variable: str) -> str | None:
    section, separator, key = variable.removeprefix(PREFIX).partition(SEPARATOR)
    if not variable.startswith(PREFIX) or not separator or not section or not key:
        return None
    return f"{section}.{key}".lower()


def _secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_FILE + 1)
        if len(octets) > MAX_FILE:
            raise Unreadable(f"{path}: larger than {MAX_FILE} octets")
        return octets.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path}: not UTF-8") from error


def store(stored: Mapping[str, str]) -> Iterator[Given]:
    """What ``config set`` put into the store."""
    for name, text in sorted(stored.items()):
        yield Given(name, text, True, "store", "the store")


def command_line(overrides: Mapping[str, str]) -> Iterator[Given]:
    """``--set name=value``."""
    for name, text in overrides.items():
        yield Given(name, text, True, "command line", f"--set {name}")


def all_sources(
    directory: Path | None,
    overrides: Mapping[str, str],
    variables: Mapping[str, str] | None = None,
    stored: Mapping[str, str] | None = None,
) -> Iterator[Given]:
    """Everything given, weakest first."""
    variables = os.environ if variables is None else variables
    if directory is not None:
        yield from files(directory)
    yield from environment(variables)
    yield from secret_files(variables)
    yield from store(stored or {})
    yield from command_line(overrides)
