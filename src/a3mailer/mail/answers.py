"""What answers of other servers are about, in few words; RFC 3463 names the codes they give."""

from __future__ import annotations

from enum import StrEnum


class Answer(StrEnum):
    """What an answer is about. Whether it is for good is its code's to say, never this word's."""

    ACCEPTED = "accepted"
    THROTTLED = "throttled"
    """We send too much, too fast or on too many connections for their taste."""
    GREYLISTED = "greylisted"
    """Come back later, as whoever means it does (RFC 6647)."""
    BLOCKED = "blocked"
    """Our address or domain has a bad name with them."""
    FULL = "full"
    """The mailbox takes no more."""
    NO_SUCH_USER = "no_such_user"
    """The mailbox does not exist or is closed, for good."""
    POLICY = "policy"
    """This mail is not to their taste, or not authenticated to it."""
    UNREACHABLE = "unreachable"
    """They said nothing: no connection, no DNS, no TLS, or a session that broke."""
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
