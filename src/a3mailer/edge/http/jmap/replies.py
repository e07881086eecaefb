"""The one table of JMAP: error type -> MethodError and SetError (RFC 8620 sections 3.6.2 and 5.3)."""

from __future__ import annotations

from typing import Final

from a3mailer.mail import errors as err
from a3mailer.wire.jmap.errors import MethodError, SetError

TYPES: Final[dict[type[err.MailError], tuple[str, str]]] = {
    err.MailError: ("serverFail", "serverFail"),
    err.NoSuchAccount: ("accountNotFound", "notFound"),
    err.NoSuchDomain: ("invalidArguments", "invalidProperties"),
    err.NoSuchMailbox: ("invalidArguments", "notFound"),
    err.NoSuchMessage: ("invalidArguments", "notFound"),
    err.NoSuchThing: ("invalidArguments", "notFound"),
    err.AlreadyExists: ("invalidArguments", "alreadyExists"),
    err.BadName: ("invalidArguments", "invalidProperties"),
    err.NotAllowed: ("forbidden", "forbidden"),
    err.Refused: ("forbidden", "forbidden"),
    err.OverQuota: ("overQuota", "overQuota"),
    err.TooMany: ("overQuota", "overQuota"),
    err.TooLarge: ("tooLarge", "tooLarge"),
    err.Conflict: ("stateMismatch", "stateMismatch"),
    err.BadScript: ("invalidArguments", "invalidSieve"),
    err.ScriptInUse: ("forbidden", "sieveIsActive"),
    err.TryLater: ("serverUnavailable", "serverUnavailable"),
}
"""(of a method, of a record)."""
TELLING: Final = (
    err.AlreadyExists, err.BadName, err.BadScript, err.Conflict, err.NotAllowed, err.OverQuota, err.Refused,
    err.ScriptInUse, err.TooLarge, err.TooMany,
)  # fmt: skip
"""Errors whose own words are for the client."""


def _found(error: err.MailError) -> tuple[str, str, str]:
    method, record = next(TYPES[kind] for kind in type(error).__mro__ if kind in TYPES)
    return method, record, str(error) if isinstance(error, TELLING) else ""


def method_error(error: err.MailError) -> MethodError:
    """As the answer of a whole method."""
    method, _, words = _found(error)
    return MethodError(method, words or type(error).__name__)


def set_error(error: err.MailError) -> SetError:
    """As the answer about one record."""
    _, record, words = _found(error)
    return SetError(record, words or type(error).__name__)
