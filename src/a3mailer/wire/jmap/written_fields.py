"""Header fields of a client, in the forms of JMAP (RFC 8621 section 4.1.2), as lines of a mail.

Every line goes through ``mail.compose``, which refuses what would begin a line of its own (attack row 46).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from a3mailer.mail import compose
from a3mailer.mail.message.dates import format_date
from a3mailer.wire.jmap.header_forms import ADDRESSES, HeaderProperty, grouped
from a3mailer.wire.jmap.values import is_date, read_date

MAX_ADDRESS: Final = 320
_ADDRESS: Final = re.compile(
    r'(?:[^\s<>,;:()\[\]"\\]+|"[^"\\\x00-\x1f]*"@[^\s<>,;:()"\\]+|[^\s<>,;:()"\\]+)\Z'
)
ID: Final = re.compile(r"[!-;=?-~]{1,900}\Z")
URL: Final = re.compile(r"[!-;=?-~]{1,900}\Z")
_ZONE: Final = re.compile(r"([+-])([0-9]{2}):([0-9]{2})\Z")
# FWS between words of a raw value: a line that is folded goes on with a space (RFC 5322 section 3.2.2)
_FOLD: Final = re.compile(r"\r?\n(?=[ \t])")


class Wrong(ValueError):
    """A value that cannot be part of a mail; the text says why."""


def field_lines(wanted: HeaderProperty, value: object) -> list[str]:
    """The lines of a header property. Errors: Wrong, compose.BadPiece."""
    if not wanted.every:
        return [_WRITE[wanted.form](wanted.name, value)]
    if not isinstance(value, list):
        raise Wrong("a list of values is wanted")
    return [_WRITE[wanted.form](wanted.name, each) for each in value]


def _raw(name: str, value: object) -> str:
    """As it is, folded anew; what is beyond ASCII in a field of addresses is in their names."""
    if not isinstance(value, str):
        raise Wrong("a text is wanted")
    value = _FOLD.sub("", value).replace("\t", " ").strip(" ")
    if not value.isascii():
        people = grouped(value.encode("utf-8", "replace")) if name.lower() in ADDRESSES else []
        return _grouped(name, people) if people else compose.field(name, value)
    words = compose.checked(value, name).split(" ")
    fits = all(len(word) <= compose.LONGEST - len(name) - 3 for word in words)
    return compose.folded(name, words) if fits else compose.field(name, value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise Wrong("a text is wanted")
    return compose.field(name, value.strip(" "))


def _mailbox(value: object) -> compose.Mailbox:
    if not isinstance(value, dict) or not set(value) <= {"name", "email"}:
        raise Wrong("an address has a name and an email")
    name, email = value.get("name"), value.get("email")
    if not isinstance(email, str) or not (name is None or isinstance(name, str)):
        raise Wrong("an address has a name and an email")
    if len(email) > MAX_ADDRESS or not _ADDRESS.match(email):
        raise Wrong("that is no address")
    return compose.Mailbox(name or "", email)


def people_of(value: object) -> list[compose.Mailbox]:
    """EmailAddress objects. Errors: Wrong."""
    if not isinstance(value, list):
        raise Wrong("a list of addresses is wanted")
    return [_mailbox(each) for each in value]


def _person(mailbox: compose.Mailbox) -> str:
    """One mailbox; a name of several words is quoted, as most programs have it."""
    shown, name = compose.mailbox(mailbox), compose.phrase(mailbox.name)
    return f'"{name}"{shown[len(name) :]}' if " " in name and name[0] not in '"=' else shown


def _addresses(name: str, value: object) -> str:
    people = [_person(each) for each in people_of(value)]
    return compose.folded(name, ", ".join(people).split(" ")) if people else f"{name}:\r\n"


def _grouped(name: str, value: object) -> str:
    if not isinstance(value, list):
        raise Wrong("a list of groups is wanted")
    shown: list[str] = []
    for group in value:
        if not isinstance(group, dict) or not set(group) <= {"name", "addresses"}:
            raise Wrong("a group has a name and addresses")
        people = [_person(each) for each in people_of(group.get("addresses"))]
        label = group.get("name")
        if label is None:
            shown += people
        elif isinstance(label, str):
            shown.append(f"{compose.phrase(label)}: {', '.join(people)};")
        else:
            raise Wrong("the name of a group is a text")
    return compose.folded(name, ", ".join(shown).split(" "))


def _message_ids(name: str, value: object) -> str:
    if not isinstance(value, list) or not value:
        raise Wrong("a list of message ids is wanted")
    if not all(isinstance(each, str) and ID.match(each) for each in value):
        raise Wrong("a message id is printable ASCII without spaces and angle brackets")
    return compose.folded(name, [f"<{each}>" for each in value])


def _date(name: str, value: object) -> str:
    if not isinstance(value, str) or not is_date(value):
        raise Wrong("a date is wanted")
    try:
        seconds = read_date(value)
    except ValueError as error:
        raise Wrong("that is no date") from error
    zone = _ZONE.search(value)
    minutes = 0
    if zone is not None:
        minutes = (int(zone[2]) * 60 + int(zone[3])) * (-1 if zone[1] == "-" else 1)
    return f"{name}: {format_date(seconds, minutes)}\r\n"


def _urls(name: str, value: object) -> str:
    if not isinstance(value, list) or not value:
        raise Wrong("a list of URLs is wanted")
    if not all(isinstance(each, str) and URL.match(each) for each in value):
        raise Wrong("a URL is printable ASCII")
    return compose.folded(name, ", ".join(f"<{each}>" for each in value).split(" "))


_WRITE: Final[dict[str, Callable[[str, object], str]]] = {
    "asRaw": _raw,
    "asText": _text,
    "asAddresses": _addresses,
    "asGroupedAddresses": _grouped,
    "asMessageIds": _message_ids,
    "asDate": _date,
    "asURLs": _urls,
}
