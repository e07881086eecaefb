"""Tell the sender what became of a mail (RFC 3461 section 5, RFC 3464), once, and never in a circle.

No notification for the null reverse-path, nor to what a stranger says is an address inside our network: what
could not be told to anybody is logged (RFC 5321 section 6.1, attack row 6). A notification is itself sent
with the null reverse-path and NOTIFY=NEVER, so none follows from it (attack row 8). It is queued in the
transaction that records the outcome, so it exists exactly once.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from a3mailer.config.tree import Settings
from a3mailer.identity.directory import parse_stored
from a3mailer.mail.ids import SYSTEM_ACCOUNT, TenantId
from a3mailer.mail.message import index
from a3mailer.mail.message.headers import header_end
from a3mailer.runtime.reach import is_public_domain
from a3mailer.store.operations import Enqueue, QueueRecipient
from a3mailer.store.ports import Content
from a3mailer.telemetry.events import emit, redact_address
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.trace import without_return_path
from a3mailer.wire.dsn.compose import compose
from a3mailer.wire.dsn.report import Action, Original, RecipientStatus, Report
from a3mailer.wire.dsn.words import ENGLISH, LANGUAGES, Words
from a3mailer.wire.smtp.paths import encode_mailbox

FULL_SIZE: Final = 1 << 20
"""Octets of a failed mail that is returned whole where RET=FULL asks for it; of larger ones, and in any
other notification, the header is (RFC 3461 section 4.3)."""
HEADER_SIZE: Final = 64 * 1024
"""Octets of a header that is returned."""


class Voice(NamedTuple):
    """Who speaks to senders, and how."""

    hostname: str
    words: Words = ENGLISH

    @classmethod
    def of(cls, settings: Settings) -> Voice:
        """From a snapshot of the settings."""
        return cls(settings.server.hostname, LANGUAGES[settings.queue.language])


@dataclass(frozen=True, slots=True)
class Sent:
    """What a notification has to know of the mail it is about."""

    reverse_path: str
    """Empty for the null reverse-path."""
    tenant: TenantId
    trace: str
    created: int
    envelope_id: str
    return_content: str
    smtputf8: bool
    priority: int = 0
    """Its notifications have the same (RFC 6710 section 4.6)."""
    deliver_by: int = 0
    tls: str = ""
    not_before: int = 0
    """Until when it was held."""


def wants(notify: Iterable[str], action: Action) -> bool:
    """Does a recipient's NOTIFY ask for this? Without NOTIFY: failures and delays (RFC 3461 section 4.1)."""
    asked = set(notify) or {"FAILURE", "DELAY"}
    if action is Action.FAILED:
        return "FAILURE" in asked
    if action is Action.DELAYED:
        return "DELAY" in asked
    return "SUCCESS" in asked


def notice(
    sent: Sent, recipients: tuple[RecipientStatus, ...], octets: bytes, voice: Voice, now: int, content: int
) -> tuple[Content, Enqueue] | None:
    """The notification as content number ``content`` of a transaction, and the act of queueing it.

    ``recipients`` share one action and are those that want to hear of it; None: there is nobody to tell."""
    sender = parse_stored(sent.reverse_path)
    if not recipients or not sent.reverse_path or not is_public_domain(sender.domain):
        if recipients:
            emit("bounce.nobody", level="warning", trace=sent.trace, recipients=len(recipients))
        return None
    octets = without_return_path(octets)
    token = secrets.token_hex(12)
    report = Report(
        voice.hostname, recipients, sent.envelope_id, sent.created, sent.deliver_by, sent.not_before
    )
    mail = compose(
        report,
        _original(octets, _asked_back(sent, recipients[0].action)),
        to=encode_mailbox(sender).decode(),
        now=now,
        token=token,
        utf8=sent.smtputf8,
        words=voice.words,
    )
    count("a3_bounces_total")
    emit(
        "bounce.queued",
        trace=sent.trace,
        action=recipients[0].action.value,
        to=redact_address(sent.reverse_path),
        recipients=len(recipients),
    )
    made = index(mail)
    queued = Enqueue(
        SYSTEM_ACCOUNT,
        sent.tenant,
        content,
        "",
        (QueueRecipient(sent.reverse_path, ("NEVER",)),),
        sent.trace,
        smtputf8=not sent.reverse_path.isascii(),
        priority=sent.priority,
        message_id=made.message_id.decode(),
        tls=sent.tls,
    )
    return Content(mail, made), queued


def _asked_back(sent: Sent, action: Action) -> str:
    """RET where it counts: of failures (RFC 3461 section 4.3) of mail that demands no TLS (RFC 8689)."""
    return sent.return_content if action is Action.FAILED and sent.tls != "required" else "HDRS"


def _original(octets: bytes, return_content: str) -> Original:
    if return_content == "FULL" and len(octets) <= FULL_SIZE:
        return Original(octets, full=True)
    return Original(octets[: min(header_end(octets, 0, len(octets)), HEADER_SIZE)], full=False)
