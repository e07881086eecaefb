"""export: the mail of accounts as Maildir or mbox.

Who is exported is asked, allowed and put on the record through the server (or alone, under its lock) before
anything is read; the mail itself is read from the files of the data directory, beside a running server.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Final

from a3mailer.app.cli.exits import NO, OK
from a3mailer.app.cli.office import data_directory, session
from a3mailer.app.cli.output import Output, size
from a3mailer.app.cli.upkeep import translated
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb
from a3mailer.mail.ids import AccountId
from a3mailer.ops.export import export, new_folder
from a3mailer.ops.mailfiles import FORMS
from a3mailer.store.backends.sqlite.upkeep import SqliteUpkeep


def run(args: Arguments, out: Output) -> int:
    """export."""
    directory = data_directory(args.dir)
    target = Path(args.target).absolute()
    with translated(), new_folder(target) as folder:
        accounts = _allowed(args, target)
        with SqliteUpkeep(directory).reading() as reader, out.steps() as step:
            made = asyncio.run(export(reader, accounts, folder, args.format, step))
    for missed in made.missed:
        out.note(str(missed))
    messages = sum(box.messages for box in made.mailboxes)
    octets = sum(box.octets for box in made.mailboxes)
    value = {"folder": str(target), "format": args.format, "accounts": len(accounts), "messages": messages,
             "octets": octets, "scripts": list(made.scripts),
             "mailboxes": [asdict(box) for box in made.mailboxes],
             "damaged": [asdict(missed) for missed in made.missed]}  # fmt: skip
    out.result(value, f"{target}: {messages} mails of {len(accounts)} accounts, {size(octets)}")
    return NO if made.missed else OK


def _allowed(args: Arguments, target: Path) -> list[tuple[AccountId, str]]:
    """The accounts to export, each on the record. Errors: Failed."""
    with session(args.dir) as store:
        addresses = args.address or [row["address"] for row in store.perform("account list", {})]
        noted = {"format": args.format, "folder": str(target)}
        found = {}
        for address in addresses:
            account = store.perform("account export", {"address": address, **noted})
            found[account["address"]] = AccountId(account["account"])
    return [(account, address) for address, account in found.items()]


VERBS: Final = (
    Verb(
        "export",
        "write the mail and scripts of accounts into a new folder, as Maildir or mbox; the server may run",
        "account.export",
        run,
        (
            Argument("TARGET", "the folder to make", file=True),
            Argument("ADDRESS", "the accounts (default: all)", "*"),
        ),
        (Option("--format", "how (default: maildir)", choices=tuple(FORMS), default="maildir"),),
    ),
)
