"""sendmail: what programs call to send mail, with the options and exit codes they know (sysexits.h).

``a3mailer sendmail``, or a link to it that is called ``sendmail``.
"""

from __future__ import annotations

import base64
import sys
from typing import BinaryIO, Final

from a3mailer.app.cli import exits
from a3mailer.app.cli.exits import OK, Failed
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output
from a3mailer.app.cli.queue import listed
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb

MAX_MAIL: Final = 64 << 20
"""Octets read; the server's own limit is smaller."""
EX_USAGE, EX_DATAERR, EX_NOUSER, EX_UNAVAILABLE = 64, 65, 67, 69
EX_SOFTWARE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG = 70, 75, 77, 78
CODES: Final = {
    exits.NO: EX_UNAVAILABLE,
    exits.USAGE: EX_USAGE,
    exits.ABSENT: EX_NOUSER,
    exits.EXISTS: EX_UNAVAILABLE,
    exits.REFUSED: EX_NOPERM,
    exits.BUSY: EX_TEMPFAIL,
    exits.NOT_RUNNING: EX_TEMPFAIL,
    exits.LATER: EX_TEMPFAIL,
    exits.CONFIG: EX_CONFIG,
    exits.UNUSABLE: EX_NOPERM,
}
"""Our exit codes as those of sysexits.h."""


def sendmail(args: Arguments, out: Output) -> int:
    """sendmail."""
    if args.b == "p":
        return listed(args.dir, {}, out)
    if args.b not in (None, "m"):
        raise Failed(exits.USAGE, f"-b{args.b} is not known here: only -bm and -bp are")
    dots = args.i or "i" in args.o
    octets = read(sys.stdin.buffer, dots=dots)
    if not args.recipient and not args.t:
        raise Failed(exits.USAGE, "no recipients: name them, or take those of the mail with -t")
    request = {
        "octets": base64.b64encode(octets).decode(),
        "sender": args.f or args.r or "",
        "name": args.F or "",
        "recipients": args.recipient,
        "from_header": args.t,
        "notify": args.N.split(",") if args.N else [],
        "return_content": (args.R or "").upper(),
        "envelope_id": args.V or "",
    }
    with session(args.dir) as store:
        made = store.perform("mail submit", request)
    out.result(made, f"accepted as {made['trace']}" if args.v else "")
    return OK


def read(stdin: BinaryIO, *, dots: bool) -> bytes:
    """A mail; a line with a dot alone ends it, unless ``dots``. Errors: Failed (its size)."""
    octets = stdin.read(MAX_MAIL + 1)
    if not dots:
        if octets.startswith((b".\n", b".\r\n")):
            return b""
        for end in (b"\n.\n", b"\n.\r\n"):
            at = octets.find(end)
            octets = octets if at < 0 else octets[: at + 1]
    if len(octets) > MAX_MAIL:
        raise Failed(exits.USAGE, f"more than {MAX_MAIL} octets")
    return octets


VERBS: Final = (
    Verb(
        "sendmail",
        "send a mail that a program hands over on stdin",
        "server.submit",
        sendmail,
        (Argument("RECIPIENT", "addresses; without a domain they are of ours", "*"),),
        (
            Option("-t", "also to the addresses in To, Cc and Bcc"),
            Option("-i", "a line with a dot alone does not end the mail"),
            Option("-f", "the sender of the envelope, an address of ours", metavar="ADDRESS"),
            Option("-r", "the same as -f", metavar="ADDRESS"),
            Option("-F", "the name of an author who has none", metavar="NAME"),
            Option("-N", "notifications wanted: never, or success,failure,delay", metavar="WORDS"),
            Option("-R", "what notifications return: full or hdrs", metavar="WORD"),
            Option("-V", "an id that notifications repeat", metavar="ID"),
            Option("-v", "print the trace id"),
            Option("-b", "m: send (as without it); p: list the queue", metavar="MODE"),
            Option(
                "-o",
                "i: the same as -i; all others mean nothing",
                metavar="OPTION",
                many=True,
            ),
            Option("-O", "taken, means nothing", metavar="OPTION", many=True),
            Option("-B", "taken, means nothing", metavar="TYPE"),
            Option("-L", "taken, means nothing", metavar="TAG"),
            Option("-n", "taken, means nothing"),
            Option("-U", "taken, means nothing"),
            Option("-G", "taken, means nothing"),
        ),
        codes=CODES,
    ),
)
