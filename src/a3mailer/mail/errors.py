"""What can go wrong, in the words of mail; each door translates these in its one replies table."""

from __future__ import annotations


class MailError(Exception):
    """Base of every expected failure. Anything else is a bug and ends the connection."""

    transient: bool = False


class NoSuchAccount(MailError):
    """No account has this address or id."""


class NoSuchDomain(MailError):
    """The domain is not ours."""


class NoSuchMailbox(MailError):
    """The mailbox does not exist, or the subject may not know that it does."""


class NoSuchMessage(MailError):
    """The message does not exist (any more)."""


class NoSuchThing(MailError):
    """A named row (alias, token, queue entry ...) does not exist."""


class AlreadyExists(MailError):
    """The name is taken."""


class AddressReserved(MailError):
    """A removed address is not issued again for a while."""


class BadName(MailError):
    """A mailbox, domain or account name that cannot be."""


class NotAllowed(MailError):
    """``identity.roles.allow`` said no."""


class NotPermitted(NotAllowed):
    """The subject knows of the mailbox, and was not given the right to do this with it (RFC 4314)."""


class Refused(MailError):
    """A check, a milter or an operator's rule does not want this mail; the text is for the sender."""

    def __init__(self, text: str = "refused by policy", status: str = "5.7.1") -> None:
        super().__init__(text)
        self.status = status
        """Enhanced status code (RFC 3463)."""
        self.transient = status.startswith("4")


class OverQuota(MailError):
    """The account is full."""

    transient = True


class FullForLong(OverQuota):
    """The account has been full for so long that mail for it goes back."""

    transient = False


class TooMany(MailError):
    """A named limit of count was met (mailboxes, keywords, recipients ...)."""


class TooCostly(TooMany):
    """What was asked for met its budget of processor time."""


class TooLarge(MailError):
    """A named limit of size was met."""


class BadScript(MailError):
    """A Sieve script that is none (RFC 5228). ``line`` and ``column`` count from 1."""

    def __init__(
        self, text: str, line: int = 1, column: int = 1, *, unknown_capability: bool = False
    ) -> None:
        super().__init__(text)
        self.text = text
        self.line = line
        self.column = column
        self.unknown_capability = unknown_capability
        """It requires what is not offered here."""

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.text}"


class ScriptInUse(MailError):
    """The script is the active one: it cannot be removed (RFC 5804 section 2.10)."""


class MailLoop(MailError):
    """A mail that has been here too often (RFC 5321 section 6.3)."""


class Conflict(MailError):
    """The state moved under a conditional change (RFC 7162 UNCHANGEDSINCE on the whole, JMAP ifInState)."""


class DamagedContent(MailError):
    """The stored octets of one message do not match their checksum; the rest is unaffected."""


class AuthenticationFailed(MailError):
    """The credentials were wrong, the account is disabled, or a second factor is missing."""


class TryLater(MailError):
    """The server cannot do it now and nothing was changed."""

    transient = True


class StoreFull(TryLater):
    """The disk is nearly full: writes wait, reading and deleting still work."""


class Uncertain(TryLater):
    """Whether the change was committed is not known (yet)."""
