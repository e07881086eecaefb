"""queue ...: mail that waits to be relayed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from a3mailer.app.cli.exits import OK, USAGE, Failed
from a3mailer.app.cli.office import Session, session
from a3mailer.app.cli.output import Output, moment, plain, size
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb
from a3mailer.mail.answers import Answer
from a3mailer.transfer.suppression import REASONS

ID: Final = Argument("ID", "the entry's number, as queue list prints it")
IDS: Final = Argument("ID", "the entries' numbers, as queue list prints them", "*")
ALL: Final = (Option("--all", "every entry there is"),)


FILTERS: Final = (
    Option("--domain", "with a recipient there who waits (.example.org: below it)", metavar="DOMAIN"),
    Option("--sender", "from this address or domain; <> for notices", metavar="SENDER"),
    Option("--age", "at least so old: 90s, 30m, 4h, 2d", metavar="AGE"),
    Option("--answer", "whose last answer was about this", metavar="WORD", choices=tuple(Answer)),
)
ACTING: Final = (*ALL, *FILTERS)
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
ENTRIES_A_PAGE: Final = 1000
CHANGES_AT_ONCE: Final = 250
"""Entries that are changed by one request, and share their commits."""


def wanted(args: Arguments) -> dict[str, object]:
    """What the filters ask for. Errors: Failed (USAGE)."""
    found = {
        "domain": args.domain or "", "sender": args.sender or "", "age": _seconds(args.age or "0s"),
        "answer": args.answer or "",
    }  # fmt: skip
    return {name: value for name, value in found.items() if value}


def _seconds(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS or not number.isascii() or not number.isdigit():
        raise Failed(USAGE, f"{text!r} is not a time such as 90s, 30m, 4h or 2d")
    return int(number) * UNITS[unit]


def _entries(store: Session, asked: Mapping[str, object]) -> list[dict[str, Any]]:
    """In pages: the server holds no more than one of them."""
    found: list[dict[str, Any]] = []
    while page := store.perform("queue list", {**asked, "limit": ENTRIES_A_PAGE, "after": _last(found)}):
        found += page
    return found


def _last(rows: list[dict[str, Any]]) -> int:
    return int(rows[-1]["queue"]) if rows else 0


def list_(args: Arguments, out: Output) -> int:
    """queue list."""
    return listed(args.dir, wanted(args), out)


def listed(directory: str, asked: Mapping[str, object], out: Output) -> int:
    """Print the entries that are asked for."""
    with session(directory) as store:
        rows = _entries(store, asked)
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
    head = f"queue {entry['queue']}: {entry['state']}"
    out.result(entry, "\n".join((head, *entry["story"])))
    return OK


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
    asked = wanted(args)
    if [bool(args.id), args.all, bool(asked)].count(True) != 1:
        raise Failed(USAGE, "give numbers of entries, or --all, or which ones (--domain, --sender, ...)")
    with session(args.dir) as store:
        if args.id:
            made = [store.perform("queue change", {"queue": number(each), "act": act}) for each in args.id]
        else:
            made = _change_all(store, [row["queue"] for row in _entries(store, asked)], act)
    out.result(made, "\n".join(f"{m['queue']} {done}" for m in made))
    return OK


def _change_all(store: Session, ids: list[int], act: str) -> list[dict[str, Any]]:
    """Some at a time, which share their commits."""
    made: list[dict[str, Any]] = []
    for at in range(0, len(ids), CHANGES_AT_ONCE):
        made += store.perform("queue changes", {"queues": ids[at : at + CHANGES_AT_ONCE], "act": act})
    return made


def suppress(args: Arguments, out: Output) -> int:
    """queue suppress."""
    if (args.act == "list") is bool(args.address):
        raise Failed(USAGE, "list takes no address, add and rm take some")
    whose = {"tenant": args.tenant} if args.tenant else {}
    with session(args.dir) as store:
        if args.act == "list":
            rows = store.perform("queue suppressed", whose)
            columns = {
                "tenant": plain,
                "address": plain,
                "state": plain,
                "reason": plain,
                "strikes": plain,
                "until": moment,
            }
            out.table(rows, {**columns, "words": plain})
            return OK
        if args.act == "rm":
            made = [store.perform("queue unsuppress", {"address": each, **whose}) for each in args.address]
            out.result(made, "\n".join(f"{m['address']} gets mail again" for m in made))
            return OK
        asked = {
            **whose,
            "reason": args.reason or REASONS[-1],
            "words": args.words or "",
            "days": args.days or 0,
        }
        made = [store.perform("queue suppress", {"address": each, **asked}) for each in args.address]
    out.result(made, "\n".join(f"{m['address']} gets no mail {_until(m['until'])}" for m in made))
    return OK


def _until(value: int) -> str:
    return f"before {moment(value)}" if value else "any more"


def number(text: str) -> int:
    """A queue id. Errors: Failed (USAGE)."""
    if not text.isascii() or not text.isdigit():
        raise Failed(USAGE, f"not a number of a queue entry: {text}")
    return int(text)


VERBS: Final = (
    Verb("queue list", "list what waits", "queue.list", list_, (), FILTERS),
    Verb(
        "queue show", "show one entry with its recipients and their last answers", "queue.list", show, (ID,)
    ),
    Verb("queue hold", "do not try these until they are released", "queue.change", hold, (IDS,), ACTING),
    Verb("queue release", "let held ones go on", "queue.change", release, (IDS,), ACTING),
    Verb("queue retry", "try these now", "queue.change", retry, (IDS,), ACTING),
    Verb("queue fail", "give these up and tell their senders", "queue.change", fail, (IDS,), ACTING),
    Verb(
        "queue suppress",
        "the addresses that nothing is sent to: list, add or rm",
        "queue.change",
        suppress,
        (
            Argument("ACT", "list, add or rm", choices=("list", "add", "rm")),
            Argument("ADDRESS", "addresses of other servers", "*"),
        ),
        (
            Option("--reason", "why (manual unless given)", metavar="REASON", choices=REASONS),
            Option("--words", "what the sender is told of it", metavar="TEXT"),
            Option("--days", "for so long; without, for ever", metavar="DAYS", number=True),
            Option(
                "--tenant",
                "whose senders, by number (list: all; else the first)",
                metavar="TENANT",
                number=True,
            ),
        ),
    ),
)
