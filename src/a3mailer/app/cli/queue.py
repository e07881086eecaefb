"""queue ...: mail that waits to be relayed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from a3mailer.app.cli.exits import OK, USAGE, Failed
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output, moment, plain, size
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb

ID: Final = Argument("ID", "the entry's number, as queue list prints it")
IDS: Final = Argument("ID", "the entries' numbers, as queue list prints them", "*")
ALL: Final = (Option("--all", "every entry there is"),)


def list_(args: Arguments, out: Output) -> int:
    """queue list."""
    with session(args.dir) as store:
        rows = store.perform("queue list", {})
    columns = {"queue": plain, "created": moment, "state": plain, "next_attempt": moment, "size": size}
    out.table(rows, {**columns, "from": _sender, "recipients": _recipients})
    return OK


def _sender(value: object) -> str:
    return f"<{value}>"


def _recipients(value: object) -> str:
    rows = value if isinstance(value, list) else []
    return ", ".join(r["address"] for r in rows if r["state"] == "waiting")


def show(args: Arguments, out: Output) -> int:
    """queue show."""
    with session(args.dir) as store:
        entry = store.perform("queue show", {"queue": number(args.id)})
    out.result(entry, "\n".join(_lines(entry)))
    return OK


def _lines(entry: Mapping[str, object]) -> list[str]:
    head = [
        f"queue {entry['queue']}  {entry['state']}  since {moment(entry['created'])}",
        f"from <{entry['from']}>  {size(entry['size'])}  trace {entry['trace'] or '-'}",
    ]
    rows = entry["recipients"]
    for r in rows if isinstance(rows, list) else []:
        head.append(
            f"to <{r['address']}>  {r['state']}  {r['attempts']} attempts  next {moment(r['next_attempt'])}"
        )
        if r["text"] or r["code"]:
            head.append(f"    {r['host']}: {r['code'] or ''} {r['enhanced']} {r['text']}".rstrip())
    return head


def hold(args: Arguments, out: Output) -> int:
    """queue hold."""
    return _change(args, out, "hold", "held")


def release(args: Arguments, out: Output) -> int:
    """queue release."""
    return _change(args, out, "release", "released")


def retry(args: Arguments, out: Output) -> int:
    """queue retry."""
    return _change(args, out, "retry", "due now")


def fail(args: Arguments, out: Output) -> int:
    """queue fail."""
    return _change(args, out, "fail", "given up; the sender is told")


def _change(args: Arguments, out: Output, act: str, done: str) -> int:
    if bool(args.id) is args.all:
        raise Failed(USAGE, "give numbers of entries, or --all")
    with session(args.dir) as store:
        ids = [row["queue"] for row in store.perform("queue list", {})] if args.all else map(number, args.id)
        made = [store.perform("queue change", {"queue": each, "act": act}) for each in ids]
    out.result(made, "\n".join(f"{m['queue']} {done}" for m in made))
    return OK


def number(text: str) -> int:
    """A queue id. Errors: Failed (USAGE)."""
    if not text.isascii() or not text.isdigit():
        raise Failed(USAGE, f"not a number of a queue entry: {text}")
    return int(text)


VERBS: Final = (
    Verb("queue list", "list what waits", "queue.list", list_),
    Verb(
        "queue show", "show one entry with its recipients and their last answers", "queue.list", show, (ID,)
    ),
    Verb("queue hold", "do not try these until they are released", "queue.change", hold, (IDS,), ALL),
    Verb("queue release", "let held ones go on", "queue.change", release, (IDS,), ALL),
    Verb("queue retry", "try these now", "queue.change", retry, (IDS,), ALL),
    Verb("queue fail", "give these up and tell their senders", "queue.change", fail, (IDS,), ALL),
)
