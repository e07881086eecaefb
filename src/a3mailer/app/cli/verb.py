"""One verb of the command line as a value: parsing, help, completion and man pages are all made from it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from a3mailer.app.cli.exits import USAGE, Failed
from a3mailer.app.cli.output import Output
from a3mailer.identity.roles import action

INSTALLED: Final = "/var/lib/a3mailer"
Arguments = argparse.Namespace


@dataclass(frozen=True, slots=True)
class Option:
    """``--name METAVAR``; without metavar it is a switch."""

    name: str
    help: str
    metavar: str = ""
    many: bool = False
    required: bool = False
    choices: tuple[str, ...] = ()
    number: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Argument:
    """A positional one. ``count``: ``""`` exactly one, ``?`` maybe, ``+`` at least one, ``*`` any number."""

    name: str
    help: str
    count: str = ""
    choices: tuple[str, ...] = ()
    file: bool = False


@dataclass(frozen=True, slots=True)
class Verb:
    """``path`` is the words; ``action`` the rule of ``identity.roles`` it falls under."""

    path: str
    help: str
    action: str
    run: Callable[[Arguments, Output], int]
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()
    directory: bool = True
    """Takes ``--dir``; verbs whose data directory is an argument, or that need none, do not."""
    codes: Mapping[int, int] = field(default_factory=dict)
    """Exit codes in the place of ours, for a command that others have defined."""

    def __post_init__(self) -> None:
        action(self.action)  # a verb without a rule fails here, at import


JSON: Final = Option("--json", "print the result as JSON")
DIR: Final = Option("--dir", f"the data directory (default: $A3_DIR, then {INSTALLED})", metavar="DIR")


def all_options(verb: Verb) -> tuple[Option, ...]:
    """Its own, and those every verb has."""
    return (*verb.options, *((DIR,) if verb.directory else ()), JSON)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Failed(USAGE, f"{message} (see: {self.prog} --help)")


def parser(verb: Verb) -> argparse.ArgumentParser:
    """The argparse parser of one verb."""
    made = _Parser(
        f"a3mailer {verb.path}", description=_sentence(verb.help), allow_abbrev=False, add_help=True
    )
    for each in verb.arguments:
        made.add_argument(
            each.name.lower(),
            metavar=each.name,
            help=each.help,
            nargs=each.count or None,
            choices=each.choices or None,
        )
    for option in all_options(verb):
        _add_option(made, option)
    return made


def _add_option(made: argparse.ArgumentParser, option: Option) -> None:
    if not option.metavar and not option.choices:
        made.add_argument(option.name, help=option.help, action="store_true")
        return
    settings: dict[str, Any] = {"metavar": option.metavar or "|".join(option.choices), "help": option.help}
    if option.many:
        settings |= {"action": "append", "default": []}
    elif option.default is not None:
        settings["default"] = option.default
    if option.number:
        settings["type"] = int
    made.add_argument(option.name, required=option.required, choices=option.choices or None, **settings)


def parse(verb: Verb, words: Sequence[str]) -> Arguments:
    """Arguments of one call. Errors: Failed (USAGE). ``--help`` prints and raises SystemExit(0)."""
    found = parser(verb).parse_args(list(words))
    if verb.directory and found.dir is None:
        found.dir = os.environ.get("A3_DIR") or INSTALLED
    return found


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
