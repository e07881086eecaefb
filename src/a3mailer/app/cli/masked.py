"""masked ...: an address for each site, and who handed it on."""

from __future__ import annotations

from typing import Final

from a3mailer.app.cli.exits import OK
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output, moment, plain
from a3mailer.app.cli.verb import Argument, Arguments, Verb

ADDRESS: Final = Argument("ADDRESS", "the account's address")
SITE: Final = Argument("SITE", "the domain it is given to")
MASKED: Final = Argument("MASKED", "the masked address")


def add(args: Arguments, out: Output) -> int:
    """masked add."""
    with session(args.dir) as store:
        made = store.perform("masked add", {"address": args.address, "site": args.site})
    out.result(made, made["masked"])
    return OK


def list_(args: Arguments, out: Output) -> int:
    """masked list."""
    with session(args.dir) as store:
        rows = store.perform("masked list", {"address": args.address})
    out.table(rows, {"masked": plain, "site": plain, "created": moment, "disabled": plain, "senders": plain})
    return OK


def disable(args: Arguments, out: Output) -> int:
    """masked disable."""
    with session(args.dir) as store:
        made = store.perform("masked disable", {"address": args.address, "masked": args.masked})
    out.result(made, f"{made['masked']} takes no more mail")
    return OK


def enable(args: Arguments, out: Output) -> int:
    """masked enable."""
    with session(args.dir) as store:
        made = store.perform("masked enable", {"address": args.address, "masked": args.masked})
    out.result(made, f"{made['masked']} takes mail again")
    return OK


def remove(args: Arguments, out: Output) -> int:
    """masked rm."""
    with session(args.dir) as store:
        made = store.perform("masked rm", {"address": args.address, "masked": args.masked})
    out.result(made, f"{made['masked']} removed")
    return OK


def leaks(args: Arguments, out: Output) -> int:
    """masked leaks."""
    with session(args.dir) as store:
        rows = store.perform("masked leaks", {"address": args.address})
    out.result(rows, "\n".join(row["says"] for row in rows) or "nobody handed an address on")
    return OK


VERBS: Final = (
    Verb("masked add", "make an address for one site", "masked.change", add, (ADDRESS, SITE)),
    Verb("masked list", "list an account's masked addresses", "masked.list", list_, (ADDRESS,)),
    Verb("masked disable", "refuse all mail to one from now on", "masked.change", disable, (ADDRESS, MASKED)),
    Verb("masked enable", "take mail to a disabled one again", "masked.change", enable, (ADDRESS, MASKED)),
    Verb("masked rm", "refuse all mail to one, and forget it", "masked.change", remove, (ADDRESS, MASKED)),
    Verb("masked leaks", "say who handed an address on", "masked.list", leaks, (ADDRESS,)),
)
