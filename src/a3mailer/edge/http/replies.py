"""The one table of the HTTP door: error type -> status (RFC 9110 section 15), told as RFC 9457 has it."""

from __future__ import annotations

from typing import Final

from a3mailer.edge.http.exchange import Response, problem
from a3mailer.mail import errors as err

STATUSES: Final[dict[type[err.MailError], int]] = {
    err.MailError: 500,
    err.NoSuchAccount: 404,
    err.NoSuchDomain: 404,
    err.NoSuchMailbox: 404,
    err.NoSuchMessage: 404,
    err.NoSuchThing: 404,
    err.AlreadyExists: 409,
    err.AddressReserved: 409,
    err.BadName: 422,
    err.NotAllowed: 403,
    err.Refused: 403,
    err.OverQuota: 507,
    err.TooMany: 422,
    err.TooLarge: 413,
    err.MailLoop: 422,
    err.Conflict: 409,
    err.DamagedContent: 500,
    err.AuthenticationFailed: 401,
    err.TryLater: 503,
    err.StoreFull: 507,
    err.Uncertain: 503,
}
TELLING: Final = (
    err.AlreadyExists, err.BadName, err.Conflict, err.NotAllowed, err.Refused, err.TooLarge, err.TooMany,
)  # fmt: skip
"""Errors whose own words are for the client."""
CHALLENGE: Final = (("WWW-Authenticate", 'Bearer realm="a3mailer", Basic realm="a3mailer", charset="UTF-8"'),)
"""RFC 6750 section 3, RFC 7617 section 2."""


def reply_to(error: err.MailError) -> Response:
    """The answer of the nearest type in the table. A note on the error says whom it is about."""
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    if isinstance(error, err.Refused) and error.transient:
        status = 429
    words = str(error) if isinstance(error, TELLING) else ""
    about = " ".join(getattr(error, "__notes__", ()))
    if about and not words:
        words = type(error).__name__
    detail = f"{about}: {words}" if about else words
    return problem(status, detail, CHALLENGE if status == 401 else ())
