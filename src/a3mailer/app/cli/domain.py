"""domain, alias and group: which addresses are ours and where they lead."""

from __future__ import annotations

from functools import partial
from typing import Final

from a3mailer.app.cli.domain_check import VERBS as CHECK
from a3mailer.app.cli.domain_dns import VERBS as DNS
from a3mailer.app.cli.exits import OK
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import Output, plain
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb

NAME: Final = Argument("DOMAIN", "the domain's name")
ALIAS: Final = Argument("ADDRESS", "the address that leads on")
TARGETS: Final = Argument("TARGET", "where it leads: addresses here or elsewhere", "+")
OPTIONS: Final = (
    Option("--catch-all", "where mail for unknown addresses goes; empty: refused", metavar="ADDRESS"),
    Option(
        "--relay-to",
        "the server that mail for addresses nobody here has goes on to, or mx (those before us); empty: none",
        metavar="HOST[:PORT]",
    ),
    Option(
        "--relay-tls",
        "what its TLS must be; empty: as for other servers",
        choices=("may", "must", "verify", ""),
    ),
    Option(
        "--tls-post",
        "take TLS reports about it by HTTPS, too (anybody can post them)",
        choices=("on", "off"),
    ),
    Option("--scram", "keep SCRAM verifiers too, weaker after a theft (ADR 0008)", choices=("on", "off")),
)


def _put(verb: str, done: str, args: Arguments, out: Output) -> int:
    request: dict[str, object] = {"name": args.domain}
    if args.catch_all is not None:
        request["catch_all"] = args.catch_all
    if args.relay_to is not None:
        request["relay_to"] = args.relay_to
    if args.relay_tls is not None:
        request["relay_tls"] = args.relay_tls
    if args.tls_post is not None:
        request["tls_post"] = args.tls_post == "on"
    if args.scram is not None:
        request["scram"] = args.scram == "on"
    with session(args.dir) as store:
        made = store.perform(verb, request)
    out.result(made, f"{made['domain']} {done}")
    if args.scram == "on":
        out.note(
            "SCRAM verifiers come with the next password; stolen ones are easier to guess from (ADR 0008)"
        )
    return OK


def remove(args: Arguments, out: Output) -> int:
    """domain rm."""
    with session(args.dir) as store:
        made = store.perform("domain rm", {"name": args.domain})
    out.result(made, f"{made['domain']} removed")
    return OK


def list_(args: Arguments, out: Output) -> int:
    """domain list."""
    with session(args.dir) as store:
        rows = store.perform("domain list", {})
    out.table(rows, {"domain": plain, "catch_all": plain, "relay_to": plain})
    return OK


def _put_alias(kind: str, args: Arguments, out: Output) -> int:
    request = {"address": args.address, "targets": args.target, "kind": kind}
    with session(args.dir) as store:
        made = store.perform("alias add", request)
    out.result(made, f"{made['address']} leads to {plain(made['targets'])}")
    return OK


def _remove_alias(kind: str, args: Arguments, out: Output) -> int:
    with session(args.dir) as store:
        made = store.perform("alias rm", {"address": args.address, "kind": kind})
    out.result(made, f"{made['address']} removed")
    return OK


def _list(kind: str, args: Arguments, out: Output) -> int:
    with session(args.dir) as store:
        rows = store.perform("alias list", {"kind": kind})
    out.table(rows, {"address": plain, "targets": plain})
    return OK


DOMAINS: Final = (
    Verb(
        "domain add", "take a domain in", "domain.add", partial(_put, "domain add", "added"), (NAME,), OPTIONS
    ),
    Verb(
        "domain set",
        "change a domain's options",
        "domain.add",
        partial(_put, "domain set", "changed"),
        (NAME,),
        OPTIONS,
    ),
    Verb("domain list", "list the domains", "domain.list", list_),
    Verb("domain rm", "let a domain go that has no addresses any more", "domain.remove", remove, (NAME,)),
    *DNS,
    *CHECK,
)
ALIASES: Final = (
    Verb(
        "alias add",
        "make an address lead elsewhere, or change where",
        "alias.add",
        partial(_put_alias, "alias"),
        (ALIAS, TARGETS),
    ),
    Verb("alias list", "list the aliases", "alias.list", partial(_list, "alias")),
    Verb("alias rm", "remove an alias", "alias.remove", partial(_remove_alias, "alias"), (ALIAS,)),
)
GROUPS: Final = (
    Verb(
        "group add",
        "make an address reach several people, or change whom",
        "alias.add",
        partial(_put_alias, "group"),
        (ALIAS, TARGETS),
    ),
    Verb("group list", "list the groups", "alias.list", partial(_list, "group")),
    Verb("group rm", "remove a group", "alias.remove", partial(_remove_alias, "group"), (ALIAS,)),
)
