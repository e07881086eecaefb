"""message parse, version, completion: what needs no instance."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from a3mailer import __version__
from a3mailer.app.cli.exits import OK, USAGE, Failed
from a3mailer.app.cli.output import Output
from a3mailer.app.cli.verb import Argument, Arguments, Verb

MAX_MAIL: Final = 1 << 30
"""Octets of a mail to parse."""


def version(args: Arguments, out: Output) -> int:
    """version."""
    python = sys.version.split()[0]
    out.result({"version": __version__, "python": python}, f"a3mailer {__version__} (Python {python})")
    return OK


def completion(args: Arguments, out: Output) -> int:
    """completion."""
    from a3mailer.app.cli.families import all_verbs
    from a3mailer.app.cli.paper import completion as script

    text = script(args.shell, all_verbs())
    out.result({"shell": args.shell, "script": text}) if out.json else sys.stdout.write(text)
    return OK


def read_octets(name: str) -> bytes:
    """A file's octets; ``-`` is stdin. Errors: Failed (USAGE)."""
    try:
        with sys.stdin.buffer if name == "-" else Path(name).open("rb") as file:
            octets = file.read(MAX_MAIL + 1)
    except OSError as error:
        raise Failed(USAGE, f"{name}: {error.strerror}") from error
    if len(octets) > MAX_MAIL:
        raise Failed(USAGE, f"{name}: more than {MAX_MAIL} octets")
    return octets


VERBS: Final = (
    Verb("version", "print the version", "tool.use", version, directory=False),
    Verb(
        "completion",
        "print a completion script for a shell",
        "tool.use",
        completion,
        (Argument("SHELL", "bash, zsh or fish", choices=("bash", "zsh", "fish")),),
        directory=False,
    ),
)
