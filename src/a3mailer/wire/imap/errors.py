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

    def __init__(self, text: str, *, saves: bool = False) -> None:
        super().__init__(text)
        self.saves = saves
        """Its result was to be saved, so that what is saved is empty now (RFC 5182 section 2.1)."""


class UndefinedFilter(RemoteProtocolError):
    """FILTER with a name that means nothing: NO [UNDEFINED-FILTER] (RFC 5466 section 3.1)."""

    def __init__(self, name: bytes) -> None:
        super().__init__(name.decode("ascii", "replace"))
        self.name = name


class LocalProtocolError(Exception):
    """Our own code used the engine out of order."""
