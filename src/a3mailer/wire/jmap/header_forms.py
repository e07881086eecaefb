"""Header fields in the forms of JMAP (RFC 8621 sections 4.1.2 and 4.1.3): raw, text, addresses, dates ...

    property = "header:" field-name [":as" form] [":all"]

Values are read tolerantly by ``mail.message``; nothing here raises on any octets of a mail.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from a3mailer.mail.message import addresses, dates, headers, identifiers
from a3mailer.mail.message.addresses import Address, Group
from a3mailer.mail.message.words import decode_words
from a3mailer.wire.jmap.values import utc_date

PREFIX: Final = "header:"
MAX_NAME: Final = 200
Field = tuple[str, bytes]
"""Name as written and value as written, without its line end."""

_NAME: Final = re.compile(r"[!-9;-~]{1,200}\Z")
_ZONE: Final = re.compile(rb"([+-])([01][0-9]|2[0-3])([0-5][0-9])(?:[ \t]*\(.*)?\Z", re.S)
_PEOPLE: Final = ("from", "sender", "reply-to", "to", "cc", "bcc")
ADDRESSES: Final = frozenset((*_PEOPLE, *[f"resent-{each}" for each in _PEOPLE]))
_IDENTIFIERS: Final = frozenset(("message-id", "in-reply-to", "references", "resent-message-id"))
_DATES: Final = frozenset(("date", "resent-date"))
_URLS: Final = frozenset(
    ("list-help", "list-unsubscribe", "list-subscribe", "list-post", "list-owner", "list-archive")
)
_TEXTS: Final = frozenset(("subject", "comments", "keywords"))
DEFINED: Final = ADDRESSES | _IDENTIFIERS | _DATES | _URLS | _TEXTS | {"return-path", "received"}
"""Fields of RFC 5322 and RFC 2369; every form is allowed for all others (List-Id is one: RFC 2919)."""


@dataclass(frozen=True, slots=True)
class HeaderProperty:
    """What a ``header:`` property asks for."""

    name: str
    """The field name as the client wrote it."""
    form: str
    """``asRaw`` or another name of ``FORMS``."""
    every: bool
    """Each instance, not the last alone."""

    @property
    def field(self) -> bytes:
        """The field name in lower case."""
        return self.name.lower().encode()


@lru_cache(1024)
def header_property(text: str) -> HeaderProperty | None:
    """A property of this name; None where it is none, or its form is not allowed for the field."""
    if not text.startswith(PREFIX):
        return None
    name, *suffixes = text[len(PREFIX) :].split(":")
    every = bool(suffixes) and suffixes[-1] == "all"
    if every:
        suffixes.pop()
    form = suffixes.pop(0) if suffixes else "asRaw"
    if suffixes or form not in FORMS or not _NAME.match(name):
        return None
    lower = name.lower()
    if form != "asRaw" and lower in DEFINED and lower not in FORMS[form].fields:
        return None
    return HeaderProperty(name, form, every)


def fields_of(octets: bytes, start: int, end: int) -> tuple[Field, ...]:
    """All fields of a header, in order."""
    found = []
    for _, value, stop in headers.fields(octets, start, end):
        line = max(octets.rfind(b"\n", start, value - 1) + 1, start)
        found.append((_utf8(octets[line : value - 1].rstrip(b" \t")), octets[value:stop]))
    return tuple(found)


def value_of(wanted: HeaderProperty, fields: Iterable[Field]) -> object:
    """The value of a property."""
    name = wanted.name.lower()
    made = [FORMS[wanted.form].read(value) for field, value in fields if field.lower() == name]
    if wanted.every:
        return made
    return made[-1] if made else None


# --- forms -------------------------------------------------------------------------------------------


def _utf8(octets: bytes) -> str:
    return octets.replace(b"\0", b"").decode("utf-8", "replace")


def raw(value: bytes) -> str:
    """Section 4.1.2.1."""
    return _utf8(value)


def text(value: bytes) -> str:
    """Section 4.1.2.2."""
    return unicodedata.normalize("NFC", decode_words(headers.unfold(value)))


def _person(address: Address) -> dict[str, str | None]:
    name = unicodedata.normalize("NFC", address.name).strip()
    return {"name": name or None, "email": address.addr_spec}


def people(value: bytes) -> list[dict[str, str | None]]:
    """Section 4.1.2.3."""
    return [_person(each) for each in addresses.parse_mailboxes(headers.unfold(value))]


def grouped(value: bytes) -> list[dict[str, object]]:
    """Section 4.1.2.4."""
    found: list[dict[str, object]] = []
    alone: list[dict[str, str | None]] = []
    for entry in addresses.parse(headers.unfold(value)):
        if isinstance(entry, Group):
            if alone:
                found.append({"name": None, "addresses": alone})
                alone = []
            found.append({"name": entry.name, "addresses": [_person(each) for each in entry.members]})
        else:
            alone.append(_person(entry))
    if alone:
        found.append({"name": None, "addresses": alone})
    return found


def message_ids(value: bytes) -> list[str] | None:
    """Section 4.1.2.5."""
    return [_utf8(each) for each in identifiers.identifiers(headers.unfold(value))] or None


def date(value: bytes) -> str | None:
    """Section 4.1.2.6; with the zone it was written in, where that is a number."""
    unfolded = headers.unfold(value)
    seconds = dates.parse(unfolded)
    if seconds is None:
        return None
    zone = _ZONE.search(unfolded)
    if zone is None:
        return utc_date(seconds)
    sign, hours, minutes = zone.groups()
    offset = (int(hours) * 60 + int(minutes)) * (-1 if sign == b"-" else 1)
    if not offset:
        return utc_date(seconds)
    return f"{utc_date(seconds + 60 * offset)[:-1]}{sign.decode()}{hours.decode()}:{minutes.decode()}"


# list-header = *( [comment] "<" URL ">" [comment] "," )
def urls(value: bytes) -> list[str] | None:
    """Section 4.1.2.7."""
    pieces = headers.unfold(value).split(b"<")[1:]
    found = [piece.partition(b">") for piece in pieces]
    return [_utf8(b"".join(url.split())) for url, closed, _ in found if closed and url.strip()] or None


@dataclass(frozen=True, slots=True)
class Form:
    """One form."""

    read: Callable[[bytes], object]
    fields: frozenset[str] = frozenset()
    """Those of ``DEFINED`` that it is allowed for."""


FORMS: Final = {
    "asRaw": Form(raw),
    "asText": Form(text, _TEXTS),
    "asAddresses": Form(people, ADDRESSES),
    "asGroupedAddresses": Form(grouped, ADDRESSES),
    "asMessageIds": Form(message_ids, _IDENTIFIERS),
    "asDate": Form(date, _DATES),
    "asURLs": Form(urls, _URLS),
}
CONVENIENCE: Final = {
    "messageId": HeaderProperty("Message-ID", "asMessageIds", False),
    "inReplyTo": HeaderProperty("In-Reply-To", "asMessageIds", False),
    "references": HeaderProperty("References", "asMessageIds", False),
    "sender": HeaderProperty("Sender", "asAddresses", False),
    "from": HeaderProperty("From", "asAddresses", False),
    "to": HeaderProperty("To", "asAddresses", False),
    "cc": HeaderProperty("Cc", "asAddresses", False),
    "bcc": HeaderProperty("Bcc", "asAddresses", False),
    "replyTo": HeaderProperty("Reply-To", "asAddresses", False),
    "subject": HeaderProperty("Subject", "asText", False),
    "sentAt": HeaderProperty("Date", "asDate", False),
}
"""Section 4.1.3: properties that are short for others."""


def header_of(name: str) -> HeaderProperty | None:
    """The header field that a property of Email stands for."""
    return CONVENIENCE.get(name) or header_property(name)


def shown(fields: Sequence[Field]) -> list[dict[str, str]]:
    """EmailHeader objects."""
    return [{"name": name, "value": raw(value)} for name, value in fields]
