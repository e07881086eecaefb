"""EmailSubmission (RFC 8621 section 7): mails leave as by SMTP submission, held and undone where asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import structs

from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.capabilities import MAIL, SUBMISSION
from a3mailer.edge.http.jmap.email_records import Options, read_emails
from a3mailer.edge.http.jmap.kept import Kept, commit, forget, kept, put
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.methods.identity import identities
from a3mailer.edge.http.jmap.notifications import Notification, blobs, envelope_id, notifications
from a3mailer.edge.http.jmap.records import (
    By,
    Changes,
    Comparator,
    Created,
    Destroyed,
    Listed,
    Property,
    Record,
    Results,
    Update,
    Updated,
    fits,
    table,
)
from a3mailer.edge.http.jmap.replies import set_error
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.jmap.standard.changes import Changes as ChangesMethod
from a3mailer.edge.http.jmap.standard.get import Get
from a3mailer.edge.http.jmap.standard.query import Query, QueryChanges
from a3mailer.edge.http.jmap.standard.set import Set, SetArguments, change
from a3mailer.mail.errors import Conflict, MailError, NoSuchThing, NotAllowed, TooLarge, TooMany
from a3mailer.mail.message.headers import header_end
from a3mailer.mail.message.index import glance
from a3mailer.transfer.applications.submitting import BadRecipients, Path
from a3mailer.transfer.outcomes import KEPT_DAYS, Outcome, new_id, outcomes_of
from a3mailer.transfer.submission import check_authors
from a3mailer.wire.jmap.errors import SetError, invalid_arguments, invalid_properties
from a3mailer.wire.jmap.header_forms import fields_of, people
from a3mailer.wire.jmap.values import Id, Ref, UTCDate, read_date, utc_date

KIND: Final = "submission"
DAY: Final = 86_400
_REPLY: Final = re.compile(r"[2-5][0-9]{2} ")
_PARAMETER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
_ADDRESS: Final = re.compile(r"[^\x00-\x1f<>\x7f]*\Z")
_SYNTHETIC: Final = {
    "accepted": "250 2.1.5 in the queue",
    "delivered": "250 2.1.5",
    "forwarded": "250 2.1.5",
    "deferred": "450 4.0.0",
    "bounced": "550 5.0.0",
    "complained": "250 2.1.5",
}


async def submissions(services: Services, account: Account) -> Kept:
    """All of an account, with what became of each."""
    found = await kept(services, account.id, KIND)
    touched, further = dict(found.touched), {}
    now = services.clock.now()
    for id, record in found.records.items():
        record["undoStatus"] = "canceled" if record["canceled"] else _undo(record, now)
        further[id] = record["undoStatus"]
        if record["undoStatus"] == "final":
            touched[id] = max(touched.get(id, 0), read_date(record["sendAt"]))
    rows = await services.store.documents(account.id, "outcome", limit=10_000)
    for row in rows:
        id = "S" + row.name.partition("/")[0]
        if id in found.records:
            touched[id] = max(touched[id], row.created)
            further[id] += f"{row.name} {row.value}"
    for id, about in (await _notified(services, account, found.records)).items():
        record = found.records[id]
        record["dsnBlobIds"], record["mdnBlobIds"] = (
            blobs(about, disposition=each) for each in (False, True)
        )
        further[id] += "".join(each.blob for each in about)
        touched[id] = max(touched[id], *(each.at for each in about))
    return replace(found, touched=touched, further=further)


async def _notified(
    services: Services, account: Account, records: Mapping[str, Record]
) -> dict[str, list[Notification]]:
    """By submission, the notifications that came for it, where any did."""
    sent = {id: read_date(record["sendAt"]) for id, record in records.items()}
    if not sent:
        return {}
    found: dict[str, list[Notification]] = {}
    for each in await notifications(services, account.id, min(sent.values())):
        for id, record in records.items():
            if each.is_about(envelope_id(record["envelope"]), record.get("messageId", ""), sent[id]):
                found.setdefault(id, []).append(each)
    return found


def _undo(record: Record, now: float) -> str:
    return "pending" if read_date(record["sendAt"]) > now else "final"


async def state(services: Services, account: Account) -> str:
    """Of all submissions."""
    return (await submissions(services, account)).state


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A FilterCondition (section 7.3)."""

    identity_ids: tuple[Id, ...] | None = None
    email_ids: tuple[Id, ...] | None = None
    thread_ids: tuple[Id, ...] | None = None
    undo_status: str | None = None
    before: UTCDate | None = None
    after: UTCDate | None = None


@dataclass(frozen=True, slots=True)
class Submissions:
    """The type."""

    name: str = "EmailSubmission"
    capability: str = SUBMISSION
    action: str = "smtp.submit"
    change_action: str = "smtp.submit"
    singleton: bool = False
    condition: type[msgspec.Struct] = Condition
    sorts: frozenset[str] = frozenset(("emailId", "threadId", "sentAt", "sendAt"))

    @property
    def properties(self) -> Mapping[str, Property]:
        return PROPERTIES

    async def state(self, call: Call) -> str:
        return await state(call.services, call.account)

    # --- reading -----------------------------------------------------------------------------------

    async def ids(self, call: Call, most: int) -> Sequence[str]:
        return sorted((await submissions(call.services, call.account)).records)

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        found = (await submissions(call.services, call.account)).records
        made: dict[str, Record] = {}
        for id in ids:
            if id in found:
                made[id] = {"dsnBlobIds": [], "mdnBlobIds": [], **found[id], "id": id}
                if "deliveryStatus" in properties:
                    made[id]["deliveryStatus"] = await _delivery(call, id)
        return made

    async def changes(self, call: Call, since: str, most: int) -> Changes:
        found = await submissions(call.services, call.account)
        return found.changes(since, most, int(call.services.clock.now()))

    async def query(self, call: Call, filter: Any, sort: Sequence[Comparator]) -> Results:
        found = await submissions(call.services, call.account)
        matching = sorted(
            id for id, record in found.records.items() if fits(filter, partial(_matches, record))
        )
        for one in reversed(sort):
            name = "sendAt" if one.property == "sentAt" else one.property
            keys = {id: str(found.records[id][name]) for id in matching}
            matching.sort(key=keys.__getitem__, reverse=not one.is_ascending)
        return Listed(matching, found.state)

    # --- changing ----------------------------------------------------------------------------------

    async def create(self, call: Call, records: Mapping[str, Record]) -> Created:
        made: dict[str, Record | SetError] = {}
        for key, record in records.items():
            try:
                made[key] = await _submit(call, record)
            except SetError as error:
                made[key] = error
            except MailError as error:
                made[key] = _refused(call, error)
        return made

    async def update(self, call: Call, updates: Mapping[str, Update]) -> Updated:
        done: dict[str, Record | SetError | None] = {}
        for id, update in updates.items():
            wanted, before = update.changed.get("undoStatus"), update.record["undoStatus"]
            if wanted is None or wanted == before:
                done[id] = None
            elif wanted != "canceled":
                done[id] = invalid_properties("undoStatus", because="it may become canceled")
            else:
                done[id] = await _undone(call, id)
        return done

    async def destroy(self, call: Call, ids: Sequence[str]) -> Destroyed:
        there = (await submissions(call.services, call.account)).records
        done: dict[str, SetError | None] = {}
        for id in ids:
            done[id] = None if id in there else SetError("notFound")
            if id in there:
                await commit(call, forget(call, KIND, id))
        return done


# --- sending -----------------------------------------------------------------------------------------


async def _submit(call: Call, record: Record) -> Record:
    services, account = call.services, call.account
    known = await identities(services, account)
    if record["identityId"] not in known.records:
        raise invalid_properties("identityId", because="there is no such identity")
    wanted = frozenset(("blobId", "threadId"))
    email = (await read_emails(call, [record["emailId"]], wanted, Options())).get(record["emailId"])
    if email is None:
        raise invalid_properties("emailId", because="there is no such email")
    octets = await services.blobs.octets(account.id, email["blobId"])
    identity = known.records[record["identityId"]]["email"]
    sender, recipients, shown = _envelope(record["envelope"], octets, identity)
    if not recipients:
        raise SetError("noRecipients")
    submitting = services.submitting
    client = structs.replace(call.exchange.client, account=account.id)
    header = octets[: header_end(octets, 0, len(octets))]
    try:
        await check_authors(header, account.id, submitting.directory)
    except NotAllowed as error:
        raise SetError("forbiddenFrom", str(error)) from error
    try:
        envelope = submitting.envelope(client, sender, recipients, octets)
    except NotAllowed as error:
        raise invalid_properties("envelope/mailFrom", because=str(error)) from error
    path = envelope.reverse_path.address
    if path is not None and not await submitting.directory.owns(account.id, path):
        raise SetError("forbiddenMailFrom", "the address is not yours")
    now = int(services.clock.now())
    number = new_id()
    kept_record = {
        "identityId": record["identityId"],
        "emailId": record["emailId"],
        "threadId": email["threadId"],
        "envelope": shown,
        "messageId": glance(octets).message_id.decode("utf-8", "replace"),
        "sendAt": utc_date(envelope.not_before or now),
        "canceled": False,
        "made": now,
    }
    beside = put(call, KIND, f"S{number}", kept_record, max(now, envelope.not_before) + KEPT_DAYS * DAY)
    await submitting(client, number, envelope, octets, (beside,))
    return {
        "id": f"S{number}",
        "threadId": email["threadId"],
        "sendAt": kept_record["sendAt"],
        "undoStatus": _undo(kept_record, now),
        "envelope": shown,
        "deliveryStatus": await _delivery(call, f"S{number}"),
        "dsnBlobIds": [],
        "mdnBlobIds": [],
    }


def _envelope(given: Any, octets: bytes, identity: str) -> tuple[Path, list[Path], Record]:
    """The paths, and the envelope as it is told. Errors: SetError, BadRecipients."""
    return _of_header(octets, identity) if given is None else _of_client(given)


def _of_client(given: Any) -> tuple[Path, list[Path], Record]:
    if not isinstance(given, dict) or set(given) != {"mailFrom", "rcptTo"}:
        raise invalid_properties("envelope", because="an envelope has mailFrom and rcptTo")
    if not isinstance(given["rcptTo"], list):
        raise invalid_properties("envelope/rcptTo", because="rcptTo is a list")
    sender = _path(given["mailFrom"], "envelope/mailFrom")
    if not _ADDRESS.match(sender.address):
        raise invalid_properties("envelope/mailFrom/email", because="that is no mail address")
    paths = [_path(each, f"envelope/rcptTo/{at}") for at, each in enumerate(given["rcptTo"])]
    if wrong := [each.address for each in paths if not _ADDRESS.match(each.address)]:
        raise BadRecipients(wrong)
    mail_from, *rcpt_to = ({"parameters": None, **each} for each in (given["mailFrom"], *given["rcptTo"]))
    return sender, paths, {"mailFrom": mail_from, "rcptTo": rcpt_to}


def _of_header(octets: bytes, identity: str) -> tuple[Path, list[Path], Record]:
    fields = fields_of(octets, 0, header_end(octets, 0, len(octets)))
    found: dict[str, list[str]] = {}
    for name, value in fields:
        addresses = [each["email"] for each in people(value) if each["email"]]
        found.setdefault(name.lower(), []).extend(address for address in addresses if address)
    authors = found.get("sender") or found.get("from") or []
    if not found.get("from"):
        raise SetError("invalidEmail", "it has no author", properties=["from"])
    if len(found.get("sender", ())) > 1 or (len(found["from"]) > 1 and not found.get("sender")):
        raise SetError("invalidEmail", "it has several senders", properties=["sender", "from"])
    everyone = dict.fromkeys(each for name in ("to", "cc", "bcc") for each in found.get(name, ()))
    sender = authors[0] if authors[0].lower() == identity.lower() else identity
    shown = {
        "mailFrom": {"email": sender, "parameters": None},
        "rcptTo": [{"email": each, "parameters": None} for each in everyone],
    }
    return Path(sender), [Path(each) for each in everyone], shown


def _path(given: Any, where: str) -> Path:
    """An Address object, its address as it is. Errors: SetError."""
    if not isinstance(given, dict) or not set(given) <= {"email", "parameters"}:
        raise invalid_properties(where, because="an address has email and parameters")
    email, parameters = given.get("email"), given.get("parameters")
    if not isinstance(email, str):
        raise invalid_properties(f"{where}/email", because="an address is a text")
    if not (parameters is None or isinstance(parameters, dict)):
        raise invalid_properties(f"{where}/parameters", because="parameters are an object")
    words = ""
    for name, value in (parameters or {}).items():
        named = f"{where}/parameters/{name[:100]}"
        if not _PARAMETER.match(name) or not (value is None or isinstance(value, str)):
            raise invalid_properties(named, because="a parameter is a word and a text")
        words += f" {name}" if value is None else f" {name}={_written(name.upper(), value, named)}"
    return Path(email, words)


def _written(name: str, value: str, path: str) -> str:
    """A value as SMTP writes it: ENVID and ORCPT in xtext (RFC 3461 section 4)."""
    if name == "ORCPT":
        kind, semicolon, address = value.partition(";")
        return f"{kind}{semicolon}{_xtext(address)}"
    if name == "ENVID":
        return _xtext(value)
    if not value or not all("!" <= letter <= "~" and letter != "=" for letter in value):
        raise invalid_properties(path, because="that is no value of a parameter")
    return value


def _xtext(text: str) -> str:
    return "".join(chr(o) if 33 <= o <= 126 and o not in b"+=" else f"+{o:02X}" for o in text.encode())


def _refused(call: Call, error: MailError) -> SetError:
    submitting = call.services.submitting
    if isinstance(error, BadRecipients):
        return SetError("invalidRecipients", invalidRecipients=list(error.addresses))
    if isinstance(error, TooLarge):
        return SetError("tooLarge", maxSize=call.services.settings().smtp.size)
    if isinstance(error, TooMany) and "recipients" in str(error):
        return SetError("tooManyRecipients", maxRecipients=submitting.most_recipients)
    if isinstance(error, NotAllowed):
        return SetError("forbiddenToSend", str(error))
    return set_error(error)


async def _undone(call: Call, id: str) -> SetError | None:
    submitting, account = call.services.submitting, call.account.id
    queue = await submitting.waiting(account, id[1:])
    record = (await kept(call.services, account, KIND)).records.get(id)
    if queue is None or record is None:
        return SetError("cannotUnsend", "it has left, or is leaving")
    expires = int(call.services.clock.now()) + KEPT_DAYS * DAY
    try:
        await submitting.recall(queue, (put(call, KIND, id, {**record, "canceled": True}, expires),))
    except (NoSuchThing, Conflict):
        return SetError("cannotUnsend", "it has left, or is leaving")
    except MailError as error:
        return _refused(call, error)
    return None


# --- what became of it -------------------------------------------------------------------------------


async def _delivery(call: Call, id: str) -> Record:
    outcomes = await outcomes_of(call.services.store, call.account.id, id[1:])
    return {address: _status(outcome) for address, outcome in outcomes.items()}


def _status(outcome: Outcome) -> Record:
    words = " ".join(outcome.text.split())
    reply = words if _REPLY.match(words) else f"{_SYNTHETIC.get(outcome.state, '250 2.0.0')} {words}".strip()
    delivered = {"accepted": "queued", "deferred": "queued", "bounced": "no"}.get(outcome.state, "unknown")
    if outcome.state == "delivered" and not outcome.host:
        delivered = "yes"
    return {"smtpReply": reply, "delivered": delivered, "displayed": "unknown"}


def _matches(record: Record, filter: Any) -> bool:
    at = read_date(record["sendAt"])
    return all(
        (
            filter.identity_ids is None or record["identityId"] in filter.identity_ids,
            filter.email_ids is None or record["emailId"] in filter.email_ids,
            filter.thread_ids is None or record["threadId"] in filter.thread_ids,
            filter.undo_status is None or record["undoStatus"] == filter.undo_status,
            filter.before is None or at < read_date(filter.before),
            filter.after is None or at >= read_date(filter.after),
        )
    )


# --- methods -----------------------------------------------------------------------------------------


class SubmissionSetArguments(SetArguments, frozen=True, kw_only=True, rename="camel"):
    """Section 7.5."""

    on_success_update_email: dict[Ref, dict[str, Any]] | None = None
    on_success_destroy_email: tuple[Ref, ...] | None = None


class SubmissionSet(Set):
    """EmailSubmission/set."""

    async def run(self, call: Call, arguments: Any) -> dict[str, object]:
        updates, destroys = arguments.on_success_update_email or {}, arguments.on_success_destroy_email or ()
        if (updates or destroys) and MAIL not in call.exchange.using:
            name = "onSuccessUpdateEmail" if updates else "onSuccessDestroyEmail"
            raise invalid_arguments(f"what is done with emails needs {MAIL} in using", name)
        before = await SUBMISSIONS.read(call, [*updates, *destroys], frozenset())
        done = await change(self.records, call, arguments)
        succeeded = {*done.updated, *done.destroyed}
        succeeded.update(f"#{key}" for key in done.created)
        given = arguments.create or {}

        def email(id: str) -> str | None:
            if id not in succeeded:
                return None
            named = given[id[1:]]["emailId"] if id.startswith("#") else before[id]["emailId"]
            return call.exchange.real(named)

        patches = {found: patch for id, patch in updates.items() if (found := email(id)) is not None}
        gone = [found for id in destroys if (found := email(id)) is not None]
        if patches or gone:
            call.then("Email/set", {"accountId": call.account.key, "update": patches, "destroy": gone})
        return done.response(call.account.key)


PROPERTIES: Final = table(
    Property("identityId", Id, By.CREATOR, refers=True),
    Property("emailId", Id, By.CREATOR, refers=True),
    Property("threadId", Id),
    Property("envelope", dict | None, By.CREATOR, None),
    Property("sendAt", str),
    Property("undoStatus", str, By.CLIENT, "final"),
    Property("deliveryStatus", dict),
    Property("dsnBlobIds", list),
    Property("mdnBlobIds", list),
)
SUBMISSIONS: Final = Submissions()
METHODS: Final[tuple[Method, ...]] = (
    Get(SUBMISSIONS),
    ChangesMethod(SUBMISSIONS),
    Query(SUBMISSIONS),
    QueryChanges(SUBMISSIONS),
    SubmissionSet(SUBMISSIONS, SubmissionSetArguments),
)
