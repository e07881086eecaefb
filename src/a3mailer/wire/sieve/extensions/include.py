"""include (RFC 6609): scripts of scripts, ``return``, and variables that they share.

An included script has capabilities and variables of its own; actions, flags, header and budget are those of
the run. Scripts within each other are limited, and none is within itself.
"""

from __future__ import annotations

import re
from typing import Final

from a3mailer.wire.sieve.arguments import NAMESPACE
from a3mailer.wire.sieve.compile import Program
from a3mailer.wire.sieve.errors import BadCall, Returned, RunFailed, ScriptError
from a3mailer.wire.sieve.interpret import execute
from a3mailer.wire.sieve.limits import INCLUDED, INCLUDES
from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.strings import NAME
from a3mailer.wire.sieve.vocabulary import Extension, Kind, Parameter, Role, Tag, Word

SCRIPT_NAME: Final = 512
"""Octets (RFC 5804 section 1.6 asks for 128 characters)."""
_NOT_IN_NAMES: Final = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")
COST: Final = 50
"""Steps of finding a script."""
_WITHIN: Final = "include"


class _Track:
    """What is included: scripts within each other, and all so far."""

    __slots__ = ("count", "open", "seen")

    def __init__(self) -> None:
        self.count = 0
        self.open: list[tuple[str, str]] = []
        self.seen: set[tuple[str, str]] = set()


def _track(machine: Machine) -> _Track:
    found = machine.kept.setdefault(_WITHIN, _Track())
    assert isinstance(found, _Track)
    return found


def _include(machine: Machine, call: Call) -> None:
    track = _track(machine)
    key = (call.tag("location") or "personal", call.string(0).decode("utf-8", "replace"))
    if call.tag("once") and key in track.seen:
        return
    if key in track.open:
        raise RunFailed(f'the script "{key[1][:60]}" is within itself')
    track.count += 1
    if len(track.open) >= INCLUDED or track.count > INCLUDES:
        raise RunFailed(f"more than {INCLUDED} scripts within each other, or {INCLUDES} in all")
    machine.charge(COST)
    program = _found(machine, key, bool(call.tag("optional")))
    if program is not None:
        track.seen.add(key)
        track.open.append(key)
        _within(machine, program, key[1])
        track.open.pop()


def _found(machine: Machine, key: tuple[str, str], optional: bool) -> Program | None:
    try:
        program = machine.mail.script(*key)
    except ScriptError as error:
        raise RunFailed(f'the script "{key[1][:60]}", {error}') from error
    if program is None and not optional:
        raise RunFailed(f'there is no {key[0]} script "{key[1][:60]}"')
    assert program is None or isinstance(program, Program)
    return program


def _within(machine: Machine, program: Program, name: str) -> None:
    """Run it with a scope of its own."""
    before = (machine.enabled, machine.offered, machine.members)
    loops, machine.loops = machine.loops, []
    suspended, machine.suspended = machine.suspended, machine.suspended or bool(loops)
    variables = (machine.variables, machine.declared, machine.matched)
    machine.enabled, machine.offered, machine.members = set(program.required), program.late, program.members
    machine.variables, machine.declared, machine.matched = {}, frozenset(), ()
    try:
        execute(program, machine)
    except Returned:
        pass
    except RunFailed as failed:
        line, column = failed.place or (1, 1)
        raise RunFailed(f'the script "{name[:60]}", line {line}, column {column}: {failed}') from failed
    machine.enabled, machine.offered, machine.members = before
    machine.loops, machine.suspended = loops, suspended
    machine.variables, machine.declared, machine.matched = variables


def _return(machine: Machine, call: Call) -> None:
    raise Returned


def _global(machine: Machine, call: Call) -> None:
    names = {name.decode().lower() for name in call.strings(0)}
    if taken := names & machine.variables.keys():
        raise RunFailed(f"the variable {min(taken)[:60]} is one of this script already")
    machine.declared |= names


def _check_global(call: Call) -> None:
    for name in call.strings(0):
        if not NAME.fullmatch(name) or b"." in name:
            raise BadCall(f"{name[:60].decode('utf-8', 'replace')!r} is no name of a variable")


def _check_include(call: Call) -> None:
    """RFC 5804 section 1.6: not empty, and none of those characters."""
    try:
        name = call.string(0).decode()
    except UnicodeDecodeError as error:
        raise BadCall("the name of a script is not UTF-8") from error
    if not name or len(call.string(0)) > SCRIPT_NAME or _NOT_IN_NAMES.search(name):
        raise BadCall("no name of a script")


EXTENSION: Final = Extension(
    "include",
    words=(
        Word(
            "include",
            Role.ACTION,
            _include,
            (Parameter("script", Kind.CONSTANT),),
            (
                Tag("personal", group="location"),
                Tag("global", group="location"),
                Tag("once"),
                Tag("optional"),
            ),
            check=_check_include,
        ),
        Word("return", Role.ACTION, _return),
        Word(
            "global",
            Role.ACTION,
            _global,
            (Parameter("list of variables", Kind.CONSTANTS),),
            also="variables",
            check=_check_global,
        ),
    ),
    members=((NAMESPACE, "global"),),
)
