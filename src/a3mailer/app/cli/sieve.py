"""sieve compile, sieve run: what a script is, and what it would do with a mail (needs no instance).

Exit codes: 0 a good script, 1 a bad one or an error of the run, 2 a capability that is not offered; a wrong
command line is 64, so that 2 means one thing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from a3mailer import __version__
from a3mailer.app.cli import scripts
from a3mailer.app.cli.exits import NO, OK, USAGE, Failed
from a3mailer.app.cli.output import Output
from a3mailer.app.cli.tools import read_octets
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb
from a3mailer.wire.sieve.actions import Action, Keep, Redirect, Step
from a3mailer.wire.sieve.compile import Program, compile_script
from a3mailer.wire.sieve.dialect import ALWAYS, Dialect
from a3mailer.wire.sieve.errors import ScriptError, UnknownCapability
from a3mailer.wire.sieve.extensions import ALL, OPERATORS
from a3mailer.wire.sieve.interpret import Result, run
from a3mailer.wire.sieve.machine import OWNER
from a3mailer.wire.sieve.view import MailView

UNKNOWN_CAPABILITY: Final = 2
WRONG_LINE: Final = 64
CODES: Final = {USAGE: WRONG_LINE}
PARTS: Final = ("from", "to", "auth")
"""Of the envelope, in the order of the arguments; options of the same names come first."""

PLACE: Final = {
    "name": b"A3Mailer",
    "version": __version__.encode(),
    "location": b"MDA",
    "phase": b"during",
}
"""The environment (RFC 5183) of a delivery."""


def compile_(args: Arguments, out: Output) -> int:
    """sieve compile."""
    program, code = _compiled(args.script, out, OPERATORS if args.policy else ALL)
    if program is not None:
        required = sorted(program.required - ALWAYS)
        found = {"ok": True, "instructions": len(program.code), "capabilities": required}
        out.result(found, f"{args.script}: a script of {len(program.code)} instructions")
    return code


def _compiled(name: str, out: Output, dialect: Dialect = ALL) -> tuple[Program | None, int]:
    """The program, or what is wrong with the script told, and the exit code."""
    try:
        return compile_script(read_octets(name), dialect), OK
    except ScriptError as error:
        unknown = isinstance(error, UnknownCapability)
        found = {
            "ok": False,
            "error": error.text,
            "line": error.line,
            "column": error.column,
            "unknown_capability": unknown,
        }
        out.result(found, f"{name}:{error.line}:{error.column}: {error.text}")
        return None, UNKNOWN_CAPABILITY if unknown else NO


def run_(args: Arguments, out: Output) -> int:
    """sieve run."""
    program, code = _compiled(args.script, out)
    if program is None:
        return code
    view = _view(args)
    done = run(program, view, trace=out.json or args.trace)
    text = [_step(step) for step in done.trace] if args.trace else []
    text += [f"{args.script}:{done.error.line}:{done.error.column}: {done.error.text}"] if done.error else []
    out.result(_told(done), "\n".join([*text, *map(_words, done.actions)]))
    return NO if done.error else OK


def _view(args: Arguments) -> MailView:
    """Errors: Failed."""
    if len(args.envelope) not in (0, 2, 3):
        raise Failed(USAGE, "an envelope is FROM TO or FROM TO AUTH")
    options = vars(args)
    given = {part: options[part] for part in PARTS}
    given |= {part: value for part, value in zip(PARTS, args.envelope, strict=False) if given[part] is None}
    envelope = {part: (_path(value),) for part, value in given.items() if value is not None}
    environment = dict(PLACE)
    if "auth" in envelope:
        environment["vnd.a3.login"] = envelope["auth"][0]
    if "to" in envelope:
        environment[OWNER] = envelope["to"][0]
    now = datetime.now().astimezone()
    east = now.utcoffset() or timedelta()
    moment = (int(now.timestamp()), int(east.total_seconds()) // 60)
    return MailView(read_octets(args.mail), envelope, environment, now=moment)


def _path(text: str) -> bytes:
    """A path with or without its brackets."""
    return (text[1:-1] if text.startswith("<") and text.endswith(">") else text).encode()


def _told(done: Result) -> dict[str, object]:
    error = done.error
    return {
        "ok": error is None,
        "actions": [action.word for action in done.actions],
        "redirects": [str(each.address) for each in done.actions if isinstance(each, Redirect)],
        "details": [{"action": each.word, **_details(each)} for each in done.actions],
        "error": {"text": error.text, "line": error.line, "column": error.column} if error else None,
        "steps": done.steps,
        "trace": [step._asdict() for step in done.trace],
    }


def _details(action: Action) -> dict[str, object]:
    """What is not as it is when nothing is said of it."""
    found: dict[str, object] = {}
    for name in action.__struct_fields__:
        value = getattr(action, name)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if value not in (None, "", False, ()):
            found[name] = value if isinstance(value, bool | int | str | tuple) else str(value)
    return found


def _words(action: Action) -> str:
    if isinstance(action, Keep):
        return "keep (nothing else was said)" if action.implicit else "keep"
    words = [action.word]
    for name, value in _details(action).items():
        words.append(f"({name})" if value is True else str(value))
    return " ".join(words)


def _step(step: Step) -> str:
    result = "" if step.result is None else f" -> {'true' if step.result else 'false'}"
    return f"{step.line}:{step.column}: {step.word} {step.text}".rstrip() + result


_SCRIPT: Final = Argument("SCRIPT", "a file with a script; - is stdin", file=True)
VERBS: Final = (
    Verb(
        "sieve compile",
        "say whether a script is one; if not, where",
        "tool.use",
        compile_,
        (_SCRIPT,),
        (Option("--policy", "it is for the stages of SMTP (policy.scripts): what an operator may say"),),
        directory=False,
        codes=CODES,
    ),
    Verb(
        "sieve run",
        "say what a script would do with a mail, and do nothing",
        "tool.use",
        run_,
        (
            _SCRIPT,
            Argument("MAIL", "a file with one mail; - is stdin", file=True),
            Argument("ENVELOPE", "FROM TO, or FROM TO AUTH; an empty FROM is the null reverse-path", "*"),
        ),
        (
            Option("--from", "the reverse-path", metavar="ADDRESS"),
            Option("--to", "the forward-path", metavar="ADDRESS"),
            Option("--auth", "who has submitted the mail", metavar="LOGIN"),
            Option("--trace", "show each test with its result, and each command"),
        ),
        directory=False,
        codes=CODES,
    ),
    *scripts.VERBS,
)
