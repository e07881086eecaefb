"""message parse: what the server sees in a mail (needs no instance); message trace: what became of one."""

from __future__ import annotations

from typing import Final

from a3mailer.app.cli.exits import ABSENT, OK, Failed
from a3mailer.app.cli.logs import events_of, shown
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output, moment, size
from a3mailer.app.cli.tools import read_octets
from a3mailer.app.cli.verb import Argument, Arguments, Verb
from a3mailer.mail.message import MessageIndex, index
from a3mailer.mail.message.describe import describe


def parse(args: Arguments, out: Output) -> int:
    """message parse."""
    octets = read_octets(args.mail)
    found = index(octets)
    out.result(describe(found, octets), "\n".join(_lines(found)))
    return OK


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _lines(found: MessageIndex) -> list[str]:
    lines = [f"Subject: {found.subject}", f"Date:    {moment(found.date)}"]
    for name, people in (("From", found.from_), ("To", found.to), ("Cc", found.cc)):
        lines += [f"{name + ':':8} {a.name} <{a.addr_spec}>" for a in people]
    lines += [f"Size:    {size(found.size)}", f"Preview: {found.preview}"]
    for part in found.parts:
        number = ".".join(map(str, part.number)) or "-"
        lines.append(
            f"{'  ' * part.depth}{number} {_text(part.media)} {size(part.end - part.body)} {part.filename}"
        )
    lines += [f"cut: {limit}" for limit in found.truncated]
    return lines


def trace(args: Arguments, out: Output) -> int:
    """message trace: what was logged of it, and what of it still waits in the queue."""
    events = events_of(args.dir, args.trace)
    with session(args.dir) as store:
        waiting = [row for row in store.perform("queue list", {}) if _belongs(row["trace"], args.trace)]
    if not events and not waiting:
        raise Failed(ABSENT, f"nothing is known of {args.trace}")
    lines = [shown(event) for event in events]
    for row in waiting:
        people = ", ".join(r["address"] for r in row["recipients"] if r["state"] == "waiting")
        lines.append(f"queue {row['queue']} {row['state']}, next {moment(row['next_attempt'])}: {people}")
    out.result({"trace": args.trace, "events": events, "queue": waiting}, "\n".join(lines))
    return OK


def _belongs(found: str, asked: str) -> bool:
    return found == asked or found.startswith(f"{asked}-")


VERBS: Final = (
    Verb(
        "message parse",
        "print what the server sees in a mail",
        "tool.use",
        parse,
        (Argument("MAIL", "a file with one mail; - is stdin", file=True),),
        directory=False,
    ),
    Verb(
        "message trace",
        "follow one mail, or all of a connection, through the log and the queue",
        "server.log",
        trace,
        (Argument("TRACE", "the trace id, as the log and queue show print it"),),
    ),
)
