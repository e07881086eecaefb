"""The one table of the POP3 door: error type -> response code and text (RFC 2449 section 8, RFC 3206)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.access.maildrop import InUse
from a3mailer.identity.sasl.exchange import BadExchange, NoSuchMechanism, NotConfidential
from a3mailer.mail import errors as err


class TooSoon(err.MailError):
    """Less than ``pop3.login_delay`` seconds after the last login."""

    transient = True


class LoginEnded(err.AuthenticationFailed):
    """The account was disabled, or its password changed, after the login."""


class NoMaildropForThis(err.NotAllowed):
    """What somebody logged in with does not open a maildrop: a token of other scopes, another role."""


@dataclass(frozen=True, slots=True)
class Failure:
    """-ERR: the response code with its brackets and a space, and the key of the text."""

    code: bytes
    text: str


AUTH: Final = b"[AUTH] "
TEMPORARY: Final = b"[SYS/TEMP] "
PERMANENT: Final = b"[SYS/PERM] "
REPLIES: Final[dict[type[err.MailError], Failure]] = {
    InUse: Failure(b"[IN-USE] ", "in_use"),
    TooSoon: Failure(b"[LOGIN-DELAY] ", "too_soon"),
    LoginEnded: Failure(AUTH, "ended"),
    err.AuthenticationFailed: Failure(AUTH, "credentials"),
    BadExchange: Failure(b"", "exchange"),
    NoSuchMechanism: Failure(b"", "mechanism"),
    NotConfidential: Failure(b"", "privacy"),
    NoMaildropForThis: Failure(AUTH, "forbidden"),  # RFC 3206 section 4: against the policy for logins
    err.NotAllowed: Failure(PERMANENT, "forbidden"),
    err.NoSuchMessage: Failure(b"", "no_message"),
    err.DamagedContent: Failure(PERMANENT, "damaged"),
    err.TryLater: Failure(TEMPORARY, "later"),
    err.MailError: Failure(PERMANENT, "impossible"),
}
KEPT: Final = Failure(TEMPORARY, "kept")
"""QUIT could not delete what was marked (RFC 1939 section 6)."""


def reply(error: err.MailError) -> Failure:
    """Of the nearest type in the table."""
    return next(REPLIES[kind] for kind in type(error).__mro__ if kind in REPLIES)
