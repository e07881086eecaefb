"""config ...: settings, where they come from, and what a change would do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from a3mailer.app.cli.exits import ABSENT, CONFIG, NO, NOT_RUNNING, OK, USAGE, Failed
from a3mailer.app.cli.office import Remote, connect, data_directory, session
from a3mailer.app.cli.output import Output, plain
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb
from a3mailer.app.settings import load
from a3mailer.config.fields import FIELDS, NoSuchSetting, field, text_of, value_of
from a3mailer.config.load import ConfigError, Snapshot
from a3mailer.config.routes import parse_rule
from a3mailer.config.tree import Settings
from a3mailer.edge.dial import cannot_send_from

NAME: Final = Argument("NAME", "section.key")


def get(args: Arguments, out: Output) -> int:
    """config get."""
    name = _name(args.name)
    text = text_of(value_of(_snapshot(args).settings, name))
    out.result({"name": name, "value": text}, text or '""')
    return OK


def _name(text: str) -> str:
    try:
        return field(text).name
    except NoSuchSetting as error:
        raise Failed(ABSENT, str(error)) from error


def _snapshot(args: Arguments) -> Snapshot:
    """What a start would work with now, the store's settings included. Errors: Failed (CONFIG)."""
    with session(args.dir) as store:
        stored = store.perform("config stored", {})
    return _load(args.dir, stored)


def _load(directory: str, stored: dict[str, str]) -> Snapshot:
    try:
        return load(Path(directory), {}, stored=stored)
    except ConfigError as error:
        raise Failed(CONFIG, "\n".join(error.problems)) from error


def set_(args: Arguments, out: Output) -> int:
    """config set."""
    if (args.value is None) is not args.unset:
        raise Failed(USAGE, "give a VALUE, or --unset")
    with session(args.dir) as store:
        made = store.perform("config set", {"name": _name(args.name), "value": args.value})
    then = "after a3mailer restart" if made["restart"] else "after a3mailer reload"
    value = "no longer set" if args.unset else f"= {made['value']}"
    out.result(made, f"{made['name']} {value}, in {made['kept_in']}; in force {then}")
    return OK


def describe(args: Arguments, out: Output) -> int:
    """config describe."""
    chosen = [field(_name(args.name))] if args.name else list(FIELDS.values())
    rows = [
        {
            "name": f.name,
            "kind": f.kind,
            "default": text_of(f.default),
            "meaning": f.description,
            "change": "restart" if f.restart else "reload",
            "variable": "A3_" + f.name.upper().replace(".", "__"),
        }
        for f in chosen
    ]
    out.table(rows, {"name": plain, "kind": plain, "default": plain, "change": plain, "meaning": plain})
    return OK


def sources(args: Arguments, out: Output) -> int:
    """config sources."""
    snapshot = _snapshot(args)
    rows = [
        {
            "name": name,
            "value": text_of(value_of(snapshot.settings, name)),
            "source": snapshot.origin(name).source,
            "where": snapshot.origin(name).where,
        }
        for name in FIELDS
    ]
    out.table(rows, {"name": plain, "value": plain, "source": plain, "where": plain})
    return OK


def test(args: Arguments, out: Output) -> int:
    """config test."""
    with session(args.dir) as store:
        stored = store.perform("config stored", {})
    problems: tuple[str, ...] = ()
    try:
        problems = _sources(load(Path(args.dir), {}, stored=stored).settings)
    except ConfigError as error:
        problems = error.problems
    if problems:
        for problem in problems:
            out.note(problem)
        out.result({"ok": False, "problems": list(problems)})
        return CONFIG
    out.result({"ok": True, "problems": []}, "the settings are good")
    return OK


def _sources(settings: Settings) -> tuple[str, ...]:
    """What is wrong with the addresses that rules send from: a start does not fail by it, mail waits."""
    found = [cannot_send_from(source) for text in settings.queue.rules for source in parse_rule(text).sources]
    return tuple(f"queue.rules: {why}" for why in found if why)


def diff(args: Arguments, out: Output) -> int:
    """config diff."""
    connection = connect(data_directory(args.dir))
    if connection is None:
        raise Failed(NOT_RUNNING, "the server is not running, so there is nothing to compare with")
    with connection:
        found = Remote(connection).perform("config pending", {})
    if found["problems"]:
        raise Failed(CONFIG, "\n".join(found["problems"]))
    out.table(found["changes"], {"name": plain, "running": plain, "then": plain, "change": plain})
    return NO if found["changes"] else OK


VERBS: Final = (
    Verb("config get", "print one setting", "config.read", get, (NAME,)),
    Verb(
        "config set",
        "keep a setting: in the store, or in conf.d if the store needs it to open",
        "config.change",
        set_,
        (NAME, Argument("VALUE", "its new value; lists with commas", "?")),
        (Option("--unset", "take the setting away"),),
    ),
    Verb(
        "config describe",
        "every setting with its default and meaning",
        "tool.use",
        describe,
        (Argument("NAME", "only this one", "?"),),
        directory=False,
    ),
    Verb("config sources", "where each value comes from", "config.read", sources),
    Verb("config test", "say whether the settings can be used", "config.read", test),
    Verb("config diff", "what a reload or restart of the running server would change", "config.read", diff),
)
