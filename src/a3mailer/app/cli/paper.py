"""Completion scripts and the man page, made from the verbs themselves so that they cannot differ."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from a3mailer import __version__
from a3mailer.app.cli.exits import MEANINGS
from a3mailer.app.cli.families import FAMILIES, all_verbs
from a3mailer.app.cli.verb import Option, Verb, all_options


def completion(shell: str, verbs: Sequence[Verb]) -> str:
    """The script of one shell (bash, zsh or fish)."""
    return _SHELLS[shell](verbs)


def _tree(verbs: Iterable[Verb]) -> dict[str, list[str]]:
    """What may follow each sequence of words: next words, then options."""
    tree: dict[str, list[str]] = {"": []}
    for verb in verbs:
        words = verb.path.split()
        for depth, word in enumerate(words):
            known = tree.setdefault(" ".join(words[:depth]), [])
            if word not in known:
                known.append(word)
        choices = [c for a in verb.arguments for c in a.choices]
        tree[verb.path] = [*choices, *(o.name for o in all_options(verb)), "--help"]
    tree[""] += ["--help", "--version"]
    return tree


def _bash(verbs: Sequence[Verb]) -> str:
    cases = "\n".join(
        f"        {shlex.quote(words)}) next={shlex.quote(' '.join(following))} ;;"
        for words, following in _tree(verbs).items()
    )
    return f"""# bash completion for a3mailer: eval "$(a3mailer completion bash)"
_a3mailer() {{
    local words="" next="" word i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        [[ $word == -* ]] && continue
        case "$words $word" in
            {_pattern(verbs)}) words="${{words:+$words }}$word" ;;
        esac
    done
    case "$words" in
{cases}
    esac
    COMPREPLY=($(compgen -W "$next" -- "${{COMP_WORDS[COMP_CWORD]}}"))
    [[ ${{#COMPREPLY[@]}} -gt 0 ]] || COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -F _a3mailer a3mailer
"""


def _pattern(verbs: Sequence[Verb]) -> str:
    """The sequences of words that lead to a verb, as alternatives of a case."""
    found: dict[str, None] = {}
    for verb in verbs:
        words = verb.path.split()
        for depth in range(1, len(words) + 1):
            found[f"{' '.join(words[: depth - 1])} {words[depth - 1]}"] = None
    return "|".join(shlex.quote(words) for words in found)


def _zsh(verbs: Sequence[Verb]) -> str:
    return f"#compdef a3mailer\nautoload -U +X bashcompinit && bashcompinit\n{_bash(verbs)}"


def _fish(verbs: Sequence[Verb]) -> str:
    lines = ["# fish completion for a3mailer: a3mailer completion fish | source", "complete -c a3mailer -f"]
    for family in FAMILIES:
        lines.append(_fish_line("__fish_use_subcommand", family.word, family.help))
    for verb in verbs:
        family_, _, word = verb.path.partition(" ")
        seen = f"__fish_seen_subcommand_from {family_}"
        if word:
            lines.append(_fish_line(seen, word, verb.help))
            seen += f"; and __fish_seen_subcommand_from {word}"
        for option in all_options(verb):
            wants = " -r" if option.metavar or option.choices else ""
            words = f"-l {option.name[2:]}{wants} -d {shlex.quote(option.help)}"
            lines.append(f"complete -c a3mailer -n {shlex.quote(seen)} {words}")
    return "\n".join(lines) + "\n"


def _fish_line(condition: str, word: str, help: str) -> str:
    return f"complete -c a3mailer -n {shlex.quote(condition)} -a {word} -d {shlex.quote(help)}"


_SHELLS: Final = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def man_page(verbs: Sequence[Verb]) -> str:
    """a3mailer(1) in the man macros."""
    out = [
        f'.TH A3MAILER 1 "" "a3mailer {__version__}" "User Commands"',
        ".SH NAME",
        r"a3mailer \- mail and collaboration server",
        ".SH SYNOPSIS",
        ".B a3mailer",
        r"[\fIVERB\fR [\fIARGUMENTS\fR]]",
        ".SH DESCRIPTION",
        "Without a verb: try-it mode, an instance in ./var with two accounts and sample mails.",
        "Verbs work with the server running (over its control socket) and stopped (under the same lock).",
        ".SH VERBS",
    ]
    for verb in verbs:
        out += [".TP", rf"\fBa3mailer {_roff(usage(verb))}\fR", _roff(verb.help + ".")]
        for option in verb.options:
            out += [".RS", ".TP", rf"\fB{_roff(option_text(option))}\fR", _roff(option.help), ".RE"]
    out += [
        ".SH OPTIONS OF EVERY VERB",
        ".TP",
        r"\fB\-\-json\fR",
        "print the result as JSON; lists are arrays",
    ]
    out += [".TP", r"\fB\-\-dir\fR DIR", "the data directory, where it is not an argument"]
    out += [".SH EXIT STATUS"]
    for code, meaning in MEANINGS.items():
        out += [".TP", str(code), _roff(meaning)]
    out += [".SH ENVIRONMENT", ".TP", "A3_DIR", "the data directory", ".TP", "A3_SECTION__KEY",
            "any setting; a3mailer config describe lists them"]  # fmt: skip
    return "\n".join(out) + "\n"


def usage(verb: Verb) -> str:
    """The verb with its arguments and required options, on one line."""
    words = [verb.path]
    for argument in verb.arguments:
        repeated = {"": "{}", "?": "[{}]", "+": "{} ...", "*": "[{} ...]"}[argument.count]
        words.append(repeated.format(argument.name))
    words += [option_text(o) for o in verb.options if o.required]
    return " ".join(words + ["[OPTIONS]"] * (len(verb.options) > sum(o.required for o in verb.options)))


def option_text(option: Option) -> str:
    """``--name METAVAR``."""
    metavar = option.metavar or "|".join(option.choices)
    return f"{option.name} {metavar}" if metavar else option.name


def _roff(text: str) -> str:
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":  # python -m a3mailer.app.cli.paper > deploy/man/a3mailer.1
    sys.stdout.write(man_page(all_verbs()))
