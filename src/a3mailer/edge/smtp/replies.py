"""The one table of the SMTP and LMTP doors: error type -> reply (RFC 5321 section 4.2.3, RFC 3463)."""

from __future__ import annotations

from typing import Final

from a3mailer.identity.sasl.exchange import BadExchange, NoSuchMechanism, NotConfidential
from a3mailer.mail import errors as err
from a3mailer.wire.smtp.replies import AUTH_MECHANISM, AUTH_NEEDS_TLS, TOO_LARGE, Reply

REPLIES: Final[dict[type[err.MailError], Reply]] = {
    err.MailError: Reply(554, "5.3.0", "transaction failed"),
    err.NoSuchAccount: Reply(550, "5.1.1", "no such mailbox"),
    err.NoSuchMailbox: Reply(550, "5.1.1", "no such mailbox"),
    err.NoSuchDomain: Reply(550, "5.1.2", "no such domain here"),
    err.BadName: Reply(553, "5.1.3", "bad address"),
    err.AddressReserved: Reply(550, "5.1.6", "this mailbox has gone"),
    err.NotAllowed: Reply(550, "5.7.1", "not allowed"),
    err.OverQuota: Reply(452, "4.2.2", "mailbox full"),
    err.FullForLong: Reply(552, "5.2.2", "mailbox full for days; nobody empties it"),
    err.TooMany: Reply(452, "4.5.3", "too many recipients"),
    err.TooLarge: TOO_LARGE,
    err.MailLoop: Reply(554, "5.4.6", "this mail is going in circles: too many hops"),
    err.Conflict: Reply(451, "4.3.0", "busy, try again"),
    err.DamagedContent: Reply(451, "4.3.0", "local error, try again"),
    err.TryLater: Reply(451, "4.3.0", "cannot do it now, try again"),
    err.StoreFull: Reply(452, "4.3.1", "insufficient storage, try again later"),
    err.Uncertain: Reply(451, "4.3.0", "outcome unknown, try again"),
    err.AuthenticationFailed: Reply(535, "5.7.8", "authentication credentials invalid"),
    BadExchange: Reply(501, "5.5.2", "bad authentication exchange"),
    NoSuchMechanism: AUTH_MECHANISM,
    NotConfidential: AUTH_NEEDS_TLS,
}
LINES: Final = 50
"""Of a refusal; what is more is left out."""
NOT_ASCII: Final = "refused; the reason has letters beyond ASCII"
"""In place of such a reason (RFC 5429 section 2.1.1)."""
AUTH_LATER: Final = Reply(454, "4.7.0", "temporary authentication failure")
"""RFC 4954 section 4: what TryLater is during AUTH."""
CODES: Final = {"5.1.10": 556, "5.7.8": 535, "4.1.1": 450}
"""Of refusals by their enhanced code; else 550 or 451 (RFC 7504 section 4, RFC 7505 section 4.1, RFC 4954
section 6)."""
TELLING: Final = (err.NotAllowed, err.TooMany, err.Refused)
"""Errors whose own words are for the client."""

OK: Final = Reply(250, "2.0.0", "OK")
SENDER_OK: Final = Reply(250, "2.1.0", "sender OK")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "recipient OK")
CHUNK_OK: Final = Reply(250, "2.0.0", "chunk received")
GO_ON: Final = Reply(354, "", "end with <CRLF>.<CRLF>")
READY_FOR_TLS: Final = Reply(220, "2.0.0", "ready to start TLS")
LOGGED_IN: Final = Reply(235, "2.7.0", "authentication succeeded")
BYE: Final = Reply(221, "2.0.0", "bye")
CANNOT_VERIFY: Final = Reply(252, "2.5.0", "cannot verify; send some mail and see")
HELP: Final = Reply(214, "2.0.0", "RFC 5321; a human reads postmaster@ of this host")
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "too many errors")
TOO_MANY_MAILS: Final = Reply(421, "4.5.3", "too many mails in one session; reconnect")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "too many recipients; send the rest in another transaction")
TOO_SLOW: Final = Reply(421, "4.4.2", "timeout")
SHUTTING_DOWN: Final = Reply(421, "4.3.2", "shutting down; try again")
LOGIN_AGAIN: Final = Reply(421, "4.7.0", "this login no longer stands")


def sender_ok(asked: int | None, priority: int) -> Reply:
    """To MAIL; a priority that was not granted is named (RFC 6710 section 4.1)."""
    if asked is None or asked == priority:
        return SENDER_OK
    return Reply(250, "2.3.6", f"{priority} is the priority of this mail: you may not raise it")


def reply_to(error: err.MailError) -> Reply:
    """The reply of the nearest type in the table; with the error's own words where those may be told."""
    if isinstance(error, err.Refused):
        code = CODES.get(error.status, 451 if error.transient else 550)
        text, *more = (str(error) if str(error).isascii() else NOT_ASCII).split("\n")[:LINES]
        return Reply(code, error.status, text, tuple(more))
    for kind in type(error).__mro__:
        reply = REPLIES.get(kind)
        if reply is not None:
            break
    else:
        raise LookupError(type(error).__name__)
    if error.transient and not reply.transient:
        reply = REPLIES[err.TryLater]
    text = str(error)
    return Reply(reply.code, reply.enhanced, text) if text and isinstance(error, TELLING) else reply


def auth_reply_to(error: err.MailError) -> Reply:
    """The same during AUTH."""
    return AUTH_LATER if isinstance(error, err.TryLater) else reply_to(error)


def replies_to(
    outcomes: tuple[err.MailError | None, ...], trace: str, *, a_recipient: bool
) -> tuple[Reply, ...]:
    """The end of the content: one reply for all, or one a recipient (LMTP)."""
    accepted = Reply(250, "2.0.0", f"accepted as {trace}")
    if None in outcomes and not a_recipient:
        return (accepted,)
    replies = tuple(accepted if error is None else reply_to(error) for error in outcomes)
    return replies if a_recipient else (next((reply for reply in replies if reply.transient), replies[0]),)


def word_of(reply: Reply) -> str:
    """What the metrics call an answer."""
    if reply.positive:
        return "accepted"
    return "transient" if reply.transient else "refused"
