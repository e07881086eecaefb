"""audit, token and role: what was done, by whom, and who may."""

from __future__ import annotations

import json
from typing import Final

from a3mailer.app.cli.exits import OK
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output, moment, plain
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb

ADDRESS: Final = Argument("ADDRESS", "the account's address")


def query(args: Arguments, out: Output) -> int:
    """audit query."""
    request: dict[str, object] = {
        "subject": args.subject or "",
        "action": args.action or "",
        "target": args.target or "",
        "after": args.after,
        "since": args.since,
    }
    if args.limit is not None:
        request["limit"] = args.limit
    with session(args.dir) as store:
        rows = store.perform("audit query", request)
    columns = {"number": plain, "time": moment, "subject": plain, "action": plain, "target": plain}
    out.table(rows, {**columns, "outcome": plain, "detail": json.dumps})
    return OK


def add_token(args: Arguments, out: Output) -> int:
    """token add."""
    request = {"address": args.address, "name": args.name, "scopes": args.scope, "days": args.days}
    with session(args.dir) as store:
        made = store.perform("token add", request)
    out.result(made, f"{made['token']}\nshown this once; to revoke it: a3mailer token rm {made['digest']}")
    return OK


def list_tokens(args: Arguments, out: Output) -> int:
    """token list."""
    with session(args.dir) as store:
        rows = store.perform("token list", {"address": args.address or ""})
    columns = {"address": plain, "name": plain, "scopes": plain, "created": moment, "expires": moment}
    out.table(rows, {**columns, "good": plain, "digest": plain})
    return OK


def remove_token(args: Arguments, out: Output) -> int:
    """token rm."""
    with session(args.dir) as store:
        made = store.perform("token rm", {"token": args.token})
    out.result(made, f"token {made['name']} of {made['address']} revoked")
    return OK


def give_role(args: Arguments, out: Output) -> int:
    """role give."""
    with session(args.dir) as store:
        made = store.perform("role give", {"address": args.address, "role": args.role})
    out.result(made, f"{made['address']} is {made['role']}")
    return OK


def roles(args: Arguments, out: Output) -> int:
    """role list."""
    with session(args.dir) as store:
        rows = store.perform("role list", {})
    out.table(rows, dict.fromkeys(rows[0], plain))
    return OK


AUDIT: Final = (
    Verb(
        "audit query",
        "what was done, oldest first",
        "audit.query",
        query,
        (),
        (
            Option("--subject", "only what this login did", metavar="LOGIN"),
            Option("--action", "only this action (account.add) or family (account)", metavar="ACTION"),
            Option("--target", "only what was done to this", metavar="NAME"),
            Option(
                "--since",
                "only from this time on, seconds since 1970",
                metavar="SECONDS",
                number=True,
                default="0",
            ),
            Option(
                "--after", "only records with a higher number", metavar="NUMBER", number=True, default="0"
            ),
            Option("--limit", "at most so many", metavar="COUNT", number=True),
        ),
    ),
)
TOKENS: Final = (
    Verb(
        "token add",
        "issue a token, shown once; it logs in in the place of the password",
        "token.issue",
        add_token,
        (ADDRESS,),
        (
            Option("--name", "what it is for", metavar="NAME", required=True),
            Option(
                "--scope",
                "an action (message.read) or family (message); repeatable",
                metavar="SCOPE",
                many=True,
                required=True,
            ),
            Option(
                "--days",
                "how long it lasts; 0 = until it is revoked",
                metavar="DAYS",
                number=True,
                default="0",
            ),
        ),
    ),
    Verb(
        "token list",
        "list tokens, without their secrets",
        "token.list",
        list_tokens,
        (Argument("ADDRESS", "only this account's", "?"),),
    ),
    Verb(
        "token rm",
        "revoke a token",
        "token.revoke",
        remove_token,
        (Argument("TOKEN", "the token, or the digest that token add printed"),),
    ),
)
ROLES: Final = (
    Verb(
        "role give",
        "give an account a role",
        "role.give",
        give_role,
        (ADDRESS, Argument("ROLE", "superadmin, tenant-admin, domain-admin, helpdesk, auditor or user")),
    ),
    Verb("role list", "what each role may do", "role.list", roles),
)
