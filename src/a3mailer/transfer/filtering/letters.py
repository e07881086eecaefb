"""The mails that scripts write: answers (RFC 5230 section 5), notices (RFC 5436), refusals (RFC 5429), and
what an account is told of its own script. Nothing of a stranger's becomes a line of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.mail.address import Address
from a3mailer.mail.compose import BadPiece, Draft, Mailbox, letter, text_entity
from a3mailer.mail.message.addresses import parse_mailboxes
from a3mailer.mail.message.dates import format_date
from a3mailer.transfer.filtering.mail import Delivery
from a3mailer.wire.dsn.disposition import Disposition
from a3mailer.wire.dsn.disposition import entity as disposition_entity
from a3mailer.wire.sieve.actions import Notify, Reject, Vacation
from a3mailer.wire.sieve.door import Field
from a3mailer.wire.sieve.machine import decoded
from a3mailer.wire.smtp.paths import encode_mailbox

SUBJECT: Final = 200
"""Characters of a subject that is repeated."""
REFERENCES: Final = 4_000
"""Octets of References that are repeated."""
SHOWN: Final = 500
"""Characters of a text that a letter to the account's owner repeats."""
OPTIONAL: Final = frozenset(("keywords", "comments", "reply-to", "in-reply-to", "references"))
"""Fields of a mailto URI that a notice takes over, besides those that begin with x-."""
IMPORTANCE: Final = {1: "high", 2: "normal", 3: "low"}
Words = Mapping[str, str]
ENGLISH: Final[Words] = {
    "answer": "Automated reply",
    "refused": "Your message was refused",
    "refusal": "Your message to {to} was refused by its recipient's mail filter.\n"
    "The reason given is as follows:\n\n{reason}\n",
    "notice": "A message has arrived",
    "system": "Mail system",
    "trouble": "Your mail filter has a problem",
    "troubled": 'Your mail filter "{name}" could not be followed for a message that has arrived:\n\n'
    "    {problem}\n\nThe message is in your inbox. You are told so once for each problem of a script;\n"
    "please look at it.\n\nThe message was:\n\n    From: {author}\n    Subject: {subject}\n",
    "troubled there": 'Your mail filter "{name}" could not be followed for a message in {mailbox}:\n\n'
    "    {problem}\n\nThe message is as it was. You are told so once for each problem of a script;\n"
    "please look at it.\n\nThe message was:\n\n    From: {author}\n    Subject: {subject}\n",
}
CHINESE: Final[Words] = {
    "answer": "自动回复",
    "refused": "您的邮件被拒收",
    "refusal": "您发给 {to} 的邮件被收件人的邮件过滤规则拒收。\n给出的原因如下：\n\n{reason}\n",
    "notice": "有新邮件到达",
    "system": "邮件系统",
    "trouble": "您的邮件过滤脚本有问题",
    "troubled": "您的邮件过滤脚本“{name}”在处理一封到达的邮件时无法执行：\n\n    {problem}\n\n"
    "该邮件已放入您的收件箱。同一脚本的每个问题只通知一次，请检查脚本。\n\n该邮件是：\n\n"
    "    发件人：{author}\n    主题：{subject}\n",
    "troubled there": "您的邮件过滤脚本“{name}”在处理 {mailbox} 中的一封邮件时无法执行：\n\n    {problem}\n\n"
    "该邮件保持原样。同一脚本的每个问题只通知一次，请检查脚本。\n\n该邮件是：\n\n"
    "    发件人：{author}\n    主题：{subject}\n",
}
LANGUAGES: Final[Mapping[str, Words]] = {"en": ENGLISH, "zh": CHINESE}


def first(fields: Sequence[Field], name: bytes) -> bytes:
    """The value of the first field of a name, unfolded; empty where there is none."""
    return next((field.value.strip() for field in fields if field.name == name), b"")


def subject_of(fields: Sequence[Field]) -> str:
    """Decoded, one line, bounded."""
    text = decoded(first(fields, b"subject")).decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:SUBJECT]


def _line(octets: bytes) -> str:
    text = octets.decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _thread(fields: Sequence[Field]) -> tuple[tuple[str, str], ...]:
    """In-Reply-To and References (RFC 5322 section 3.6.4)."""
    ident = _line(first(fields, b"message-id"))
    if not (ident.isascii() and ident.startswith("<") and ident.endswith(">")) or " " in ident:
        return ()
    before = first(fields, b"references") or _only(first(fields, b"in-reply-to"))
    words = [word for word in _line(before[-REFERENCES:]).split() if word[:1] == "<" and word[-1:] == ">"]
    words = [word for word in words if word.isascii()]
    return (("In-Reply-To", ident), ("References", " ".join((*words, ident))))


def _only(field: bytes) -> bytes:
    """In-Reply-To, where it has one identifier."""
    return field if field.count(b"<") == 1 else b""


def _spec(address: Address | None) -> str:
    """As it stands in a header field."""
    return "" if address is None else encode_mailbox(address).decode()


class Letters:
    """They are all written in the name of one server."""

    __slots__ = ("_hostname", "_words")

    def __init__(self, settings: Settings) -> None:
        self._hostname = settings.server.hostname
        self._words = LANGUAGES[settings.queue.language]

    def _draft(
        self,
        sender: Mailbox,
        to: Sequence[str],
        subject: str,
        now: int,
        headers: Sequence[tuple[str, str]],
        cc: Sequence[str] = (),
    ) -> Draft:
        return Draft(
            sender,
            tuple(Mailbox("", each) for each in to),
            subject,
            format_date(now),
            f"{secrets.token_hex(16)}@{self._hostname}",
            cc=tuple(Mailbox("", each) for each in cc),
            headers=tuple(headers),
            utf8=not all(each.isascii() for each in (*to, *cc)),
        )

    def answer(self, mail: Delivery, fields: Sequence[Field], action: Vacation, sender: Mailbox) -> bytes:
        """RFC 5230 section 5. Errors: BadPiece."""
        subject = action.subject or (f"Auto: {subject_of(fields)}" if first(fields, b"subject") else "")
        headers = (*_thread(fields), ("Auto-Submitted", "auto-replied"))
        draft = self._draft(
            sender, (_spec(mail.reverse_path.address),), subject or self._words["answer"], mail.now, headers
        )
        return letter(draft, mime_entity(action.reason) if action.mime else text_entity(action.reason))

    def refusal(self, mail: Delivery, fields: Sequence[Field], action: Reject) -> bytes:
        """RFC 5429 section 2.2.1. Errors: BadPiece."""
        to = _spec(mail.recipient.address)
        disposition = Disposition(
            f"{self._hostname}; A3Mailer",
            to,
            "deleted",
            original_recipient=mail.recipient.original,
            original_message_id=_line(first(fields, b"message-id")),
        )
        text = self._words["refusal"].format(to=to, reason=action.text)
        headers = (*_thread(fields), ("Auto-Submitted", "auto-replied"))
        draft = self._draft(
            Mailbox("", to), (_spec(mail.reverse_path.address),), self._words["refused"], mail.now, headers
        )
        mark = f"=_{secrets.token_hex(12)}_mdn"
        return letter(draft, disposition_entity(disposition, text, mail.octets, mark))

    def notice(self, mail: Delivery, fields: Sequence[Field], action: Notify, sender: Mailbox) -> bytes:
        """RFC 5436 section 2.7. Errors: BadPiece."""
        asked = dict(action.fields)
        shown = f"From: {_line(decoded(first(fields, b'from')))[:SHOWN]}\nSubject: {subject_of(fields)}\n"
        subject = " ".join(action.message.split()) or asked.get("subject", "") or subject_of(fields)
        owner = mail.route.address.replace("\\", "\\\\").replace('"', '\\"')
        headers = [
            ("Auto-Submitted", f'auto-notified; owner-email="{owner}"'),
            ("Importance", IMPORTANCE[action.importance]),
            *((name.title(), text) for name, text in action.fields if name in OPTIONAL or name[:2] == "x-"),
        ]
        recipients, cc = ([_spec(each) for each in row] for row in (action.recipients, action.cc))
        draft = self._draft(sender, recipients, subject or self._words["notice"], mail.now, headers, cc)
        return letter(draft, text_entity(asked.get("body") or shown))

    def trouble(
        self, mail: Delivery, fields: Sequence[Field], name: str, problem: str, mailbox: str = ""
    ) -> bytes:
        """What is wrong with an account's own script, for its owner; ``mailbox``: where it lies already.

        Errors: BadPiece."""
        words = self._words
        text = words["troubled there" if mailbox else "troubled"].format(
            mailbox=mailbox[:SHOWN],
            name=name[:SHOWN],
            problem=" ".join(problem.split())[:SHOWN],
            author=_line(decoded(first(fields, b"from")))[:SHOWN],
            subject=subject_of(fields),
        )
        sender = Mailbox(words["system"], f"MAILER-DAEMON@{self._hostname}")
        draft = self._draft(
            sender, (mail.route.address,), words["trouble"], mail.now, (("Auto-Submitted", "auto-generated"),)
        )
        return letter(draft, text_entity(text))


def sender_of(text: str) -> Mailbox | None:
    """The one mailbox of a :from; None where it is none, or several."""
    found = parse_mailboxes(text.encode("utf-8", "replace"))
    if len(found) != 1 or not found[0].local_part or not found[0].domain:
        return None
    return Mailbox(found[0].name, found[0].addr_spec)


def mime_entity(reason: str) -> bytes:
    """A reason that is a MIME entity (RFC 5230 section 4.4), with no other fields than those of MIME.

    Errors: BadPiece."""
    octets = reason.encode("utf-8", "surrogateescape")
    head, empty, body = octets.partition(b"\r\n\r\n")
    if octets.startswith(b"\r\n"):
        head, empty, body = b"", b"\r\n", octets[2:]
    lines: list[bytes] = []
    kept = False
    for line in head.split(b"\r\n"):
        if line[:1] not in (b" ", b"\t"):
            kept = line[:8].lower() == b"content-"
        if kept:
            lines.append(line)
    if not empty or any(not line.isascii() or b"\r" in line or b"\n" in line for line in lines):
        raise BadPiece("a MIME entity has a header, an empty line, and nothing beyond US-ASCII in the header")
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body
