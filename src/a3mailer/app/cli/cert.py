"""cert: the certificates that are shown, by hand and from an ACME authority."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

from a3mailer.app.cli.exits import ABSENT, LATER, NO, OK, Failed
from a3mailer.app.cli.office import Remote, Session, session
from a3mailer.app.cli.output import Output, moment, plain
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb

NAME: Final = Argument("NAME", "a host name")
FILE: Final = Argument("FILE", "PEM: certificate, those above it, and the key; - is stdin", file=True)
WAIT_SECONDS: Final = 300.0
"""How long ``renew`` waits for the server."""
POLL_SECONDS: Final = 0.5


def list_(args: Arguments, out: Output) -> int:
    """cert list."""
    with session(args.dir) as store:
        rows = store.perform("cert list", {})
    columns = {"certificate": plain, "source": plain, "shown": plain, "ends": moment, "renewal": moment,
               "error": plain}  # fmt: skip
    out.table(rows, columns)
    return OK


def show(args: Arguments, out: Output) -> int:
    """cert show."""
    with session(args.dir) as store:
        found = store.perform("cert show", {"name": args.name})
    lines = (
        f"{found['certificate']} ({found['source']}), {found['file']}",
        f"names {plain(found['names'])}",
        f"issuer {found['issuer']}{' (self-signed)' if found['self_signed'] else ''}",
        f"from {moment(found['begins'])} to {moment(found['ends'])}",
        f"TLSA 3 1 1 {found['key']}",
        found["pem"].rstrip("\n"),
    )
    out.result(found, "\n".join(lines))
    return OK


def import_(args: Arguments, out: Output) -> int:
    """cert import."""
    try:
        text = sys.stdin.read() if args.file == "-" else Path(args.file).read_text("utf-8", "replace")
    except OSError as error:
        raise Failed(ABSENT, f"{args.file}: {error.strerror}") from error
    with session(args.dir) as store:
        made = store.perform("cert import", {"pem": text})
    told = f"{made['certificate']} is shown for {plain(made['names'])} until {moment(made['ends'])}"
    out.result(made, told)
    return OK


def remove(args: Arguments, out: Output) -> int:
    """cert rm."""
    with session(args.dir) as store:
        made = store.perform("cert rm", {"name": args.name})
    out.result(made, f"{made['certificate']} removed")
    return OK


def request(args: Arguments, out: Output) -> int:
    """cert request."""
    with session(args.dir) as store:
        made = store.perform("cert request", {"names": args.name})
    out.result(made, made["pem"].rstrip("\n"))
    return OK


def renew(args: Arguments, out: Output) -> int:
    """cert renew. 1 when one of them could not be fetched."""
    with session(args.dir) as store:
        asked = store.perform("cert renew", {"names": args.name})
        if not isinstance(store, Remote) or args.no_wait:
            told = "asked; the server fetches them while it runs"
            out.result({"asked": asked["asked"], "fetched": [], "failed": []}, told)
            return OK
        rows = _outcome(store, asked["at"])
    lines: list[str] = []
    fetched: list[str] = []
    failed: list[str] = []
    for name in asked["asked"]:
        row = rows.get(name)
        (failed if row is None or row["error"] else fetched).append(name)
        told = "no address in the DNS" if row is None else row["error"] or f"until {moment(row['ends'])}"
        lines.append(f"{name}: {told}")
    out.result({"asked": asked["asked"], "fetched": fetched, "failed": failed}, "\n".join(lines))
    return NO if failed else OK


def _outcome(store: Session, at: float) -> dict[str, dict[str, Any]]:
    """The rows of those that were tried since, by name. Errors: Failed (LATER)."""
    deadline = time.monotonic() + WAIT_SECONDS
    while store.perform("cert busy", {})["busy"]:
        if time.monotonic() > deadline:
            raise Failed(LATER, "the server is still at it; see: a3mailer cert list")
        time.sleep(POLL_SECONDS)
    rows = store.perform("cert list", {})
    return {row["certificate"]: row for row in rows if row["source"] == "acme" and row["tried"] >= at}


VERBS: Final = (
    Verb("cert list", "list the certificates, and which names they are shown for", "cert.list", list_),
    Verb("cert show", "print the certificate that is shown for a name", "cert.list", show, (NAME,)),
    Verb("cert import", "show a certificate of your own from now on", "cert.change", import_, (FILE,)),
    Verb("cert rm", "let an imported certificate go", "cert.change", remove, (NAME,)),
    Verb(
        "cert renew",
        "fetch certificates from the ACME authority now",
        "cert.change",
        renew,
        (Argument("NAME", "of these names only (default: all)", "*"),),
        (Option("--no-wait", "return at once"),),
    ),
    Verb(
        "cert request",
        "print a certificate request; the key stays here until the certificate is imported",
        "cert.change",
        request,
        (Argument("NAME", "the names it is for (default: the server's)", "*"),),
    ),
)
