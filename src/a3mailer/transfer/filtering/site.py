"""The scripts of the operator around those of accounts: before them, after them, and to be included.

``sieve.before`` and ``sieve.after`` are ``FILE`` or ``DOMAIN=FILE``, ``sieve.include`` is ``NAME=FILE``; they
are compiled when settings are taken, and a broken one refuses the reload, with file, line and column.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from a3mailer.config.scripts import Around, parse_around, parse_included
from a3mailer.config.tree import Settings
from a3mailer.transfer.policy.scripts import BadScripts
from a3mailer.wire.sieve.compile import Program, compile_script
from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.extensions import USERS


class Named(NamedTuple):
    """A program and the file it is from."""

    file: str
    program: Program


class Site(NamedTuple):
    """All of them. By domain; "" is for all domains, and comes first."""

    before: Mapping[str, tuple[Named, ...]]
    after: Mapping[str, tuple[Named, ...]]
    included: Mapping[str, Program]

    def around(self, domain: str) -> tuple[tuple[Named, ...], tuple[Named, ...]]:
        """What runs before and after the script of an account of a domain."""
        before = self.before.get("", ()) + self.before.get(domain, ()) if self.before else ()
        return before, self.after.get("", ()) + self.after.get(domain, ()) if self.after else ()


NONE = Site({}, {}, {})


def compiled(directory: Path, settings: Settings) -> Site:
    """Errors: BadScripts."""
    problems: list[str] = []

    def program(file: str) -> Program | None:
        try:
            return compile_script((directory / file).read_bytes(), USERS)
        except OSError as error:
            problems.append(f"{file}: {error.strerror or error}")
        except ScriptError as error:
            problems.append(f"{file}:{error.line}:{error.column}: {error.text}")
        return None

    def by_domain(texts: tuple[str, ...]) -> dict[str, tuple[Named, ...]]:
        made: dict[str, tuple[Named, ...]] = {}
        for domain, file in map(parse_around, texts):
            found = program(file)
            if found is not None:
                made[domain] = (*made.get(domain, ()), Named(file, found))
        return made

    sieve = settings.sieve
    before, after = by_domain(sieve.before), by_domain(sieve.after)
    included: list[Around] = list(map(parse_included, sieve.include))
    shared = {each.name: found for each in included if (found := program(each.file)) is not None}
    if problems:
        raise BadScripts(list(dict.fromkeys(problems)))
    return Site(before, after, shared)
