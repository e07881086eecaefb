"""What a client can make happen. Every event but a Content that is not the last is owed a reply."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from a3mailer.mail.envelope import Envelope, Recipient
from a3mailer.wire.smtp.promises import NOTHING, Asks
from a3mailer.wire.smtp.replies import Reply


@dataclass(frozen=True, slots=True)
class Hello:
    """EHLO or HELO (RFC 5321 section 4.1.1.1), LHLO (RFC 2033 section 4.1)."""

    name: str
    extended: bool


@dataclass(frozen=True, slots=True)
class MailFrom:
    """MAIL with its parameters; the envelope has no recipients yet, and nothing of what is asked for."""

    envelope: Envelope
    asks: Asks = NOTHING


@dataclass(frozen=True, slots=True)
class RcptTo:
    """RCPT with its parameters."""

    recipient: Recipient


@dataclass(frozen=True, slots=True)
class Data:
    """DATA: 354, or a refusal."""


class Content(msgspec.Struct, frozen=True):
    """A piece of the content, dot-unstuffed; the last one ends the mail and is owed the reply (or replies).

    ``oversize``: the content went beyond the limit; its octets were dropped.
    """

    octets: bytes
    last: bool = False
    oversize: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """The end of a BDAT chunk that is not the last (RFC 3030 section 2)."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS (RFC 3207): after 220 comes the handshake, then ``Engine.secured``."""


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH (RFC 4954): ``initial`` is None when the client sent no initial response."""

    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The client's answer to a challenge."""

    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reset:
    """RSET."""


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP."""


@dataclass(frozen=True, slots=True)
class Verify:
    """VRFY."""


@dataclass(frozen=True, slots=True)
class Help:
    """HELP."""


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Syntax or order forbids it; the engine knows the reply. ``close``: end the session after it."""

    reply: Reply
    close: bool = False


Event = (
    Hello | MailFrom | RcptTo | Data | Content | Chunk | StartTls | Auth | AuthResponse
    | Reset | Noop | Verify | Help | Quit | Refused
)  # fmt: skip
