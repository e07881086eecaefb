"""message parse: what the server sees in a mail (needs no instance); message trace: what became of one;
message indicator: which picture stands beside mail of a domain."""

from __future__ import annotations

from typing import Any, Final

from a3mailer.app.cli.exits import ABSENT, OK, USAGE, Failed
from a3mailer.app.cli.logs import events_of, shown
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output, moment, size
from a3mailer.app.cli.tools import read_octets
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb
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
    """message trace: what was logged of it, where it is in the queue, or what became of it there."""
    with session(args.dir) as store:
        found = store.perform("message where", {"about": args.trace})
    about = str(found["about"])
    if not about:
        raise Failed(USAGE, "give a trace, a Message-ID or an address")
    events = _events(args.dir, about, needed=not found["story"])
    if not events and not found["story"]:
        raise Failed(ABSENT, f"nothing is known of {args.trace}")
    lines = [*(shown(event) for event in events), *found["story"]]
    out.result({"trace": about, "events": events, **found}, "\n".join(lines))
    return OK


def _events(directory: str, about: str, *, needed: bool) -> list[dict[str, Any]]:
    """What was logged of a trace, or of the mails that came with a Message-ID; an address is in no log.

    Errors: Failed, where nothing else is known and the log cannot be read."""
    try:
        return events_of(directory, about) or events_of(directory, message_id=about)
    except Failed:
        if needed:
            raise
        return []


def indicator(args: Arguments, out: Output) -> int:
    """message indicator."""
    asked = {"domain": args.domain} | ({"selector": args.selector} if args.selector else {})
    with session(args.dir) as store:
        found = store.perform("message indicator", asked)
    title = f"\ntitle: {found['title']}" if found["image"] else ""
    out.result(found, f"{found['says']}{title}")
    return OK


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
        "follow one mail, or all of a connection or an address, through the log and the queue",
        "server.log",
        trace,
        (Argument("TRACE", "a trace, as the log and queue show print it, a Message-ID or an address"),),
    ),
    Verb(
        "message indicator",
        "say which picture (BIMI) stands beside mail of a domain, and who vouches for it",
        "indicator.show",
        indicator,
        (Argument("DOMAIN", "as header.d of bimi= in Authentication-Results says it"),),
        (Option("--selector", "... and header.selector (default: default)", metavar="NAME"),),
    ),
)
