"""quickstart: from an address to a mail server that runs, or everything as it was (ADR 0022).

It asks nothing: what can be found out is found out, what cannot is said. It prints the password and the
recovery key once, on the terminal.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import msgspec

from a3mailer.app import preflight
from a3mailer.app.cli import unit
from a3mailer.app.cli.account import ONE_TIME_HOURS
from a3mailer.app.cli.exits import CONFIG, NO, OK, UNUSABLE, USAGE, Failed, failure
from a3mailer.app.cli.greet import command
from a3mailer.app.cli.init import Plan, site_options
from a3mailer.app.cli.installing import LOG, Installing, Machine, Wish
from a3mailer.app.cli.office import session
from a3mailer.app.cli.output import GREEN, RED, Output, moment
from a3mailer.app.cli.password import new_password
from a3mailer.app.cli.server import overrides
from a3mailer.app.cli.steps import NotUndone, perform
from a3mailer.app.cli.verb import INSTALLED, Argument, Arguments, Option, Verb
from a3mailer.app.preflight import Aim, Finding
from a3mailer.config.fields import ALIASES
from a3mailer.config.load import ConfigError, load
from a3mailer.config.tree import Dns, Settings
from a3mailer.identity.names import clean_address
from a3mailer.mail.errors import MailError
from a3mailer.ops.domain_check import BLOCKLISTS
from a3mailer.ops.domain_records import Facts, records
from a3mailer.telemetry.events import LOG as EVENTS

PROBE: Final = "gmail-smtp-in.l.google.com:25"
"""A mail server that answers everybody: whom it greets, mail gets out of."""
LETS_ENCRYPT: Final = "https://acme-v02.api.letsencrypt.org/directory"
HERE: Final = "a3mailer"
"""The data directory of those who may not write the installed one."""
MACHINE: Final = Machine()


def quickstart(args: Arguments, out: Output) -> int:
    """quickstart."""
    if not (args.json or args.check or sys.stdout.isatty()):
        raise Failed(USAGE, "no terminal to show the password on: --json prints it, --check makes nothing")
    EVENTS.configure(level="error")
    wish, aim = _wish(args, MACHINE)
    found = list(examine(wish, aim, out))
    errors = [each for each in found if each.verdict == preflight.ERROR]
    if args.check:
        out.result({"checks": [asdict(each) for each in found]} if args.json else {})
        return NO if errors else OK
    if errors and not args.anyway:
        if args.json:
            out.result({"checks": [asdict(each) for each in found]})
        raise Failed(NO, "nothing was made; what is wrong stands above (--anyway goes on in spite of it)")
    told = _install(wish, aim, found, out)
    if wish.start and not args.json and not args.no_watch:
        _watch(told, args, out)
    return OK


# --- what is wished ---------------------------------------------------------------------------------------


def _wish(args: Arguments, machine: Machine) -> tuple[Wish, Aim]:
    """Errors: Failed (USAGE, CONFIG)."""
    try:
        address = clean_address(args.you)
    except MailError as error:
        raise failure(type(error).__name__, str(error)) from error
    domain = address.rpartition("@")[2]
    texts = _texts(args, address, domain)
    try:
        settings = load(None, texts, {}).settings
    except ConfigError as error:
        raise Failed(CONFIG, "\n".join(error.problems)) from error
    service = machine.has_services and not args.no_service
    given = args.dir or (INSTALLED if os.geteuid() == 0 else HERE)
    plan = Plan(texts, (domain,), (), address, new_password(), ONE_TIME_HOURS)
    wish = Wish(Path(given).absolute(), plan, service, service or args.start)
    try:
        addresses = tuple(str(ipaddress.ip_address(each)) for each in args.address)
    except ValueError as error:
        raise Failed(USAGE, f"--address: {error}") from error
    known = addresses or preflight.public(preflight.own_addresses())
    aim = Aim(wish.directory, settings, known, service, args.probe, args.blocklist or BLOCKLISTS, time.time())
    return wish, aim


def _texts(args: Arguments, address: str, domain: str) -> dict[str, str]:
    given = {
        "server.hostname": args.hostname or f"mail.{domain}",
        "server.domain": domain,
        "server.listen": ",".join(args.listen) or ",".join(_everywhere()),
        "server.port_base": args.port_base,
        "dns.servers": ",".join(args.dns) or None,
        "queue.relay": args.relay,
        **(
            {"acme.directory": LETS_ENCRYPT, "acme.agree": "on", "acme.contact": address}
            if args.letsencrypt
            else {}
        ),
    }
    settings = {name: value for name, value in given.items() if value is not None}
    return settings | {ALIASES.get(name, name): value for name, value in overrides(args.set).items()}


def _everywhere() -> Iterator[str]:
    """Every address of this machine, IPv6 where there is any."""
    yield "0.0.0.0"  # noqa: S104 (a mail server is for the world)
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return
    yield "::"


# --- checks -----------------------------------------------------------------------------------------------


def examine(wish: Wish, aim: Aim, out: Output) -> Iterator[Finding]:
    """Everything that is looked at, each told as it is found."""
    for each in _findings(wish, aim):
        if not out.json:
            colour = {preflight.OK: GREEN, preflight.ERROR: RED}.get(each.verdict, "")
            out.event({}, f"{each.verdict.ljust(8)} {each.subject}: {each.text}", colour)
            if each.do and each.verdict != preflight.OK:
                out.event({}, f"         {each.do}")
        yield each


def _findings(wish: Wish, aim: Aim) -> Iterator[Finding]:
    if wish.service:
        yield from _service()
    yield from preflight.local(aim)
    yield from asyncio.run(_network(aim))


def _service() -> Iterator[Finding]:
    path = MACHINE.units / unit.NAME
    if path.exists():
        do = f"Remove it when it is an old one: systemctl disable --now {unit.NAME}; rm {path}"
        yield Finding("service", preflight.ERROR, f"{path} is there already.", do)
    if hidden := unit.unreadable():
        do = "Move the program to where everybody may read it, such as /opt/a3mailer, and run it there."
        text = f"The service, which is not root, could not read {hidden}."
        yield Finding("service", preflight.ERROR, text, do)


async def _network(aim: Aim) -> list[Finding]:
    from a3mailer.app.cli.resolve import resolver_of
    from a3mailer.edge.dial import dial

    async with resolver_of(aim.settings.dns) as resolver:
        return await preflight.network(aim, resolver, dial)


# --- making it --------------------------------------------------------------------------------------------


def _install(wish: Wish, aim: Aim, found: Sequence[Finding], out: Output) -> Facts:
    """Perform the steps; what the DNS has to say. Errors: Failed, and then nothing is left."""
    installing = Installing(wish, MACHINE, out)
    told: list[Facts] = []

    def tell() -> None:
        assert installing.made is not None
        facts, until = _facts(wish.directory, aim)
        told.append(facts)
        made = installing.made
        shown = {
            "directory": made.directory,
            "address": made.admin,
            "password": made.admin_password,
            "password_until": until,
            "recovery_key": made.recovery_key,
            "hostname": facts.hostname,
            "service": unit.NAME if wish.service else None,
            "started": wish.start,
            "checks": [asdict(each) for each in found],
            "records": [asdict(each) for each in records(facts)],
        }
        out.result(shown, "\n".join(_text(shown, facts, aim.settings)))
        sys.stdout.flush()

    try:
        perform(installing.steps(tell))
    except Failed as error:
        raise Failed(error.code, f"{error}\neverything that was made is removed again") from error
    except OSError as error:
        text = f"{error.filename or wish.directory}: {error.strerror}"
        raise Failed(UNUSABLE, f"{text}\neverything that was made is removed again") from error
    except NotUndone as error:
        raise Failed(UNUSABLE, str(error)) from error
    return told[0]


def _facts(directory: Path, aim: Aim) -> tuple[Facts, int]:
    """The domain's, and until when the password is good."""
    with session(str(directory)) as store:
        found = store.perform("domain dns", {"name": aim.settings.server.domain, "addresses": aim.addresses})
    return msgspec.convert(found["facts"], Facts), int(aim.now) + ONE_TIME_HOURS * 3600


def _text(shown: dict[str, Any], facts: Facts, settings: Settings) -> Iterator[str]:
    """The records, then on one screen what a new operator needs to know."""
    from a3mailer.app.cli.domain_dns import paste

    directory, address, a3mailer = shown["directory"], shown["address"], command()
    yield ""
    yield from paste(facts, records(facts))
    yield ""
    yield f"As a zone file: {a3mailer} domain dns {facts.domain} --bind --dir {directory}"
    yield f"Look at any time: {a3mailer} domain check {facts.domain} --dir {directory}"
    yield ""
    yield (
        "A3Mailer is running."
        if shown["started"]
        else f"A3Mailer is ready. Start it: {a3mailer} serve {directory}"
    )
    yield ""
    yield f"  sign in as      {address}"
    yield f"  password        {shown['password']}"
    yield f"                  shown this once, good until {moment(shown['password_until'])}; set your own:"
    yield f"                  {a3mailer} account passwd {address} --dir {directory}"
    yield f"  read mail       IMAP {facts.hostname} port {facts.listeners['imaps']} (TLS)"
    yield f"  send mail       SMTP {facts.hostname} port {facts.listeners['submissions']} (TLS)"
    if settings.acme.directory:
        yield "  certificate     self-signed; one of Let's Encrypt as soon as the address record is there"
    else:
        yield "  certificate     self-signed, mail programs warn of it (to fetch one: acme.directory)"
    yield f"  recovery key    {shown['recovery_key']}"
    yield "                  shown this once: write it down, no backup opens elsewhere without it"
    yield f"  data            {directory}"
    if shown["service"]:
        yield f"  service         systemctl status {unit.NAME}; journalctl -u {unit.NAME}"
    elif shown["started"]:
        yield f"  log             {directory}/{LOG}; stop it: {a3mailer} stop --dir {directory}"


def _watch(facts: Facts, args: Arguments, out: Output) -> None:
    from a3mailer.app.cli.domain_check import watch

    out.note("\nEach record turns green when it is there. Ctrl-C ends this look, not the server.")
    try:
        watch(facts, Dns(servers=tuple(args.dns)), int(args.every), out)
    except KeyboardInterrupt:
        out.note("")


VERBS: Final = (
    Verb(
        "quickstart",
        "make a mail server of this machine: checks, settings, keys, account, service, DNS records",
        "server.control",
        quickstart,
        (
            Argument("YOU", "your address; its domain is the server's"),
            Argument("DIR", f"the data directory (default: {INSTALLED} as root, else ./{HERE})", "?"),
        ),
        (
            *site_options("all"),
            Option(
                "--address",
                "an address the world reaches this server at; repeatable (default: this machine's)",
                metavar="ADDRESS",
                many=True,
            ),
            Option("--check", "only say whether it would work"),
            Option("--start", "start the server in the background, where no systemd does"),
            Option("--no-service", "leave systemd alone"),
            Option("--no-watch", "do not wait for the DNS records"),
            Option("--anyway", "go on although a check failed"),
            Option(
                "--letsencrypt",
                "fetch certificates from Let's Encrypt, to whose terms you agree by saying so",
            ),
            Option("--probe", "a mail server to try port 25 with", metavar="HOST:PORT", default=PROBE),
            Option(
                "--blocklist",
                f"a list of addresses to ask; repeatable (default: {', '.join(BLOCKLISTS)})",
                metavar="NAME",
                many=True,
            ),
            Option(
                "--every", "seconds between looks at the DNS", metavar="SECONDS", number=True, default="15"
            ),
        ),
        directory=False,
    ),
)
