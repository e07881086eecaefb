"""report ...: what others report about our mail, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from a3mailer.app.cli.exits import OK, USAGE, Failed
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output, moment, plain
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb

ACT: Final = Argument("ACT", "list them, show one, or add them up", choices=("list", "show", "summary"))
NUMBER: Final = Argument("NUMBER", "the report to show, by the number that list prints", "?")
ONLY: Final = (
    Option("--domain", "only reports about this domain", metavar="DOMAIN"),
    Option("--days", "of the last days (default: 30)", metavar="N", number=True),
)
KINDS: Final[dict[str, tuple[str, Mapping[str, Callable[[object], str]]]]] = {
    "dmarc": (
        "what others report of mail in our name (DMARC)",
        {"organization": plain, "mails": plain, "passed": plain, "policy": plain},
    ),
    "tls": (
        "what others report of TLS with our hosts",
        {"organization": plain, "sessions": plain, "failed": plain},
    ),
    "arf": (
        "complaints about our mail, and mail in our name that failed",
        {"type": plain, "ip": plain, "from": plain, "mails": plain},
    ),
}
"""By word: what they are, and the columns of their lists."""
TIMES: Final = ("begins", "ends")
_COLUMNS: Final = {"report": plain, "received": moment, "domain": plain, "source": plain}


def _wanted(kind: str, args: Arguments) -> dict[str, object]:
    found: dict[str, object] = {"kind": kind}
    if args.domain:
        found["domain"] = args.domain
    if args.days is not None:
        found["days"] = args.days
    return found


def run(kind: str, args: Arguments, out: Output) -> int:
    """report KIND."""
    if (args.act == "show") is (args.number is None):
        raise Failed(USAGE, "show takes the number of a report, list and summary take none")
    return {"list": _list, "show": _show, "summary": _summary}[args.act](kind, args, out)


def _list(kind: str, args: Arguments, out: Output) -> int:
    with session(args.dir) as store:
        rows = store.perform("report list", _wanted(kind, args))
    out.table(rows, {**_COLUMNS, **KINDS[kind][1]})
    return OK


def _show(kind: str, args: Arguments, out: Output) -> int:
    if not args.number.isascii() or not args.number.isdigit():
        raise Failed(USAGE, f"not a number of a report: {args.number}")
    with session(args.dir) as store:
        found = store.perform("report show", {"kind": kind, "report": int(args.number)})
    head = (
        f"report {found['report']} ({found['identity']}) about {found['domain']}",
        f"from {found['source']}, received {moment(found['received'])}",
        f"of {moment(found['begins'])} to {moment(found['ends'])}",
    )
    out.result(found, "\n".join((*head, *found["lines"])))
    return OK


def _summary(kind: str, args: Arguments, out: Output) -> int:
    with session(args.dir) as store:
        found = store.perform("report summary", _wanted(kind, args))
    lines = []
    for each in found:
        lines.append(f"{each['domain']}: {_sums(each)}")
        lines += [f"  {advice}" for advice in each["advice"]]
    out.result(found, "\n".join(lines) or "no reports")
    return OK


def _sums(entry: Mapping[str, object]) -> str:
    """Its numbers, as words and figures."""
    return ", ".join(
        f"{name} {value:,}" for name, value in entry.items() if isinstance(value, int) and name not in TIMES
    )


VERBS: Final = tuple(
    Verb(f"report {kind}", what, "report.list", partial(run, kind), (ACT, NUMBER), ONLY)
    for kind, (what, _) in KINDS.items()
)
