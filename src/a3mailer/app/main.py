"""The command line's entry point: one word chooses the module, the module's table the verb."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from a3mailer.app.cli.exits import BUG, INTERRUPTED, LATER, OK, USAGE, Failed
from a3mailer.app.cli.families import BY_WORD, FAMILIES, Family
from a3mailer.app.cli.output import Output, visible
from a3mailer.app.cli.verb import Verb, parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code (``cli/exits.py``)."""
    words = list(_called() if arguments is None else arguments)
    try:
        return _run(words)
    except Failed as failed:
        for line in str(failed).split("\n"):
            print(f"a3mailer: {visible(line)}", file=sys.stderr)
        return failed.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except SystemExit as ended:  # argparse printed the help
        return ended.code if isinstance(ended.code, int) else BUG
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        print(f"a3mailer: {visible(f'{named}{error.strerror or error}')}", file=sys.stderr)
        return LATER


def _called() -> list[str]:
    """The words of the command line; a link that is called sendmail stands for the verb."""
    return ["sendmail"] * (Path(sys.argv[0]).name == "sendmail") + sys.argv[1:]


def _run(words: list[str]) -> int:
    if not words:
        from a3mailer.app.cli.tryit import tryit

        return tryit()
    if words[0] in ("-h", "--help", "help"):
        print(overview())
        return OK
    if words[0] == "--version":
        words = ["version"]
    family = BY_WORD.get(words[0])
    if family is None:
        raise Failed(USAGE, f"no such verb: {words[0]} (a3mailer --help lists them)")
    verb, rest = _choose(family, words)
    if verb is None:
        print(listing(family))
        return OK
    try:
        args = parse(verb, rest)
        code = verb.run(args, Output(args.json))
    except Failed as failed:
        raise Failed(verb.codes.get(failed.code, failed.code), str(failed)) from failed
    sys.stdout.flush()
    return code


def _choose(family: Family, words: list[str]) -> tuple[Verb | None, list[str]]:
    verbs = {verb.path: verb for verb in family.verbs()}
    if family.word in verbs:
        return verbs[family.word], words[1:]
    if len(words) > 1 and (verb := verbs.get(" ".join(words[:2]))) is not None:
        return verb, words[2:]
    if words[1:2] in (["--help"], ["-h"]):
        return None, []
    known = ", ".join(path.partition(" ")[2] for path in verbs)
    said = f"no such verb: {' '.join(words[:2])}" if len(words) > 1 else f"{family.word} wants a verb"
    raise Failed(USAGE, f"{said} (there are: {known})")


def overview() -> str:
    """``a3mailer --help``."""
    width = max(len(family.word) for family in FAMILIES)
    lines = [f"  {family.word.ljust(width)}  {family.help}" for family in FAMILIES]
    return "\n".join(
        (
            "usage: a3mailer [VERB [ARGUMENTS]]",
            "",
            "Without a verb: an instance anyone can try at once, in ./var.",
            "",
            *lines,
            "",
            "a3mailer VERB --help explains one. Every verb takes --json.",
        )
    )


def listing(family: Family) -> str:
    """``a3mailer FAMILY --help``."""
    verbs = family.verbs()
    width = max(len(verb.path) for verb in verbs)
    lines = [f"  {verb.path.ljust(width)}  {verb.help}" for verb in verbs]
    return "\n".join((f"usage: a3mailer {family.word} VERB [ARGUMENTS]", "", *lines))


if __name__ == "__main__":
    sys.exit(main())
