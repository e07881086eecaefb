"""The one table of the ManageSieve door: error type -> response code and text (RFC 5804 section 1.3)."""

from __future__ import annotations

from typing import Final

from a3mailer.identity.sasl.exchange import BadExchange, NoSuchMechanism, NotConfidential
from a3mailer.mail import errors as err
from a3mailer.wire.managesieve.encode import response

REPLIES: Final[dict[type[err.MailError], tuple[bytes, str]]] = {
    err.BadScript: (b"", "the script is not valid"),
    err.BadName: (b"", "that name is not possible"),
    err.NoSuchThing: (b"NONEXISTENT", "there is no script of that name"),
    err.AlreadyExists: (b"ALREADYEXISTS", "a script of that name exists"),
    err.ScriptInUse: (b"ACTIVE", "the active script cannot be deleted"),
    err.TooLarge: (b"QUOTA/MAXSIZE", "the script is too large"),
    err.TooMany: (b"QUOTA/MAXSCRIPTS", "there are too many scripts"),
    err.OverQuota: (b"QUOTA", "the scripts are too large together"),
    err.StoreFull: (b"TRYLATER", "the disk is nearly full"),
    err.Conflict: (b"TRYLATER", "somebody changed it meanwhile"),
    err.TryLater: (b"TRYLATER", "try later"),
    err.NotAllowed: (b"", "not permitted"),
    err.AuthenticationFailed: (b"", "wrong name or password"),
    NotConfidential: (b"ENCRYPT-NEEDED", "start TLS first"),
    NoSuchMechanism: (b"", "that mechanism is not offered here"),
    BadExchange: (b"", "the response does not follow the mechanism"),
    err.MailError: (b"", "not possible"),
}
TELLING: Final = (err.BadScript, err.BadName, err.TooLarge, err.TooMany, err.OverQuota)
"""Errors whose own words are for the client: line and column, limits."""


def reply(error: err.MailError) -> bytes:
    """NO, as the nearest type in the table says it."""
    code, text = next(REPLIES[kind] for kind in type(error).__mro__ if kind in REPLIES)
    if isinstance(error, TELLING) and str(error):
        text = str(error)
    return response(b"NO", text, code)
