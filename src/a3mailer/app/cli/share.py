"""share ...: who may use the mailboxes of a shared account or a list."""

from __future__ import annotations

from typing import Final

from a3mailer.app.cli.exits import OK
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output, plain
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb

ADDRESS: Final = Argument("ADDRESS", "the shared account's address")
WHO: Final = Argument("WHO", "an account, a group, or anyone; with - before it: taken away")
RIGHTS: Final = Argument("RIGHTS", "read, write or all, or letters of RFC 4314")
MAILBOX: Final = Option("--mailbox", "only this one; else all there are and will be", metavar="NAME")


def set_(args: Arguments, out: Output) -> int:
    """share set."""
    return _set(args, out, args.rights)


def remove(args: Arguments, out: Output) -> int:
    """share rm."""
    return _set(args, out, "")


def _set(args: Arguments, out: Output, rights: str) -> int:
    request = {"address": args.address, "who": args.who, "rights": rights, "mailbox": args.mailbox or ""}
    with session(args.dir) as store:
        made = store.perform("share set", request)
    out.result(made, f"{made['address']}: {made['who']} has {made['rights'] or 'no rights'}")
    return OK


def list_(args: Arguments, out: Output) -> int:
    """share list."""
    with session(args.dir) as store:
        rows = store.perform("share list", {"address": args.address})
    out.table(rows, {"mailbox": plain, "who": plain, "rights": plain})
    return OK


TO: Final = (ADDRESS, WHO, RIGHTS)
VERBS: Final = (
    Verb("share set", "let somebody use its mailboxes", "share.change", set_, TO, (MAILBOX,)),
    Verb("share rm", "let somebody use them no more", "share.change", remove, (ADDRESS, WHO), (MAILBOX,)),
    Verb("share list", "list who may do what with them", "share.list", list_, (ADDRESS,)),
)
