"""What all SASL mechanisms share (RFC 4422): the exchange, its context, its errors.

A door calls ``step`` with each response of the client, decoded from Base64; ``None`` for the first one when
the client sent no initial response.  ``step`` returns the next challenge (octets, maybe none) or, at the end,
the Principal.  Errors: AuthenticationFailed, BadExchange (the client broke the mechanism's syntax), TryLater.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.principal import Principal
from a3mailer.mail.errors import MailError

MAX_RESPONSE: Final = 12_288
"""Octets of one response before Base64 (RFC 4954 section 4 asks for at least 12,288 encoded)."""


class BadExchange(MailError):
    """The response is not what the mechanism's syntax allows (501 in SMTP, BAD in IMAP)."""


class NoSuchMechanism(MailError):
    """The mechanism is unknown, or not offered on this connection (504 in SMTP, NO in IMAP)."""


class NotConfidential(MailError):
    """A mechanism that shows the password was asked for without TLS (538, PRIVACYREQUIRED)."""


@dataclass(frozen=True, slots=True)
class Context:
    """The connection an exchange runs on."""

    authenticator: Authenticator
    ip: str
    confidential: bool
    """TLS, or a loopback listener that allows plaintext (``auth.plaintext``)."""
    bindings: Mapping[str, bytes] = field(default_factory=dict)
    """Channel bindings by name (RFC 5056 section 7): what ``channel.py`` could get."""
    certified: tuple[str, ...] = ()
    """Addresses in the client's certificate, where one of ``tls.client_authorities`` has signed it."""


class Exchange(Protocol):
    """One authentication in progress, on the server's side."""

    name: ClassVar[str]
    shows_password: ClassVar[bool]

    def __init__(self, context: Context) -> None: ...

    async def step(self, response: bytes | None) -> bytes | Principal:
        """Take the client's response; return the next challenge, or who it is."""
        ...


def text(octets: bytes) -> str:
    """UTF-8 without NUL, as every mechanism's strings are. Errors: BadExchange."""
    if len(octets) > MAX_RESPONSE:
        raise BadExchange("response too long")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadExchange("not UTF-8") from error
