"""Email (RFC 8621 section 4): get, changes, query, queryChanges, set, copy, import, parse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import msgspec

from a3mailer.access.account_changes import changes_since, emails_changed
from a3mailer.access.blobs import name_of_part, read_name
from a3mailer.edge.http.jmap import email_changing as changing
from a3mailer.edge.http.jmap import email_query as querying
from a3mailer.edge.http.jmap.capabilities import MAIL, SMIME
from a3mailer.edge.http.jmap.email_listed import is_listed, listed
from a3mailer.edge.http.jmap.email_records import (
    PROPERTIES,
    SETTABLE,
    SIGNATURE,
    Options,
    of_octets,
    read_emails,
)
from a3mailer.edge.http.jmap.limits import MAX_OBJECTS_IN_GET, MAX_OBJECTS_IN_SET
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.records import (
    Changes,
    Comparator,
    Created,
    Destroyed,
    Property,
    Record,
    Results,
    Update,
    Updated,
)
from a3mailer.edge.http.jmap.replies import set_error
from a3mailer.edge.http.jmap.standard.changes import Changes as ChangesMethod
from a3mailer.edge.http.jmap.standard.copy import Copy
from a3mailer.edge.http.jmap.standard.get import Get, GetArguments, get, meant, properties_of, too_many
from a3mailer.edge.http.jmap.standard.query import (
    Query,
    QueryArguments,
    QueryChanges,
    QueryChangesArguments,
)
from a3mailer.edge.http.jmap.standard.set import Set, told
from a3mailer.edge.http.jmap.states import as_changes, since_of, state_of, told_since
from a3mailer.mail.errors import DamagedContent, MailError, NoSuchMessage
from a3mailer.mail.message import dates
from a3mailer.mail.message.headers import fields, first
from a3mailer.mail.objectids import EMAIL_LETTER, object_id
from a3mailer.wire.jmap.body_parts import DEFAULT, is_property
from a3mailer.wire.jmap.errors import MethodError, SetError, invalid_arguments, invalid_properties
from a3mailer.wire.jmap.values import Id, UnsignedInt

SHOWN: Final = frozenset(
    ("id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "messageId", "inReplyTo",
     "references", "sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt", "hasAttachment",
     "preview", "bodyValues", "textBody", "htmlBody", "attachments")
)  # fmt: skip
"""Properties that Email/get returns where none are named (section 4.2)."""
PARSED: Final = SHOWN - {"id", "threadId", "mailboxIds", "keywords", "receivedAt", "blobId", "size"}
"""Those of Email/parse (section 4.9)."""
IMPORTED: Final = frozenset(("blobId", "mailboxIds", "keywords", "receivedAt"))
_COPIED: Final = frozenset(("id", "mailboxIds", "keywords", "receivedAt"))


@dataclass(frozen=True, slots=True)
class Emails:
    """The type."""

    options: Options = Options()  # noqa: RUF009
    collapse: bool = False
    name: str = "Email"
    capability: str = MAIL
    action: str = "message.read"
    change_action: str = "message.append"
    singleton: bool = False
    condition: type[msgspec.Struct] = querying.Condition
    sorts: frozenset[str] = querying.SORTS

    @property
    def properties(self) -> Mapping[str, Property]:
        return PROPERTIES

    async def state(self, call: Call) -> str:
        return await state_of(call.services, call.account)

    async def ids(self, call: Call, most: int) -> Sequence[str]:
        mail = await call.mail.of(call.account.id)
        if len(mail.emails) > most:
            raise too_many(most)
        return [object_id(EMAIL_LETTER, number) for number in mail.emails]

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        return await read_emails(call, ids, properties, self.options)

    async def changes(self, call: Call, since: str, most: int) -> Changes:
        view, account = call.view, call.account.id
        told = await told_since(call.account, since, lambda state: emails_changed(view, account, state, most))
        return as_changes(call.account, told, EMAIL_LETTER)

    async def query(self, call: Call, filter: Any, sort: Sequence[Comparator]) -> Results:
        return await querying.results(call, filter, sort, collapse=self.collapse)


class WithThreads(Emails):
    """As /queryChanges sees it where an email's place depends on its thread: all of it changes at once."""

    async def changes(self, call: Call, since: str, most: int) -> Changes:
        found = await Emails.changes(self, call, since, most)
        account = call.account.id
        rows = await changes_since(call.view, account, since_of(call.account, since))
        threads = {row.thread for row in rows.changed} | {row.thread for row in rows.gone}
        mail = await call.mail.of(account)
        beside = {mail.emails[at] for thread in threads for at in mail.members(thread)}
        known = {*found.created, *found.updated}
        more = [id for number in sorted(beside) if (id := object_id(EMAIL_LETTER, number)) not in known]
        return replace(found, updated=[*found.updated, *more])


@dataclass(frozen=True, slots=True)
class ChangedEmails(Emails):
    """As Email/set and Email/copy see it."""

    @property
    def properties(self) -> Mapping[str, Property]:
        return SETTABLE

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        return await read_emails(call, ids, properties, Options(all="bodyValues" in properties))

    async def create(self, call: Call, records: Mapping[str, Record]) -> Created:
        boxes = await changing.boxes_of(call, call.account)
        made: dict[str, Record | SetError] = {}
        for key, record in records.items():
            try:
                made[key] = await changing.create(call, record, boxes)
            except SetError as error:
                made[key] = error
            except MailError as error:
                made[key] = set_error(error)
        return made

    async def update(self, call: Call, updates: Mapping[str, Update]) -> Updated:
        return await changing.update(call, updates)

    async def destroy(self, call: Call, ids: Sequence[str]) -> Destroyed:
        return await changing.destroy(call, ids)

    async def state_of_source(self, call: Call) -> str:
        return await state_of(call.services, call.source)

    async def copy(self, call: Call, records: Mapping[str, Record]) -> Created:
        boxes = await changing.boxes_of(call, call.account)
        made: dict[str, Record | SetError] = {}
        for key, record in records.items():
            try:
                made[key] = await self._copy(call, record, boxes)
            except SetError as error:
                made[key] = error
            except MailError as error:
                made[key] = set_error(error)
        return made

    async def _copy(self, call: Call, record: Record, boxes: Any) -> Record:
        if wrong := sorted(record.keys() - _COPIED):
            raise invalid_properties(*wrong)
        source = replace_account(call)
        found = await read_emails(source, [record["id"]], SETTABLE_NAMES, Options())
        if record["id"] not in found:
            raise SetError("notFound")
        before = found[record["id"]]
        octets = await source.blobs.octets(call.source.id, before["blobId"])
        kept = {name: before[name] for name in ("keywords", "receivedAt")}
        return await changing.append(call, octets, changing.filing_of(kept | record, boxes), boxes)


SETTABLE_NAMES: Final = frozenset(("id", "blobId", "keywords", "receivedAt"))


def replace_account(call: Call) -> Call:
    """A call about the account that is copied from."""
    return Call(call.exchange, call.source)


# --- get ---------------------------------------------------------------------------------------------


class EmailGetArguments(GetArguments, frozen=True, kw_only=True, rename="camel"):
    """Section 4.2."""

    body_properties: tuple[str, ...] | None = None
    fetch_text_body_values: bool = False
    fetch_html_body_values: bool = msgspec.field(default=False, name="fetchHTMLBodyValues")
    fetch_all_body_values: bool = False
    max_body_value_bytes: UnsignedInt = 0


def options_of(arguments: Any) -> Options:
    """Errors: MethodError (``invalidArguments``)."""
    wanted = DEFAULT if arguments.body_properties is None else arguments.body_properties
    if unknown := [name for name in wanted if not is_property(name)]:
        raise invalid_arguments(f"a part has no property {unknown[0][:100]}")
    return Options(
        tuple(dict.fromkeys(wanted)),
        arguments.fetch_text_body_values,
        arguments.fetch_html_body_values,
        arguments.fetch_all_body_values,
        arguments.max_body_value_bytes,
    )


class EmailGet(Get):
    """Email/get."""

    async def run(self, call: Call, arguments: Any) -> dict[str, object]:
        wanted = SHOWN if arguments.properties is None else properties_of(EMAILS, arguments.properties)
        if wanted & SIGNATURE and SMIME not in call.exchange.using:
            raise invalid_arguments(f"{min(wanted & SIGNATURE)} needs {SMIME} in using")
        options = options_of(arguments)
        ids, lost = meant(call, arguments.ids)
        told = await self._told(call, ids, wanted, options)
        return {**told, "notFound": [*told["notFound"], *lost]}

    async def _told(
        self, call: Call, ids: Sequence[str] | None, wanted: frozenset[str], options: Options
    ) -> dict[str, Any]:
        if ids is not None and len(ids) <= MAX_OBJECTS_IN_GET and is_listed(wanted, options):
            mail = await call.mail.known(call.account.id)
            if mail is not None:
                return await listed(call, mail, ids, wanted)
        return await get(replace(EMAILS, options=options), call, ids, wanted)


# --- query -------------------------------------------------------------------------------------------


class EmailQueryArguments(QueryArguments, frozen=True, kw_only=True, rename="camel"):
    """Section 4.4."""

    collapse_threads: bool = False


class EmailQueryChangesArguments(QueryChangesArguments, frozen=True, kw_only=True, rename="camel"):
    """Section 4.5."""

    collapse_threads: bool = False


class EmailQuery(Query):
    """Email/query."""

    async def run(self, call: Call, arguments: Any) -> dict[str, object]:
        return await Query(replace(EMAILS, collapse=arguments.collapse_threads)).run(call, arguments)


class EmailQueryChanges(QueryChanges):
    """Email/queryChanges."""

    async def run(self, call: Call, arguments: Any) -> dict[str, object]:
        records = replace(EMAILS, collapse=arguments.collapse_threads)
        asked = msgspec.json.encode((arguments.filter, arguments.sort))
        if arguments.collapse_threads or b"InThreadHaveKeyword" in asked:
            records = WithThreads(collapse=arguments.collapse_threads)
        return await QueryChanges(records).run(call, arguments)


# --- import ------------------------------------------------------------------------------------------


class ImportArguments(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Section 4.8."""

    account_id: Id
    emails: dict[Id, dict[str, Any]]
    if_in_state: str | None = None


@dataclass(frozen=True, slots=True)
class EmailImport:
    """Email/import."""

    name: str = "Email/import"
    capability: str = MAIL
    action: str = "message.append"
    writes: bool = True
    form: type[msgspec.Struct] = ImportArguments

    async def run(self, call: Call, arguments: ImportArguments) -> dict[str, object]:
        if len(arguments.emails) > MAX_OBJECTS_IN_SET:
            raise too_many(MAX_OBJECTS_IN_SET)
        state = await EMAILS.state(call)
        if arguments.if_in_state is not None and arguments.if_in_state != state:
            raise MethodError("stateMismatch", f"the state is {state}")
        boxes = await changing.boxes_of(call, call.account)
        made: dict[str, Record] = {}
        wrong: dict[str, SetError] = {}
        for key, given in arguments.emails.items():
            try:
                made[key] = await _import(call, given, boxes)
                call.exchange.created_ids[key] = made[key]["id"]
            except SetError as error:
                wrong[key] = error
            except MailError as error:
                wrong[key] = set_error(error)
        return {
            "accountId": call.account.key,
            "oldState": state,
            "newState": await EMAILS.state(call),
            "created": made or None,
            "notCreated": told(wrong),
        }


async def _import(call: Call, given: Record, boxes: Any) -> Record:
    real = call.exchange.real
    if isinstance(given.get("mailboxIds"), dict):
        given = {**given, "mailboxIds": {real(id) or id: value for id, value in given["mailboxIds"].items()}}
    octets = await _blob(call, given)
    (_, octets), filing = changing.together(
        lambda: _of_import(given, octets), lambda: changing.filing_of(given, boxes)
    )
    if not is_mail(octets):
        raise SetError("invalidEmail", "that is no mail: it has no header")
    octets = await changing.with_line_ends(octets)
    if not filing.date:
        filing = replace(filing, date=received(octets) or 0)
    return await changing.append(call, octets, filing, boxes)


async def _blob(call: Call, given: Record) -> bytes | None:
    """The octets that are to be imported; None: there are none of that name."""
    name = given.get("blobId")
    name = call.exchange.real(name) if isinstance(name, str) else None
    try:
        return None if name is None else await call.blobs.octets(call.account.id, name)
    except (NoSuchMessage, DamagedContent):
        return None


def _of_import(given: Record, octets: bytes | None) -> list[Any]:
    """Errors: SetError."""

    def known() -> None:
        if wrong := sorted(given.keys() - IMPORTED):
            raise invalid_properties(*wrong)

    def there() -> bytes:
        if octets is None:
            raise invalid_properties("blobId", because="there is no such blob")
        return octets

    return changing.together(known, there)


def received(octets: bytes) -> int | None:
    """When the newest Received field says that it was written (RFC 5321 section 4.4)."""
    value = first(octets, 0, min(len(octets), 65_536), b"received")
    return None if value is None else dates.parse(value.rpartition(b";")[2].strip())


def is_mail(octets: bytes) -> bool:
    """Whether octets have a header at all."""
    return next(fields(octets, 0, min(len(octets), 65_536)), None) is not None


# --- parse -------------------------------------------------------------------------------------------


class ParseArguments(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Section 4.9."""

    account_id: Id
    blob_ids: tuple[Id, ...]
    properties: tuple[str, ...] | None = None
    body_properties: tuple[str, ...] | None = None
    fetch_text_body_values: bool = False
    fetch_html_body_values: bool = msgspec.field(default=False, name="fetchHTMLBodyValues")
    fetch_all_body_values: bool = False
    max_body_value_bytes: UnsignedInt = 0


@dataclass(frozen=True, slots=True)
class EmailParse:
    """Email/parse."""

    name: str = "Email/parse"
    capability: str = MAIL
    action: str = "message.read"
    writes: bool = False
    form: type[msgspec.Struct] = ParseArguments

    async def run(self, call: Call, arguments: ParseArguments) -> dict[str, object]:
        names = tuple(dict.fromkeys(arguments.blob_ids))
        if len(names) > MAX_OBJECTS_IN_GET:
            raise too_many(MAX_OBJECTS_IN_GET)
        wanted = PARSED
        if arguments.properties is not None:
            wanted = properties_of(EMAILS, arguments.properties) - {"id"} | set(arguments.properties)
            if wanted & SIGNATURE:
                raise invalid_arguments("the signature of an email that is nowhere is not looked at")
        options = options_of(arguments)
        parsed: dict[str, Record] = {}
        lost: list[str] = []
        not_mails: list[str] = []
        for name in names:
            try:
                octets = await call.blobs.octets(call.account.id, name)
            except (NoSuchMessage, DamagedContent):
                lost.append(name)
                continue
            if is_mail(octets):
                parsed[name] = await _parsed(call, name, octets, wanted, options)
            else:
                not_mails.append(name)
        return {
            "accountId": call.account.key,
            "parsed": parsed or None,
            "notParsable": not_mails or None,
            "notFound": lost or None,
        }


async def _parsed(call: Call, name: str, octets: bytes, wanted: frozenset[str], options: Options) -> Record:
    index = await changing.indexed(octets)
    found = read_name(name)
    if found is not None:
        blob, offset = found.blob, found.start
    if found is None or found.coding != b"7bit":  # what is inside has no name of its own in what is stored
        most = call.services.settings().jmap.upload_quota
        account = call.account
        stored = await call.blobs.upload(account.id, account.tenant, call.principal.account, octets, most)
        again = read_name(stored)
        assert again is not None
        blob, offset = again.blob, 0
    part_name = partial(_name_of_part, blob, offset)
    record = of_octets(octets, index, part_name, wanted, options)
    record |= {"preview": index.preview, "hasAttachment": index.has_attachment}
    record |= {"blobId": name, "size": len(octets)}
    unknown = dict.fromkeys(("id", "threadId", "mailboxIds", "keywords", "receivedAt"))
    return {each: (unknown | record).get(each) for each in wanted}


def _name_of_part(blob: Any, offset: int, start: int, stop: int, encoding: bytes) -> str:
    return name_of_part(blob, offset + start, offset + stop, encoding)


EMAILS: Final = Emails()
CHANGED: Final = ChangedEmails()
METHODS: Final[tuple[Method, ...]] = (
    EmailGet(EMAILS, EmailGetArguments),
    ChangesMethod(EMAILS),
    EmailQuery(EMAILS, EmailQueryArguments),
    EmailQueryChanges(EMAILS, EmailQueryChangesArguments),
    Set(CHANGED),
    Copy(CHANGED),
    EmailImport(),
    EmailParse(),
)
