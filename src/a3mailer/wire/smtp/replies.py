"""Replies (RFC 5321 section 4.2) with enhanced status codes (RFC 2034, RFC 3463)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from a3mailer.wire.errors import RemoteProtocolError

MAX_REPLY_TEXT: Final = 480
"""Octets of text in one reply line: RFC 5321 section 4.5.3.1.5 allows 512 with code and CRLF; a challenge
(334) may have as many as it needs (RFC 4954 section 4)."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. ``enhanced`` is empty where RFC 2034 wants none (greeting, EHLO, 3yz)."""

    code: int
    enhanced: str
    text: str
    more: tuple[str, ...] = ()
    """Further lines, after ``text``."""
    octets: bytes = field(init=False, repr=False, compare=False)
    """As sent; made once, so that constant replies cost nothing."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "octets", self._encode())

    @property
    def positive(self) -> bool:
        """Completion or intermediate: 2yz or 3yz."""
        return self.code < 400

    @property
    def transient(self) -> bool:
        """4yz."""
        return 400 <= self.code < 500

    def _encode(self) -> bytes:
        status = f"{self.enhanced} " if self.enhanced else ""
        limit = None if self.code == 334 else MAX_REPLY_TEXT
        text = self.more[-1] if self.more else self.text
        last = b"%d %b\r\n" % (self.code, _printable((status + text)[:limit]))
        if not self.more:
            return last
        lines = (self.text, *self.more[:-1])
        return b"".join([b"%d-%b\r\n" % (self.code, _printable((status + t)[:limit])) for t in lines]) + last


def _printable(text: str) -> bytes:
    octets = text.encode("ascii", "replace")
    return octets if text.isprintable() else bytes(c if 32 <= c < 127 else 63 for c in octets)


class Rejected(RemoteProtocolError):
    """A command that syntax or order forbids; ``reply`` is the answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"{reply.code} {reply.enhanced} {reply.text}")
        self.reply = reply


NOT_RECOGNISED: Final = Reply(500, "5.5.2", "command not recognised")
NOT_IMPLEMENTED: Final = Reply(502, "5.5.1", "command not implemented")
BAD_LINE: Final = Reply(500, "5.5.2", "line too long, or with a CR or LF that is not its end")
SYNTAX: Final = Reply(501, "5.5.4", "syntax error in arguments")
BAD_AUTH_LINE: Final = Reply(500, "5.5.6", "authentication line too long, or with a stray CR or LF")
NO_ARGUMENT: Final = Reply(501, "5.5.4", "this command takes no argument")
BAD_SEQUENCE: Final = Reply(503, "5.5.1", "bad sequence of commands")
NO_RECIPIENTS: Final = Reply(503, "5.5.1", "no valid recipients")
NEED_BDAT: Final = Reply(503, "5.5.1", "BINARYMIME needs BDAT")
BAD_REVERSE_PATH: Final = Reply(501, "5.1.7", "bad sender address syntax")
BAD_FORWARD_PATH: Final = Reply(501, "5.1.3", "bad recipient address syntax")
NEED_SMTPUTF8: Final = Reply(553, "5.6.7", "a non-ASCII address needs SMTPUTF8")
UNKNOWN_PARAMETER: Final = Reply(555, "5.5.4", "parameter not recognised")
TOO_LARGE: Final = Reply(552, "5.3.4", "message exceeds the size limit")
AUTH_REQUIRED: Final = Reply(530, "5.7.0", "authentication required")
TLS_REQUIRED: Final = Reply(530, "5.7.0", "must issue a STARTTLS command first")
AUTH_NEEDS_TLS: Final = Reply(538, "5.7.11", "encryption required for authentication")
AUTH_MECHANISM: Final = Reply(504, "5.5.4", "mechanism not offered")
AUTH_DECODE: Final = Reply(501, "5.5.2", "cannot decode base64")
AUTH_CANCELLED: Final = Reply(501, "5.7.0", "authentication cancelled")
OTHER_PROTOCOL: Final = Reply(421, "4.7.0", "this is not a web server")
