"""search ...: the index of the texts of mails."""

from __future__ import annotations

from typing import Final

from a3mailer.app.cli.exits import OK
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output, size
from a3mailer.app.cli.verb import Argument, Arguments, Verb

ADDRESS: Final = Argument("ADDRESS", "whose; everybody's without one", "?")


def status(args: Arguments, out: Output) -> int:
    """search status."""
    with session(args.dir) as store:
        found = store.perform("search status", {"address": args.address or ""})
    left = found["mails"] - found["indexed"]
    text = f"{found['indexed']:,} of {found['mails']:,} mails are indexed, {size(found['octets'])}"
    if left > 0:
        text += f"; {left:,} of {found['behind']:,} accounts are not yet: a search reads them"
    out.result(found, text)
    return OK


def rebuild(args: Arguments, out: Output) -> int:
    """search rebuild."""
    with session(args.dir) as store:
        found = store.perform("search rebuild", {"address": args.address or ""})
    out.result(found, f"the server makes the index of {found['accounts']:,} accounts again")
    return OK


VERBS: Final = (
    Verb("search status", "say how much mail is indexed", "search.status", status, (ADDRESS,)),
    Verb("search rebuild", "make the index again", "search.rebuild", rebuild, (ADDRESS,)),
)
