"""init: a data directory with everything in it, or nothing at all.

It is built beside its place and put there by one rename, so that an interrupted ``init`` leaves no half;
where the place exists already (a volume, a state directory) it is built inside and taken away on failure.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from a3mailer.app import material
from a3mailer.app.cli.exits import CONFIG, EXISTS, OK, UNUSABLE, USAGE, Failed, failure
from a3mailer.app.cli.output import Output
from a3mailer.app.cli.password import new_password
from a3mailer.app.cli.server import overrides
from a3mailer.app.cli.solo import Alone, alone
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb
from a3mailer.config.fields import ALIASES, field
from a3mailer.config.load import ConfigError, load
from a3mailer.config.sources import MAIN_FILE
from a3mailer.config.write import encode, write_file
from a3mailer.identity.names import clean_address, clean_domain
from a3mailer.mail.errors import MailError

ADMIN: Final = "admin"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be made, checked before anything is."""

    settings: dict[str, str]
    """Texts of settings by full name."""
    domains: tuple[str, ...]
    accounts: tuple[tuple[str, str], ...]
    """(address, password); the administrator is not among them."""
    admin: str
    admin_password: str
    admin_hours: int = 0
    """How long that is good; 0 = until it is changed."""


@dataclass(frozen=True, slots=True)
class Made:
    """What the person who ran ``init`` must be told, once."""

    directory: str
    admin: str
    admin_password: str
    recovery_key: str


def init(args: Arguments, out: Output) -> int:
    """init."""
    plan = plan_of(args)
    made = make(Path(args.dir), plan, out)
    given = bool(args.admin_password)
    shown = {"directory": made.directory, "admin": made.admin, "recovery_key": made.recovery_key}
    out.result({**shown, "admin_password": None if given else made.admin_password}, _text(made, plan, given))
    return OK


def _text(made: Made, plan: Plan, password_given: bool) -> str:
    password = "as given" if password_given else f"{made.admin_password}   (shown this once)"
    return "\n".join(
        (
            f"{made.directory} is ready, with {len(plan.accounts) + 1} accounts.",
            f"administrator  {made.admin}",
            f"password       {password}",
            f"recovery key   {made.recovery_key}",
            "The recovery key is shown this once. Write it down: no backup opens elsewhere without it.",
            f"Next: a3mailer serve {made.directory}",
        )
    )


def plan_of(args: Arguments) -> Plan:
    """The options as a plan. Errors: Failed (USAGE, CONFIG)."""
    try:
        domains = tuple(dict.fromkeys(map(clean_domain, args.domain)))
        accounts = tuple(_account(text) for text in args.account)
    except MailError as error:
        raise failure(type(error).__name__, str(error)) from error
    for address, _ in accounts:
        if address.rpartition("@")[2] not in domains:
            raise Failed(USAGE, f"{address} is in none of the domains: {', '.join(domains)}")
    named = [a for a, _ in accounts]
    if len(set(named)) != len(named):
        raise Failed(USAGE, "an account is given twice")
    settings = _settings(args, domains)
    try:
        load(None, settings, {})
    except ConfigError as error:
        raise Failed(CONFIG, "\n".join(error.problems)) from error
    admin = f"{ADMIN}@{domains[0]}"
    given = dict(accounts)
    password = args.admin_password or given.get(admin) or new_password()
    others = tuple((a, p) for a, p in accounts if a != admin)
    return Plan(settings, domains, others, admin, password)


def _account(text: str) -> tuple[str, str]:
    address, colon, password = text.partition(":")
    if not colon or not password:
        raise Failed(USAGE, f"--account wants ADDRESS:PASSWORD, not {address}")
    return clean_address(address), password


def _settings(args: Arguments, domains: Sequence[str]) -> dict[str, str]:
    given = {
        "server.hostname": args.hostname or f"mail.{domains[0]}",
        "server.domain": domains[0],
        "server.port_base": args.port_base,
        "server.listen": ",".join(args.listen) or None,
        "server.workers": args.workers,
        "dns.servers": ",".join(args.dns) or None,
        "queue.relay": args.relay,
        "auth.plaintext": "on" if args.allow_plaintext_auth else None,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    return settings | {ALIASES.get(name, name): value for name, value in overrides(args.set).items()}


def make(place: Path, plan: Plan, out: Output) -> Made:
    """Build the data directory. Errors: Failed; nothing is left then."""
    with _building(place) as directory:
        material.make_folders(directory)
        values = {name: field(name).parse(text) for name, text in plan.settings.items()}
        write_file(directory / MAIN_FILE, encode(values))
        settings = load(directory, {}, {}).settings
        server = settings.server
        material.make_certificate(directory, server.hostname, server.listen, plan.domains)
        material.mock_key(directory)
        material.srs_keys(directory)
        recovery_key = material.make_recovery_key(directory)
        with alone(directory) as store:
            _fill(store, plan, out)
    return Made(str(place), plan.admin, plan.admin_password, recovery_key)


def _fill(store: Alone, plan: Plan, out: Output) -> None:
    for domain in plan.domains:
        store.perform("domain add", {"name": domain})
    login = {"address": plan.admin, "password": plan.admin_password}
    admin = {**login, "role": "superadmin"}
    store.perform("account add", {**admin, "display_name": "Administrator"})
    if plan.admin_hours:
        store.perform("account passwd", {**login, "hours": plan.admin_hours})
    if not plan.accounts:
        return
    with out.progress("accounts", len(plan.accounts)) as advance:
        for number, (address, password) in enumerate(plan.accounts, 1):
            store.perform("account add", {"address": address, "password": password})
            advance(number)


@contextmanager
def _building(place: Path) -> Generator[Path, None, None]:
    """A new directory that is at its place when all went well, and gone when not."""
    if place.is_symlink() or place.exists():
        if not place.is_dir() or any(place.iterdir()):
            raise Failed(EXISTS, f"{place} exists and is not an empty directory")
        with _removed_on_failure(place, contents_only=True):
            yield place
        return
    beside = place.with_name(f".{place.name}.init-{secrets.token_hex(4)}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir(mode=0o700)
    except OSError as error:
        raise Failed(UNUSABLE, f"{place}: {error.strerror}") from error
    with _removed_on_failure(beside, contents_only=False):
        yield beside
        beside.rename(place)


@contextmanager
def _removed_on_failure(directory: Path, contents_only: bool) -> Generator[None, None, None]:
    try:
        yield
    except BaseException as error:
        for each in directory.iterdir() if contents_only else (directory,):
            shutil.rmtree(each, ignore_errors=True) if each.is_dir() else each.unlink()
        if isinstance(error, OSError):
            raise Failed(UNUSABLE, f"{directory}: {error.strerror}") from error
        raise


def site_options(listen: str) -> tuple[Option, ...]:
    """What is asked of every new server; ``listen``: where it is bound by default."""
    return (
        Option("--hostname", "the name this server greets with (default: mail.DOMAIN)", metavar="NAME"),
        Option("--port-base", "added to every standard port", metavar="NUMBER"),
        Option(
            "--listen",
            f"an address to bind, IPv4 or IPv6; repeatable (default: {listen})",
            metavar="ADDRESS",
            many=True,
        ),
        Option(
            "--dns",
            "a name server to ask; repeatable (default: the system's)",
            metavar="ADDRESS:PORT",
            many=True,
        ),
        Option("--relay", "a smart host all mail out goes through", metavar="HOST:PORT"),
        Option(
            "--set",
            "a setting to write down, section.key=value; repeatable",
            metavar="NAME=VALUE",
            many=True,
        ),
    )


VERBS: Final = (
    Verb(
        "init",
        "make a data directory: settings, certificate, keys, store, administrator",
        "server.control",
        init,
        (Argument("DIR", "the directory to make"),),
        (
            Option(
                "--domain",
                "a domain of its own; repeatable, the first is the main one",
                metavar="NAME",
                many=True,
                required=True,
            ),
            Option("--account", "an account to create; repeatable", metavar="ADDRESS:PASSWORD", many=True),
            Option(
                "--admin-password",
                "the administrator's password (default: one is made and shown)",
                metavar="PASSWORD",
            ),
            *site_options("127.0.0.1"),
            Option("--workers", "worker processes; 0 = as many as cores", metavar="NUMBER"),
            Option("--allow-plaintext-auth", "log in without TLS on loopback listeners"),
        ),
        directory=False,
    ),
)
