"""MDN/send and MDN/parse (RFC 9007): notifications that a mail was displayed, deleted ... (RFC 8098).

They leave as by SMTP submission, under the null reverse-path. Whom a notification goes to is what the mail
says, never the client; where a program sends it by itself, the mail has to have come from there.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, structs

from a3mailer.edge.http.jmap.capabilities import MAIL, MDN
from a3mailer.edge.http.jmap.email_changing import indexed
from a3mailer.edge.http.jmap.email_records import Options, read_emails
from a3mailer.edge.http.jmap.limits import MAX_OBJECTS_IN_GET, MAX_OBJECTS_IN_SET
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.methods.identity import identities
from a3mailer.edge.http.jmap.records import Record
from a3mailer.edge.http.jmap.replies import set_error
from a3mailer.edge.http.jmap.standard.get import too_many
from a3mailer.edge.http.jmap.standard.set import told
from a3mailer.mail.compose import BadPiece, Draft, Mailbox, letter
from a3mailer.mail.errors import DamagedContent, MailError, NoSuchMessage, NotAllowed, TooLarge
from a3mailer.mail.message import MessageIndex
from a3mailer.mail.message.dates import format_date
from a3mailer.transfer.applications.submitting import BadRecipients, Path
from a3mailer.transfer.outcomes import new_id
from a3mailer.wire.dsn.asked import Asked, asked
from a3mailer.wire.dsn.disposed import KNOWN, Disposed, disposed
from a3mailer.wire.dsn.disposition import Disposition, entity
from a3mailer.wire.jmap.errors import MethodError, SetError, invalid_arguments, invalid_properties
from a3mailer.wire.jmap.values import Id, Ref
from a3mailer.wire.smtp.paths import BadPath, parse_mailbox

SENT: Final = "$mdnsent"
MAX_TEXT: Final = 65_536
MAX_EXTENSIONS: Final = 20
AUTOMATIC: Final = "mdn-sent-automatically"
SUBJECT: Final = "Disposition notification"
TEXT: Final = (
    "This is a receipt for the message you sent. There is no guarantee that it has been read or understood.\n"
)
Line = Annotated[str, Meta(max_length=500)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
# extension-field-name = field-name; ftext of RFC 5322 section 3.6.8 that is common in names
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}\Z")


class Way(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A Disposition object (section 2)."""

    action_mode: Literal["manual-action", "automatic-action"]
    sending_mode: Literal["mdn-sent-manually", "mdn-sent-automatically"]
    type: Literal["deleted", "dispatched", "displayed", "processed"]


class Given(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """An MDN object as a client sends it: without what the server sets."""

    for_email_id: Ref
    disposition: Way
    subject: Line | None = None
    text_body: Text | None = None
    include_original_message: bool = False
    reporting_ua: Line | None = msgspec.field(default=None, name="reportingUA")
    final_recipient: Line | None = None
    extension_fields: dict[str, Line] | None = None


class SendArguments(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Section 2.1."""

    account_id: Id
    identity_id: Id
    send: dict[Id, dict[str, Any]]
    on_success_update_email: dict[Ref, dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class MdnSend:
    """MDN/send."""

    name: str = "MDN/send"
    capability: str = MDN
    action: str = "smtp.submit"
    writes: bool = True
    form: type[msgspec.Struct] | None = SendArguments

    async def run(self, call: Call, arguments: SendArguments) -> dict[str, object]:
        if len(arguments.send) > MAX_OBJECTS_IN_SET:
            raise too_many(MAX_OBJECTS_IN_SET)
        if MAIL not in call.exchange.using:
            raise invalid_arguments(f"it needs {MAIL} in using")
        patches = arguments.on_success_update_email or {}
        if any(not _marks(patches.get(f"#{key}")) for key in arguments.send):
            raise invalid_arguments(f"onSuccessUpdateEmail sets {SENT} for each")
        identity = (await identities(call.services, call.account)).records.get(arguments.identity_id)
        if identity is None:
            raise invalid_arguments("there is no such identity")
        sent: dict[str, Record] = {}
        wrong: dict[str, SetError] = {}
        updates: dict[str, Record] = {}
        for key, given in arguments.send.items():
            try:
                email, sent[key] = await _sent(call, identity, given, updates)
                updates[email] = patches[f"#{key}"]
            except SetError as error:
                wrong[key] = error
            except MailError as error:
                wrong[key] = _refused(call, error)
        if updates:
            call.then("Email/set", {"accountId": call.account.key, "update": updates})
        return {"accountId": call.account.key, "sent": sent or None, "notSent": told(wrong)}


def _marks(patch: Record | None) -> bool:
    """Does a patch leave the keyword set?"""
    if patch is None:
        return False
    words = patch.get("keywords")
    return patch.get(f"keywords/{SENT}") is True or (isinstance(words, dict) and words.get(SENT) is True)


def _refused(call: Call, error: MailError) -> SetError:
    if isinstance(error, BadRecipients):
        return SetError("notFound", "nobody who can be told asks for it")
    if isinstance(error, TooLarge):
        return SetError("tooLarge", maxSize=call.services.settings().smtp.size)
    return set_error(error)


async def _sent(
    call: Call, identity: Record, given: Record, before: Mapping[str, object]
) -> tuple[str, Record]:
    """Id of the email, and what the client did not say. Errors: SetError, MailError."""
    mdn = _given(given)
    id, octets = await _email(call, mdn.for_email_id, before)
    found = asked(octets)
    recipients = tuple(each for each in found.recipients if each.isascii())
    if not recipients:
        raise SetError("notFound", "the message asks for no notification")
    _check_allowed(found, mdn)
    address = await _final_recipient(call, mdn.final_recipient or identity["email"])
    disposition = Disposition(
        mdn.reporting_ua or "",
        address,
        mdn.disposition.type,
        f"{mdn.disposition.action_mode}/{mdn.disposition.sending_mode}",
        found.original_recipient,
        found.message_id,
        _extensions(mdn.extension_fields or {}),
    )
    subject, text = mdn.subject, mdn.text_body
    number = new_id()
    host = call.services.settings().server.hostname
    thread = (("In-Reply-To", found.message_id), ("References", found.references))
    replied = (("Auto-Submitted", "auto-replied"),) if mdn.disposition.sending_mode == AUTOMATIC else ()
    draft = Draft(
        Mailbox(identity["name"], identity["email"]),
        tuple(Mailbox("", each) for each in recipients),
        SUBJECT if subject is None else subject,
        format_date(int(call.services.clock.now())),
        f"{number}@{host}",
        headers=((*thread, *replied) if found.message_id else replied),
    )
    mark = f"=_{secrets.token_hex(12)}_mdn"
    report = entity(
        disposition, TEXT if text is None else text, octets, mark, whole=mdn.include_original_message
    )
    try:
        mail = letter(draft, report)
    except BadPiece as error:
        raise invalid_properties("subject", because=str(error)) from error
    await _submit(call, number, recipients, mail)
    defaults: Record = {
        "subject": SUBJECT,
        "textBody": TEXT,
        "includeOriginalMessage": False,
        "reportingUA": None,
        "mdnGateway": None,
        "originalRecipient": found.original_recipient or None,
        "finalRecipient": f"rfc822; {address}",
        "originalMessageId": found.message_id or None,
        "error": None,
        "extensionFields": None,
    }
    return id, {name: value for name, value in defaults.items() if given.get(name) is None}


def _given(given: Record) -> Given:
    """Errors: SetError."""
    known = {each.encode_name for each in msgspec.structs.fields(Given)}
    if wrong := sorted(given.keys() - known):
        raise invalid_properties(*wrong)
    try:
        return msgspec.convert(given, Given)
    except msgspec.ValidationError as error:
        raise invalid_properties(*_where(error), because=str(error)[:200]) from error


def _where(error: msgspec.ValidationError) -> list[str]:
    """The property that a complaint is about."""
    words = re.findall(r"`\$\.(\w+)|required field `(\w+)`", str(error))
    return [path or missing for path, missing in words[:1]]


async def _email(call: Call, reference: str, before: Mapping[str, object]) -> tuple[str, bytes]:
    """Its id and octets. Errors: SetError, MailError."""
    id = call.exchange.real(reference) or ""
    wanted = frozenset(("blobId", "keywords"))
    email = (await read_emails(call, [id], wanted, Options())).get(id)
    if email is None:
        raise SetError("notFound", "there is no such message")
    if SENT in email["keywords"] or id in before:
        raise SetError("mdnAlreadySent", f"{SENT} is set already")
    return id, await call.blobs.octets(call.account.id, email["blobId"])


def _check_allowed(found: Asked, mdn: Given) -> None:
    """RFC 8098 section 2.1. Errors: SetError."""
    if found.notification:
        raise SetError("forbidden", "the message is a notification itself")
    if found.requires:
        raise SetError("forbidden", "the message requires what is not known here")
    if mdn.disposition.sending_mode == AUTOMATIC and not found.automatic:
        raise SetError("forbidden", "the message did not come from who asks: its reader has to agree")


async def _final_recipient(call: Call, text: str) -> str:
    """The address, which has to be one's own. Errors: SetError."""
    kind, semicolon, address = text.partition(";")
    if semicolon and kind.strip().lower() not in ("rfc822", "utf-8"):
        raise SetError("forbiddenFrom", "the recipient is not yours")
    address = (address if semicolon else text).strip()
    try:
        parsed = parse_mailbox(address.encode())
    except (BadPath, UnicodeEncodeError) as error:
        raise invalid_properties("finalRecipient", because="that is no mail address") from error
    if not await call.services.submitting.directory.owns(call.account.id, parsed):
        raise SetError("forbiddenFrom", "the recipient is not yours")
    return address


def _extensions(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Errors: SetError."""
    bad = any(not _NAME.match(name) or name.lower() in KNOWN for name in given)
    if bad or len(given) > MAX_EXTENSIONS:
        raise invalid_properties("extensionFields", because="these fields cannot be added")
    return tuple(given.items())


async def _submit(call: Call, number: str, recipients: tuple[str, ...], octets: bytes) -> None:
    """Errors: SetError, MailError."""
    submitting, account = call.services.submitting, call.account.id
    client = structs.replace(call.exchange.client, account=account)
    try:
        envelope = submitting.envelope(client, Path(""), [Path(each) for each in recipients], octets)
        await submitting(client, number, envelope, octets, ())
    except NotAllowed as error:
        raise SetError("forbidden", str(error)) from error


# --- parse -------------------------------------------------------------------------------------------


class ParseArguments(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Section 2.2."""

    account_id: Id
    blob_ids: tuple[Id, ...]


@dataclass(frozen=True, slots=True)
class MdnParse:
    """MDN/parse. Which email one is for is not found out: a Message-ID may be that of several."""

    name: str = "MDN/parse"
    capability: str = MDN
    action: str = "message.read"
    writes: bool = False
    form: type[msgspec.Struct] | None = ParseArguments

    async def run(self, call: Call, arguments: ParseArguments) -> dict[str, object]:
        names = tuple(dict.fromkeys(arguments.blob_ids))
        if len(names) > MAX_OBJECTS_IN_GET:
            raise MethodError("requestTooLarge", f"more than {MAX_OBJECTS_IN_GET} blobs")
        parsed: dict[str, Record] = {}
        lost: list[str] = []
        others: list[str] = []
        for name in names:
            try:
                octets = await call.blobs.octets(call.account.id, name)
            except (NoSuchMessage, DamagedContent):
                lost.append(name)
                continue
            index = await indexed(octets)
            found = disposed(octets, index)
            if found is None:
                others.append(name)
            else:
                parsed[name] = _record(found, index)
        return {
            "accountId": call.account.key,
            "parsed": parsed or None,
            "notParsable": others or None,
            "notFound": lost or None,
        }


def _record(found: Disposed, index: MessageIndex) -> Record:
    return {
        "forEmailId": None,
        "subject": index.subject or None,
        "textBody": found.text or None,
        "includeOriginalMessage": found.has_original,
        "reportingUA": found.reporting_ua or None,
        "disposition": {
            "actionMode": found.action_mode,
            "sendingMode": found.sending_mode,
            "type": found.type,
        },
        "mdnGateway": found.gateway or None,
        "originalRecipient": found.original_recipient or None,
        "finalRecipient": found.final_recipient or None,
        "originalMessageId": found.original_message_id or None,
        "error": list(found.errors) or None,
        "extensionFields": dict(found.extensions) or None,
    }


METHODS: Final[tuple[Method, ...]] = (MdnSend(), MdnParse())
