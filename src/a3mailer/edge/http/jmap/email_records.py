"""Email records (RFC 8621 section 4.1): from rows, from what delivery made of a mail, or from its octets.

Properties that a list of mails shows come from rows and fragments; the octets are read, and no more of them
than the header where that is enough, for what is asked beyond.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

from a3mailer.access.account_mail import Email, merged
from a3mailer.access.blobs import name_of, name_of_part
from a3mailer.access.indexes import NOTHING, index_of
from a3mailer.access.labour import Labour
from a3mailer.access.signatures import Signature
from a3mailer.edge.http.jmap.method import Call
from a3mailer.edge.http.jmap.records import NEEDED, By, Property, Record
from a3mailer.mail.errors import DamagedContent, NoSuchMessage
from a3mailer.mail.flags import ANSWERED, DRAFT, FLAGGED, SEEN
from a3mailer.mail.ids import BlobId, EmailId
from a3mailer.mail.message import MessageIndex
from a3mailer.mail.message.enveloped import envelope_fields, strings, unquoted
from a3mailer.mail.message.packed import empty_fields_of
from a3mailer.mail.message.words import decode_words
from a3mailer.mail.objectids import EMAIL_LETTER, MAILBOX_LETTER, THREAD_LETTER, number_of, object_id
from a3mailer.store.rows import Fragments
from a3mailer.wire.jmap import header_forms
from a3mailer.wire.jmap.body_parts import DEFAULT, Body, leaves
from a3mailer.wire.jmap.header_forms import header_of, header_property
from a3mailer.wire.jmap.values import UTCDate, utc_date

ROWS: Final = frozenset(("id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt"))
"""Properties that the rows say."""
_FRAGMENTS: Final = frozenset(("preview", "hasAttachment"))
"""Properties that are said as they were stored."""
_PEOPLE: Final = {"from": 2, "to": 5, "cc": 6, "bcc": 7}
"""Places in ENVELOPE."""
REMEMBERED: Final = 2048
"""Envelopes whose properties are remembered."""
READ_SECONDS: Final = 60.0
"""What of the processor one /get may cost."""
_ENVELOPE: Final = frozenset((*_PEOPLE, "subject", "sentAt", "messageId", "inReplyTo"))
BODY: Final = frozenset(("bodyStructure", "bodyValues", "textBody", "htmlBody", "attachments"))
KEYWORDS: Final = {"$seen": SEEN, "$answered": ANSWERED, "$flagged": FLAGGED, "$draft": DRAFT}
"""System flags in the words of JMAP."""
_USUAL: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")


@dataclass(frozen=True, slots=True)
class Options:
    """What else Email/get and Email/parse are told (section 4.2)."""

    body_properties: tuple[str, ...] = DEFAULT
    text: bool = False
    html: bool = False
    all: bool = False
    most: int = 0


class EmailProperties(Mapping[str, Property]):
    """The properties of Email; those that name a header field are there without being listed."""

    def __init__(self, listed: Iterable[Property]) -> None:
        self._listed = {each.name: each for each in listed}

    def __getitem__(self, name: str) -> Property:
        if (found := self._listed.get(name)) is not None:
            return found
        if header_property(name) is None:
            raise KeyError(name)
        return Property(name, object, By.CREATOR, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


def same_values(given: object, known: Mapping[str, Record]) -> bool:
    """Are these body values of a mail, all or some, whole or as they were truncated (section 4.2)?"""
    return isinstance(given, dict) and all(
        isinstance(each, dict) and name in known and _same_value(each, known[name])
        for name, each in given.items()
    )


def _same_value(given: Record, known: Record) -> bool:
    value = given.get("value")
    if given.get("isTruncated") is True and isinstance(value, str) and known["value"].startswith(value):
        return given == {**known, "value": value, "isTruncated": True}
    return {**known, **given} == known


_CHANGED: Final = (
    Property("id", str),
    Property("mailboxIds", dict[str, bool], By.CLIENT, NEEDED, refers=True),
    Property("keywords", dict[str, bool], By.CLIENT, {}, told=False),  # section 4.6 lists what is
)
_GIVEN: Final = (
    Property("receivedAt", UTCDate | None, By.CREATOR, None),
    *[Property(name, object, By.CREATOR, None) for name in header_forms.CONVENIENCE],
    Property("bodyStructure", dict | None, By.CREATOR, None, shown=False),
    Property("bodyValues", dict, By.CREATOR, {}, same=same_values),
    *[Property(name, list | None, By.CREATOR, None) for name in ("textBody", "htmlBody", "attachments")],
)
_SIGNATURE: Final = (
    Property("smimeStatus", str | None, shown=False),
    Property("smimeStatusAtDelivery", str | None, shown=False),
    Property("smimeErrors", list | None, shown=False),
    Property("smimeVerifiedAt", UTCDate | None, shown=False),
)
SIGNATURE: Final = frozenset(each.name for each in _SIGNATURE)
"""Properties of RFC 9219 section 4.1."""
_MADE: Final = (
    *[Property(name, str) for name in ("blobId", "threadId", "preview")],
    Property("size", int),
    Property("hasAttachment", bool),
    Property("headers", list, shown=False),
    *_SIGNATURE,
)
PROPERTIES: Final = EmailProperties((*_CHANGED, *_GIVEN, *_MADE))
LISTED: Final = frozenset(PROPERTIES) - SIGNATURE
"""Properties that are what they are while the email is what it is."""


class ChangedProperties(EmailProperties):
    """The same for Email/set: only what always has a value is listed."""

    def __iter__(self) -> Iterator[str]:
        return iter(each.name for each in _CHANGED)


SETTABLE: Final = ChangedProperties((*_CHANGED, *_GIVEN, *_MADE))


async def read_emails(
    call: Call, ids: Sequence[str], properties: frozenset[str], options: Options
) -> dict[str, Record]:
    """Records of those that are there."""
    store, account = call.view, call.account.id
    numbers = [EmailId(number) for id in ids if (number := number_of(EMAIL_LETTER, id)) is not None]
    rows = await store.places(account, numbers)
    blobs = {int(row.email): row.blob for row in rows}
    emails = merged(rows)
    records = {
        object_id(EMAIL_LETTER, number): of_rows(email, blobs[number]) for number, email in emails.items()
    }
    further = properties - ROWS
    if not further:
        return records
    order = [EmailId(number) for number in numbers if number in emails]
    labour = Labour(call.services.clock, READ_SECONDS)
    looking = await call.services.signatures.asked(labour) if further & SIGNATURE else None
    for fragments in await store.fragments(account, order):
        record = records[object_id(EMAIL_LETTER, fragments.email)]
        if looking is not None:
            received = emails[fragments.email].date
            record.update(of_signature(await looking.of(account, fragments, received)))
        if wanted := add_stored(record, fragments, further - SIGNATURE):
            await add_read(call, record, fragments, wanted, options)
        await labour.step()
    return records


async def add_read(
    call: Call, record: Record, row: Fragments, wanted: frozenset[str], options: Options
) -> bool:
    """What is read from the octets; False: they are not there, or damaged, and it is what can be said."""
    index, whole = NOTHING, True
    try:
        index = await index_of(call.view, call.account.id, row)
        end = None if wanted & BODY else index.header_end
        octets = await call.view.octets(call.account.id, row.blob, 0, end)
    except (DamagedContent, NoSuchMessage):
        octets, whole = b"", False
        index = index._replace(parts=index.parts[:1], header_end=0)
    record.update(of_octets(octets, index, partial(name_of_part, row.blob), wanted, options))
    return whole


def add_stored(record: Record, row: Fragments, wanted: frozenset[str]) -> frozenset[str]:
    """What delivery has made; the properties that are still to be read from the octets."""
    record["preview"] = row.preview
    record["hasAttachment"] = row.has_attachment
    wanted -= _FRAGMENTS
    of_envelope = wanted & _ENVELOPE
    if of_envelope and (light := _of_stored(row, of_envelope)) is not None:
        record.update(light)
        wanted -= of_envelope
    return wanted


def of_rows(email: Email, blob: BlobId) -> Record:
    """What the rows say."""
    return {
        "id": object_id(EMAIL_LETTER, email.number),
        "blobId": name_of(blob),
        "threadId": object_id(THREAD_LETTER, email.thread),
        "mailboxIds": {object_id(MAILBOX_LETTER, number): True for number in email.mailboxes},
        "keywords": keywords_of(email.flags, email.keywords),
        "size": email.size,
        "receivedAt": utc_date(email.date),
    }


def of_signature(found: Signature) -> Record:
    """RFC 9219 section 4.1."""
    return {
        "smimeStatus": found.status,
        "smimeStatusAtDelivery": found.status_then,
        "smimeErrors": list(found.errors) or None,
        "smimeVerifiedAt": None if found.verified_at is None else utc_date(found.verified_at),
    }


def keywords_of(flags: int, keywords: str) -> dict[str, bool]:
    """The set of keywords."""
    found = {word: True for word, bit in KEYWORDS.items() if flags & bit}
    return found | dict.fromkeys(keywords.split(), True)


def _of_stored(row: Fragments, wanted: frozenset[str]) -> Record | None:
    return _of_envelope(row.envelope, wanted, empty_fields_of(row.index))


@lru_cache(REMEMBERED)
def _of_envelope(fragment: bytes, wanted: frozenset[str], empty: int) -> Record | None:
    """Properties that ENVELOPE says; None where it does not say all of them just so.

    ``empty``: the address fields that are there without an address, where ENVELOPE says NIL, too."""
    fields = envelope_fields(fragment)
    if len(fields) != 10:
        return None
    made: Record = {}
    for bit, (name, place) in enumerate(_PEOPLE.items()):
        if name in wanted:
            people = _people(fields[place])
            if people is None:
                return None
            made[name] = people or ([] if empty >> bit & 1 else None)
    if "subject" in wanted:
        subject = fields[1]
        made["subject"] = None if subject == b"NIL" else header_forms.text(unquoted(subject))
    if "sentAt" in wanted:
        made["sentAt"] = header_forms.date(unquoted(fields[0]))
    for name, place in (("inReplyTo", 8), ("messageId", 9)):
        if name in wanted:
            made[name] = header_forms.message_ids(unquoted(fields[place]))
    return made


def _people(element: bytes) -> list[dict[str, str | None]] | None:
    if element == b"NIL":
        return []
    found: list[dict[str, str | None]] = []
    four = iter(strings(element))
    for name, _route, local_part, domain in zip(*[four] * 4, strict=False):
        if not domain or not _USUAL.match(local_part):
            return None
        shown = unicodedata.normalize("NFC", decode_words(name)).strip() if name else ""
        spec = f"{local_part.decode()}@{domain.decode('utf-8', 'replace')}"
        found.append({"name": shown or None, "email": spec})
    return found


def of_octets(
    octets: bytes, index: MessageIndex, part_name: Any, wanted: Iterable[str], options: Options
) -> Record:
    """What the octets say; only the header of them is needed without properties of ``BODY``."""
    made: Record = {}
    wanted = frozenset(wanted)
    end = min(index.header_end, len(octets))
    if wanted.isdisjoint(BODY):
        fields = header_forms.fields_of(octets, 0, end)
    else:
        body = Body(octets, index.parts, part_name)
        fields = body.fields(0, end)
        made.update(_of_body(body, wanted & BODY, options))
    for name in wanted - BODY:
        header = header_of(name)
        if header is not None:
            made[name] = header_forms.value_of(header, fields)
        elif name == "headers":
            made[name] = header_forms.shown(fields)
    return made


def _of_body(body: Body, wanted: frozenset[str], options: Options) -> Record:
    made: Record = {}
    shown = {"textBody": body.views.text, "htmlBody": body.views.html, "attachments": body.views.attachments}
    for name in wanted:
        if name in shown:
            made[name] = body.list(shown[name], options.body_properties)
        elif name == "bodyStructure":
            made[name] = body.structure(options.body_properties)
        else:
            made[name] = _values(body, options)
    return made


def _values(body: Body, options: Options) -> Record:
    nodes = list(leaves(body.root)) if options.all else []
    nodes += body.views.text if options.text else []
    nodes += body.views.html if options.html else []
    unique = {node.id: node for node in nodes}
    return body.values(list(unique.values()), options.most)
