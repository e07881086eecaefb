"""Errors as IMAP says them: one table from error type to response code (RFC 9051 section 7.1, RFC 5530)."""

from __future__ import annotations

from typing import Final

from a3mailer.edge.imap.response import Failed
from a3mailer.identity.sasl.exchange import BadExchange, NoSuchMechanism, NotConfidential
from a3mailer.mail import errors
from a3mailer.wire.imap import limits


class NoSuchTarget(errors.NoSuchMailbox):
    """The mailbox to put something into does not exist, but could be made (TRYCREATE)."""


class TooManyMessages(errors.TooMany):
    """More messages in one APPEND than are taken (RFC 9738)."""


class NeedsUtf8(errors.MailError):
    """A header that is not ASCII, of who has not enabled UTF8=ACCEPT (RFC 6855 section 4)."""


class NoSuchFilter(errors.MailError):
    """FILTER with a name that means nothing (RFC 5466 section 3.1)."""

    def __init__(self, name: bytes) -> None:
        super().__init__()
        self.name = name


class BadFilter(errors.MailError):
    """What a filter stands for is no search (RFC 5466 section 3.1)."""


class UnknownEncoding(errors.MailError):
    """A Content-Transfer-Encoding nobody can undo (RFC 3516 section 4.3)."""


REPLIES: Final[dict[type[Exception], Failed]] = {
    NeedsUtf8: Failed(b"CANNOT", b"the header is not ASCII, ENABLE UTF8=ACCEPT first"),
    NoSuchFilter: Failed(b"UNDEFINED-FILTER", b"no such filter"),
    BadFilter: Failed(b"CANNOT", b"the filter is not a search"),
    UnknownEncoding: Failed(b"UNKNOWN-CTE", b"the transfer encoding is not known"),
    NoSuchTarget: Failed(b"TRYCREATE", b"no such mailbox, create it first"),
    errors.NoSuchMailbox: Failed(b"NONEXISTENT", b"no such mailbox"),
    errors.NoSuchMessage: Failed(b"EXPUNGEISSUED", b"some of the messages no longer exist"),
    errors.NoSuchThing: Failed(b"NONEXISTENT", b"no such thing"),
    errors.NoSuchAccount: Failed(b"NONEXISTENT", b"no such account"),
    errors.AlreadyExists: Failed(b"ALREADYEXISTS", b"a mailbox of that name exists"),
    errors.BadName: Failed(b"CANNOT", b"that name is not possible"),
    errors.NotPermitted: Failed(b"NOPERM", b"the owner of the mailbox has not allowed that"),
    errors.NotAllowed: Failed(b"CANNOT", b"this is not possible for that mailbox"),
    errors.OverQuota: Failed(b"OVERQUOTA", b"the account is full"),
    errors.TooCostly: Failed(b"LIMIT", b"that would take too long"),
    TooManyMessages: Failed(b"MESSAGELIMIT %d" % limits.APPEND_MESSAGES, b"too many messages in one command"),
    errors.TooMany: Failed(b"LIMIT", b"too many"),
    errors.TooLarge: Failed(b"TOOBIG", b"the message is too large"),
    errors.Conflict: Failed(b"INUSE", b"somebody changed it meanwhile"),
    errors.DamagedContent: Failed(b"CORRUPTION", b"a message is damaged and cannot be read"),
    errors.AuthenticationFailed: Failed(b"AUTHENTICATIONFAILED", b"wrong name or password"),
    errors.StoreFull: Failed(b"UNAVAILABLE", b"the disk is nearly full, try later"),
    errors.Uncertain: Failed(b"UNAVAILABLE", b"whether it was done is not known yet"),
    errors.TryLater: Failed(b"UNAVAILABLE", b"try later"),
    NoSuchMechanism: Failed(b"CANNOT", b"that mechanism is not offered here"),
    NotConfidential: Failed(b"PRIVACYREQUIRED", b"start TLS first"),
    BadExchange: Failed(b"CLIENTBUG", b"the response does not follow the mechanism"),
    errors.MailError: Failed(b"CANNOT", b"not possible"),
}


def reply(error: errors.MailError) -> Failed:
    """The answer to an error: its own line, or that of the nearest type above it."""
    for kind in type(error).__mro__:
        if kind in REPLIES:
            found = REPLIES[kind]
            if isinstance(error, NoSuchFilter):
                return Failed(b"%b %b" % (found.code, error.name), found.text)
            if isinstance(error, errors.BadName) and error.args and str(error).isascii():
                return Failed(found.code, str(error).encode("ascii"))
            return found
    return REPLIES[errors.MailError]
