"""The mail that carries a report of ours: who it is from, its form, and how it is queued."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from a3mailer.config.tree import Settings
from a3mailer.mail.ids import DEFAULT_TENANT, SYSTEM_ACCOUNT
from a3mailer.mail.message.dates import format_date
from a3mailer.store.operations import Enqueue, QueueRecipient


@dataclass(frozen=True, slots=True)
class Sender:
    """In whose name we report."""

    domain: str
    address: str
    """Where questions go, and what the mail is from."""


def sender_of(settings: Settings, contact: str) -> Sender:
    """``contact`` at the first domain."""
    domain = (settings.server.domain or settings.server.hostname).lower()
    return Sender(domain, f"{contact}@{domain}")


@dataclass(frozen=True, slots=True)
class Letter:
    """What differs from one kind of report to the next."""

    identity: str
    """In the subject."""
    message_id: str
    content_type: str
    """Without its boundary."""
    text: str
    """For people: some lines."""
    media: str
    """Of the attachment ``packed``, a file called ``name``."""
    name: str
    packed: bytes
    fields: tuple[str, ...] = ()
    """Further ones."""


def compose(letter: Letter, domain: str, to: str, sender: Sender, now: int, token: str) -> bytes:
    """The mail about ``domain``; ``token`` is random and makes it unlike any other."""
    boundary = f"=_{token}"
    lines = [
        f"From: <{sender.address}>",
        f"To: <{to}>",
        f"Date: {format_date(now)}",
        f"Subject: Report Domain: {domain}",
        f" Submitter: {sender.domain}",
        f" Report-ID: <{letter.identity}>",
        f"Message-ID: <{token}.{letter.message_id}>",
        *letter.fields,
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        f'Content-Type: {letter.content_type}; boundary="{boundary}"',
        "",
        "This is a message in MIME format.",
        "",
        f"--{boundary}",
        'Content-Type: text/plain; charset="us-ascii"',
        "",
        *letter.text.splitlines(),
        "",
        f"--{boundary}",
        f"Content-Type: {letter.media}",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment;",
        f' filename="{letter.name}"',
        "",
        *base64.encodebytes(letter.packed).decode("ascii").splitlines(),
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def queued(content: int, to: str, tls: str = "") -> Enqueue:
    """With the null reverse-path: nothing comes back for it, and it is signed as a notice of ours."""
    recipient = QueueRecipient(to, ("NEVER",))
    return Enqueue(SYSTEM_ACCOUNT, DEFAULT_TENANT, content, "", (recipient,), body="7BIT", tls=tls)
