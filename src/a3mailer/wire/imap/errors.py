"""What goes wrong on the IMAP wire: theirs (answered BAD or BYE) or ours (a bug)."""

from __future__ import annotations


class RemoteProtocolError(Exception):
    """The client broke the protocol; the text says how and is safe to send back."""


class BadSyntax(RemoteProtocolError):
    """A command that does not follow the grammar: tagged BAD, the session goes on."""


class UidRequired(BadSyntax):
    """A sequence number of a client that enabled UIDONLY: BAD [UIDREQUIRED] (RFC 9586 section 3)."""

    def __init__(self) -> None:
        super().__init__("[UIDREQUIRED] messages are named by uids")


class UnknownCharset(RemoteProtocolError):
    """SEARCH in a charset that is not understood: NO [BADCHARSET] (RFC 9051 section 6.4.4)."""


class UnknownSearchContext(RemoteProtocolError):
    """A return option this server does not have: BAD."""


class LocalProtocolError(Exception):
    """Our own code used the engine out of order."""
