"""message parse: what the server sees in a mail; needs no instance."""

from __future__ import annotations

from typing import Final

from a3mailer.app.cli.exits import OK
from a3mailer.app.cli.output import Output, moment, size
from a3mailer.app.cli.tools import read_octets
from a3mailer.app.cli.verb import Argument, Arguments, Verb
from a3mailer.mail.message import Address, MessageIndex, Part, index


def parse(args: Arguments, out: Output) -> int:
    """message parse."""
    found = index(read_octets(args.mail))
    out.result(_value(found), "\n".join(_lines(found)))
    return OK


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _people(addresses: tuple[Address, ...]) -> list[dict[str, str]]:
    return [{"name": a.name, "address": a.addr_spec} for a in addresses]


def _part(part: Part) -> dict[str, object]:
    return {
        "number": ".".join(map(str, part.number)),
        "type": _text(part.media),
        "encoding": _text(part.encoding),
        "charset": _text(part.charset),
        "disposition": _text(part.disposition),
        "filename": part.filename,
        "start": part.start,
        "body": part.body,
        "end": part.end,
    }


def _value(found: MessageIndex) -> dict[str, object]:
    return {
        "size": found.size,
        "subject": found.subject,
        "date": found.date,
        "message_id": _text(found.message_id),
        "in_reply_to": [_text(i) for i in found.in_reply_to],
        "references": [_text(i) for i in found.references],
        "from": _people(found.from_),
        "sender": _people(found.sender),
        "reply_to": _people(found.reply_to),
        "to": _people(found.to),
        "cc": _people(found.cc),
        "bcc": _people(found.bcc),
        "preview": found.preview,
        "has_attachment": found.has_attachment,
        "parts": [_part(p) for p in found.parts],
        "envelope": _text(found.envelope),
        "bodystructure": _text(found.bodystructure),
        "truncated": list(found.truncated),
    }


def _lines(found: MessageIndex) -> list[str]:
    lines = [f"Subject: {found.subject}", f"Date:    {moment(found.date)}"]
    for name, people in (("From", found.from_), ("To", found.to), ("Cc", found.cc)):
        lines += [f"{name + ':':8} {a.name} <{a.addr_spec}>" for a in people]
    lines += [f"Size:    {size(found.size)}", f"Preview: {found.preview}"]
    for part in found.parts:
        number = ".".join(map(str, part.number)) or "-"
        lines.append(
            f"{'  ' * part.depth}{number} {_text(part.media)} {size(part.end - part.body)} {part.filename}"
        )
    lines += [f"cut: {limit}" for limit in found.truncated]
    return lines


VERBS: Final = (
    Verb(
        "message parse",
        "print what the server sees in a mail",
        "tool.use",
        parse,
        (Argument("MAIL", "a file with one mail; - is stdin", file=True),),
        directory=False,
    ),
)
