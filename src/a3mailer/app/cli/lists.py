"""list ...: mailing lists."""

from __future__ import annotations

from functools import partial
from typing import Final

from a3mailer.app.cli.exits import OK, USAGE, Failed
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output, moment, plain
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb

LIST: Final = Argument("LIST", "the list's address")
MEMBERS: Final = Argument("ADDRESS", "whose", "+")
NUMBER: Final = Argument("NUMBER", "the mail, as list waiting shows it")


def add(args: Arguments, out: Output) -> int:
    """list add."""
    request = {
        "address": args.list,
        "name": args.name or "",
        "owners": args.owner,
        "posting": args.posting or "members",
        "joining": args.joining or "open",
        "archive": args.archive != "off",
        "tag": args.tag or "",
    }
    with session(args.dir) as store:
        made = store.perform("list add", request)
    out.result(made, f"{made['address']} added; to put people on it: a3mailer list subscribe")
    return OK


def set_(args: Arguments, out: Output) -> int:
    """list set."""
    given = {
        "name": args.name,
        "owners": args.owner or None,
        "posting": args.posting,
        "joining": args.joining,
        "archive": None if args.archive is None else args.archive != "off",
        "tag": args.tag,
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    if not wanted:
        raise Failed(USAGE, "say what is to change")
    with session(args.dir) as store:
        made = store.perform("list set", {"address": args.list, **wanted})
    out.result(made, f"{made['address']} changed")
    return OK


def remove(args: Arguments, out: Output) -> int:
    """list rm."""
    with session(args.dir) as store:
        made = store.perform("list rm", {"address": args.list})
    out.result(made, f"{made['address']} removed, with its archive")
    return OK


def list_(args: Arguments, out: Output) -> int:
    """list list."""
    with session(args.dir) as store:
        rows = store.perform("list list", {})
    columns = ("address", "name", "owners", "posting", "joining", "members", "suspended", "waiting")
    out.table(rows, dict.fromkeys(columns, plain))
    return OK


def members(args: Arguments, out: Output) -> int:
    """list members."""
    with session(args.dir) as store:
        rows = store.perform("list members", {"address": args.list})
    out.table(rows, {"address": plain, "since": moment, "suspended": plain})
    return OK


def _people(verb: str, where: str, args: Arguments, out: Output) -> int:
    with session(args.dir) as store:
        made = store.perform(verb, {"address": args.list, "members": args.address})
    out.result(made, f"{where} {made['address']}: {plain(made['members'])}")
    return OK


def waiting(args: Arguments, out: Output) -> int:
    """list waiting."""
    with session(args.dir) as store:
        rows = store.perform("list waiting", {"address": args.list})
    out.table(rows, {"number": plain, "from": plain, "subject": plain, "octets": plain})
    return OK


def _decide(verb: str, done: str, args: Arguments, out: Output) -> int:
    with session(args.dir) as store:
        made = store.perform(verb, {"address": args.list, "number": args.number})
    out.result(made, f"{made['number']} {done}")
    return OK


def archive(args: Arguments, out: Output) -> int:
    """list archive."""
    with session(args.dir) as store:
        rows = store.perform("list archive", {"address": args.list})
    out.table(rows, {"number": plain, "date": moment, "from": plain, "subject": plain})
    return OK


SETTINGS: Final = (
    Option("--name", "what it is called", metavar="NAME"),
    Option(
        "--posting",
        "who may write: members, whom a moderator lets, everybody",
        choices=("members", "moderated", "open"),
    ),
    Option("--joining", "who may join: who confirms it, or nobody by mail", choices=("open", "closed")),
    Option("--archive", "keep what all members got (default: on)", choices=("on", "off")),
    Option("--tag", "put before subjects; breaks the signatures of authors", metavar="TEXT"),
)
VERBS: Final = (
    Verb(
        "list add",
        "make a mailing list",
        "list.add",
        add,
        (LIST,),
        (
            Option("--owner", "who looks after it; repeatable", metavar="ADDRESS", many=True, required=True),
            *SETTINGS,
        ),
    ),
    Verb("list list", "list the mailing lists", "list.list", list_),
    Verb(
        "list set",
        "change what holds for a list",
        "list.change",
        set_,
        (LIST,),
        (Option("--owner", "who looks after it; repeatable", metavar="ADDRESS", many=True), *SETTINGS),
    ),
    Verb("list rm", "erase a mailing list and its archive", "list.remove", remove, (LIST,)),
    Verb("list members", "show who is on a list", "list.list", members, (LIST,)),
    Verb(
        "list subscribe",
        "put people on a list; they are told",
        "list.change",
        partial(_people, "list subscribe", "on"),
        (LIST, MEMBERS),
    ),
    Verb(
        "list unsubscribe",
        "take people off a list; they are told",
        "list.change",
        partial(_people, "list unsubscribe", "off"),
        (LIST, MEMBERS),
    ),
    Verb("list waiting", "mails that a moderator has to decide on", "list.change", waiting, (LIST,)),
    Verb(
        "list approve",
        "let a mail through to all members",
        "list.change",
        partial(_decide, "list approve", "goes to all members"),
        (LIST, NUMBER),
    ),
    Verb(
        "list reject",
        "throw a mail away that waits",
        "list.change",
        partial(_decide, "list reject", "is thrown away"),
        (LIST, NUMBER),
    ),
    Verb("list archive", "list the newest mails that all members got", "list.archive", archive, (LIST,)),
)
