"""A message index as plain values, for `a3mailer message parse MAIL --json` and for people who debug mail.

Strings are text without lone surrogates and numbers are octets, so that every JSON encoder takes the result.
"""

from collections.abc import Iterable
from typing import TypeAlias

from a3mailer.mail.message import charsets, dates, text
from a3mailer.mail.message.addresses import Address
from a3mailer.mail.message.index import MessageIndex
from a3mailer.mail.message.octets import Octets
from a3mailer.mail.message.parts import Part

Plain: TypeAlias = str | int | bool | list["Plain"] | dict[str, "Plain"] | None

_TEXT: int = 2_000  # characters of each text part that are shown


def describe(index: MessageIndex, octets: Octets) -> dict[str, Plain]:
    """Return what the index knows of a mail, and the beginning of its text parts, as plain values."""
    date = None if index.date is None else dates.format_date(index.date)
    return {
        "size": index.size,
        "header_end": index.header_end,
        "subject": index.subject,
        "base_subject": index.base_subject,
        "from": _people(index.from_),
        "sender": _people(index.sender),
        "reply_to": _people(index.reply_to),
        "to": _people(index.to),
        "cc": _people(index.cc),
        "bcc": _people(index.bcc),
        "date": date,
        "unix_time": index.date,
        "message_id": charsets.decode(index.message_id),
        "in_reply_to": [charsets.decode(item) for item in index.in_reply_to],
        "references": [charsets.decode(item) for item in index.references],
        "thread_keys": [key.hex() for key in index.thread_keys],
        "preview": index.preview,
        "has_attachment": index.has_attachment,
        "truncated": list(index.truncated),
        "envelope": charsets.decode(index.envelope),
        "bodystructure": charsets.decode(index.bodystructure),
        "parts": [_part(part, octets) for part in index.parts],
    }


def _people(addresses: Iterable[Address]) -> list[Plain]:
    return [{"name": address.name, "address": address.addr_spec} for address in addresses]


def _part(part: Part, octets: Octets) -> dict[str, Plain]:
    described: dict[str, Plain] = {
        "number": ".".join(map(str, part.number)),
        "type": charsets.decode(part.media),
        "charset": charsets.decode(part.charset),
        "encoding": charsets.decode(part.encoding),
        "disposition": charsets.decode(part.disposition),
        "filename": part.filename,
        "start": part.start,
        "body": part.body,
        "end": part.end,
        "size": part.end - part.body,
        "lines": part.lines,
        "depth": part.depth,
        "parent": part.parent,
    }
    if part.media.startswith(b"text/"):
        described["text"] = text.decoded_text(octets, part)[:_TEXT]
    return described
