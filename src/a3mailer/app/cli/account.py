"""account ...: people and their credentials."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from a3mailer.app.cli.exits import NO, OK, USAGE, Failed
from a3mailer.app.cli.office import read_password, session
from a3mailer.app.cli.output import Output, limit, moment, plain, size
from a3mailer.app.cli.password import new_password
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb

ADDRESS: Final = Argument("ADDRESS", "the account's address")
PASSWORD_STDIN: Final = Option("--password-stdin", "read the password from the first line of stdin")
PLAIN_A_REQUEST: Final = 20
"""Accounts of one import request, so that progress moves; each plain password costs a slow hash."""
ONE_TIME_HOURS: Final = 24
HASHED_A_REQUEST: Final = 500
MAX_IMPORT_FILE: Final = 64 << 20
"""Octets of a file of accounts."""


def add(args: Arguments, out: Output) -> int:
    """account add."""
    password = "" if args.no_password or args.shared else read_password(args.password_stdin)
    request = {
        "address": args.address,
        "password": password,
        "display_name": args.name or "",
        "quota": octets(args.quota),
        "role": args.role,
        "shared": args.shared,
    }
    with session(args.dir) as store:
        made = store.perform("account add", request)
    out.result(made, f"{made['address']} added")
    return OK


def octets(text: str) -> int:
    """``500M`` and the like as octets. Errors: Failed (USAGE)."""
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}.get(text[-1:].upper(), 1)
    digits = text if factor == 1 else text[:-1]
    if not digits.isascii() or not digits.isdigit():
        raise Failed(USAGE, f"not a size: {text} (octets, or 500M, 2G ...; 0 = no limit)")
    return int(digits) * factor


def import_(args: Arguments, out: Output) -> int:
    """account import."""
    accounts = list(_accounts(args.file))
    found: list[dict[str, str]] = []
    with session(args.dir) as store, out.progress("accounts", len(accounts)) as advance:
        for batch in _batches(accounts):
            found += store.perform("account import", {"accounts": batch})
            advance(len(found))
    refused = [f for f in found if f["outcome"] == "refused"]
    for each in refused:
        out.note(f"{each['address']}: {each['reason']}")
    counts = {o: sum(f["outcome"] == o for f in found) for o in ("added", "exists", "refused")}
    out.result(found, ", ".join(f"{n} {o}" for o, n in counts.items()))
    return NO if refused else OK


def _accounts(name: str) -> Iterator[tuple[str, str]]:
    """(address, password) a line of a file; ``-`` is stdin. Empty lines and # comments are left out."""
    try:
        octets_ = sys.stdin.buffer.read(MAX_IMPORT_FILE + 1) if name == "-" else _file(Path(name))
        text = octets_.decode("utf-8")
    except OSError as error:
        raise Failed(USAGE, f"{name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Failed(USAGE, f"{name}: not UTF-8") from error
    if len(octets_) > MAX_IMPORT_FILE:
        raise Failed(USAGE, f"{name}: more than {MAX_IMPORT_FILE} octets")
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip() or line.startswith("#"):
            continue
        address, colon, password = line.partition(":")
        if not colon or not password:
            raise Failed(USAGE, f"{name} line {number}: not ADDRESS:PASSWORD; nothing was imported")
        yield address.strip(), password


def _file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_IMPORT_FILE + 1)


def _batches(accounts: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    at = 0
    while at < len(accounts):
        hashed = accounts[at][1].startswith(("$", "{"))
        count = HASHED_A_REQUEST if hashed else PLAIN_A_REQUEST
        yield accounts[at : at + count]
        at += count


def list_(args: Arguments, out: Output) -> int:
    """account list."""
    with session(args.dir) as store:
        rows = store.perform("account list", {})
    columns = {"address": plain, "role": plain, "enabled": plain, "messages": plain, "octets": size}
    out.table(rows, {**columns, "quota": limit, "created": moment})
    return OK


def reset(args: Arguments, out: Output) -> int:
    """account reset."""
    return _one(args, out, "account reset", "emptied")


def remove(args: Arguments, out: Output) -> int:
    """account rm."""
    return _one(args, out, "account rm", "removed")


def disable(args: Arguments, out: Output) -> int:
    """account disable."""
    return _one(args, out, "account disable", "disabled: no login; mail is still accepted")


def enable(args: Arguments, out: Output) -> int:
    """account enable."""
    return _one(args, out, "account enable", "enabled")


def _one(args: Arguments, out: Output, verb: str, done: str) -> int:
    with session(args.dir) as store:
        made = store.perform(verb, {"address": args.address})
    out.result(made, f"{made['address']} {done}")
    return OK


def rename(args: Arguments, out: Output) -> int:
    """account rename."""
    with session(args.dir) as store:
        made = store.perform("account rename", {"address": args.address, "new": args.new})
    out.result(made, f"{made['alias']} is now {made['address']}; the old address is an alias of it")
    return OK


def passwd(args: Arguments, out: Output) -> int:
    """account passwd."""
    password = new_password() if args.one_time else read_password(args.password_stdin)
    request = {"address": args.address, "password": password, "hours": ONE_TIME_HOURS if args.one_time else 0}
    with session(args.dir) as store:
        made = store.perform("account passwd", request)
    text = f"{made['address']}: password set; sessions of the old one end"
    if args.one_time:
        made["password"] = password
        text += f"\n{password}   (shown this once, good until {moment(made['until'])})"
    out.result(made, text)
    return OK


def quota(args: Arguments, out: Output) -> int:
    """account quota."""
    with session(args.dir) as store:
        made = store.perform("account quota", {"address": args.address, "octets": octets(args.size)})
    out.result(made, f"{made['address']}: quota {limit(made['quota'])}")
    return OK


VERBS: Final = (
    Verb(
        "account add",
        "create an account; asks for its password",
        "account.add",
        add,
        (ADDRESS,),
        (
            PASSWORD_STDIN,
            Option("--no-password", "without a password: it receives mail and nobody can log in"),
            Option("--shared", "a mailbox for several: nobody logs in to it (see share)"),
            Option("--name", "the display name", metavar="NAME"),
            Option("--quota", "octets, or 500M, 2G ...; 0 = no limit", metavar="SIZE", default="0"),
            Option("--role", "what it may administer", metavar="ROLE", default="user"),
        ),
    ),
    Verb(
        "account import",
        "add accounts from lines of ADDRESS:PASSWORD or ADDRESS:HASH ($argon2id$)",
        "account.import",
        import_,
        (Argument("FILE", "the file; - is stdin", file=True),),
    ),
    Verb("account list", "list all accounts", "account.list", list_),
    Verb(
        "account passwd",
        "set a password",
        "account.password",
        passwd,
        (ADDRESS,),
        (PASSWORD_STDIN, Option("--one-time", f"make one, good for {ONE_TIME_HOURS} hours, and print it")),
    ),
    Verb("account disable", "refuse logins; mail is still accepted", "account.disable", disable, (ADDRESS,)),
    Verb("account enable", "allow logins again", "account.disable", enable, (ADDRESS,)),
    Verb(
        "account rename",
        "give an account another address; the old one becomes an alias",
        "account.rename",
        rename,
        (ADDRESS, Argument("NEW", "its new address")),
    ),
    Verb(
        "account quota",
        "set how much an account may keep",
        "account.quota",
        quota,
        (ADDRESS, Argument("SIZE", "octets, or 500M, 2G ...; 0 = no limit")),
    ),
    Verb("account reset", "empty an account to its state after creation", "account.reset", reset, (ADDRESS,)),
    Verb(
        "account rm",
        "erase an account and its mail; its addresses stay reserved for 30 days",
        "account.remove",
        remove,
        (ADDRESS,),
    ),
)
