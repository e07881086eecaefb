"""sieve put, list, get, activate, rm: the scripts of an account."""

from __future__ import annotations

from typing import Final

from a3mailer.app.cli.exits import NO, OK, Failed
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output, moment, plain
from a3mailer.app.cli.tools import read_octets
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb

ADDRESS: Final = Argument("ADDRESS", "the account's address")
NAME: Final = Argument("NAME", "of the script")


def put(args: Arguments, out: Output) -> int:
    """sieve put."""
    try:
        script = read_octets(args.file).decode()
    except UnicodeDecodeError as error:
        raise Failed(NO, f"{args.file}: it is not UTF-8") from error
    asked = {"address": args.address, "name": args.name, "script": script, "activate": args.activate}
    with session(args.dir) as store:
        made = store.perform("sieve put", asked)
    out.result(made, f"{made['name']}: {made['size']} octets{', active' if made['active'] else ''}")
    return OK


def list_(args: Arguments, out: Output) -> int:
    """sieve list."""
    with session(args.dir) as store:
        rows = store.perform("sieve list", {"address": args.address})
    out.table(rows, {"name": plain, "active": plain, "size": plain, "changed": moment})
    return OK


def get(args: Arguments, out: Output) -> int:
    """sieve get."""
    with session(args.dir) as store:
        found = store.perform("sieve get", {"address": args.address, "name": args.name})
    out.result(found, found["script"])
    return OK


def activate(args: Arguments, out: Output) -> int:
    """sieve activate."""
    with session(args.dir) as store:
        made = store.perform("sieve activate", {"address": args.address, "name": args.name or ""})
    out.result(made, f"{made['name']} runs from now on" if made["name"] else "no script runs from now on")
    return OK


def remove(args: Arguments, out: Output) -> int:
    """sieve rm."""
    with session(args.dir) as store:
        made = store.perform("sieve rm", {"address": args.address, "name": args.name})
    out.result(made, f"{made['name']} removed")
    return OK


def members(args: Arguments, out: Output) -> int:
    """sieve members."""
    text = read_octets(args.file).decode("utf-8", "replace") if args.file else ""
    found = [line.strip() for line in text.splitlines() if line.strip()]
    with session(args.dir) as store:
        made = store.perform("sieve members", {"address": args.address, "name": args.name, "members": found})
    out.result(made, f"{made['list']}: {made['members']} members")
    return OK


_FILE: Final = Argument("FILE", "a file with a script; - is stdin", file=True)
_MAYBE: Final = Argument("NAME", "of the script; without one none runs any more", "?")
_NOW: Final = Option("--activate", "it runs from now on")
_OF_LIST: Final = (
    ADDRESS,
    Argument("NAME", "of the list, such as tag:example.org,2026:friends"),
    Argument("FILE", "a file with one member a line; - is stdin; without one the list goes", "?", file=True),
)
VERBS: Final = (
    Verb("sieve put", "keep a script for an account", "sieve.change", put, (ADDRESS, NAME, _FILE), (_NOW,)),
    Verb("sieve list", "list the scripts of an account", "sieve.list", list_, (ADDRESS,)),
    Verb("sieve get", "show one of them", "sieve.list", get, (ADDRESS, NAME)),
    Verb("sieve activate", "let one run for each mail, or none", "sieve.change", activate, (ADDRESS, _MAYBE)),
    Verb("sieve members", "say who is in a list that scripts ask for", "sieve.change", members, _OF_LIST),
    Verb("sieve rm", "remove one that is not active", "sieve.change", remove, (ADDRESS, NAME)),
)
