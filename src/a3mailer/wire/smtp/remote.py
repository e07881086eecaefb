"""What another server says: replies, enhanced codes and EHLO keywords (RFC 5321 section 4.2, RFC 2034)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from a3mailer.wire.errors import RemoteProtocolError

MAX_LINE: Final = 4096
"""Octets of a reply line; RFC 5321 section 4.5.3.1.5 says 512, some servers say more."""
MAX_LINES: Final = 128
"""Lines of one reply."""
KNOWN: Final = 256
"""Replies of one line that are remembered: most servers say the same few of them all day."""
KNOWN_LINE: Final = 80
"""Octets of such a line at most."""
MAX_TEXT: Final = 1000
"""Characters of a reply's text that are kept."""


@dataclass(frozen=True, slots=True)
class RemoteReply:
    """A whole reply. ``code`` 0: ours, about them (they never said it)."""

    code: int
    enhanced: str
    text: str
    """All lines, joined by spaces, without the enhanced code; printable."""
    lines: tuple[str, ...] = field(default=(), compare=False)
    host: str = field(default="", compare=False)
    """Who said it, where that is told of (Remote-MTA, RFC 3461 section 6.3)."""

    @property
    def kind(self) -> int:
        """The first digit: 2, 3, 4 or 5."""
        return self.code // 100

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code or ""), self.enhanced, self.text)))


def ours(enhanced: str, text: str) -> RemoteReply:
    """A reply that we give in their place."""
    return RemoteReply(0, enhanced, text)


class ReplyReader:
    """Cuts octets into replies. Both CRLF and LF end a line: some servers know no better."""

    __slots__ = ("_at", "_buffer", "_lines")

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._lines: list[tuple[bytes, bytes]] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing, not even a part of a reply, waits."""
        return self._at >= len(self._buffer) and not self._lines

    def receive(self, octets: bytes) -> None:
        """Take what the socket gave."""
        self._buffer = self._buffer[self._at :] + octets
        self._at = 0

    def next_reply(self) -> RemoteReply | None:
        """The next whole reply. Raises RemoteProtocolError."""
        while True:
            end = self._buffer.find(b"\n", self._at)
            if (len(self._buffer) if end < 0 else end) - self._at > MAX_LINE:
                raise RemoteProtocolError("reply line too long")
            if end < 0:
                return None
            line = self._buffer[self._at : end].removesuffix(b"\r")
            self._at = end + 1
            if not self._lines and (known := _known.get(line)) is not None:
                return known
            code, mark, text = line[:3], line[3:4], line[4:]
            is_code = len(code) == 3 and code.isdigit() and b"2" <= code[:1] <= b"5"
            if not is_code or mark not in (b"", b" ", b"-"):
                raise RemoteProtocolError(f"not a reply: {_printable(line[:80])}")
            if self._lines and self._lines[0][0] != code:
                raise RemoteProtocolError("one reply with two codes")
            self._lines.append((code, text))
            if mark != b"-":
                return _remembered(line, self._whole()) if len(self._lines) == 1 else self._whole()
            if len(self._lines) >= MAX_LINES:
                raise RemoteProtocolError("reply of too many lines")

    def _whole(self) -> RemoteReply:
        lines = tuple(_printable(text) for _, text in self._lines)
        code = int(self._lines[0][0])
        self._lines = []
        enhanced = _enhanced(lines[-1], code)
        if enhanced:
            prefix = enhanced + " "
            lines = tuple("" if line == enhanced else line.removeprefix(prefix) for line in lines)
        return RemoteReply(code, enhanced or f"{code // 100}.0.0", " ".join(lines)[:MAX_TEXT], lines)


_known: Final[dict[bytes, RemoteReply]] = {}


def _remembered(line: bytes, reply: RemoteReply) -> RemoteReply:
    """The reply of this one line, and of the next one like it; refusals are told apart by being objects."""
    if len(line) <= KNOWN_LINE and reply.kind < 4:
        if len(_known) >= KNOWN:
            _known.clear()
        _known[line] = reply
    return reply


def _printable(octets: bytes) -> str:
    text = octets.decode("utf-8", "replace")
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


# status-code = class "." subject "." detail      ; class = "2"/"4"/"5", subject and detail = 1*3digit
def _enhanced(line: str, code: int) -> str:
    word = line.partition(" ")[0]
    parts = word.split(".")
    if len(parts) != 3 or parts[0] != str(code // 100) or not word.isascii():
        return ""
    return word if all(part.isdigit() and len(part) <= 3 for part in parts) else ""


@dataclass(frozen=True, slots=True)
class Features:
    """What an EHLO or LHLO reply offered; nothing after HELO."""

    keywords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Keyword and its parameters, in upper case."""

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def size(self) -> int:
        """The SIZE limit; 0 for none told (RFC 1870 section 3)."""
        return self.number("SIZE")

    def number(self, keyword: str) -> int:
        """The number that follows a keyword; 0 for none."""
        return _number(self.keywords.get(keyword, ()))

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """AUTH mechanisms."""
        return self.keywords.get("AUTH", ())

    def limit(self, name: str) -> int:
        """A LIMITS value (RFC 9422 section 3) such as RCPTMAX; 0 for none told."""
        for word in self.keywords.get("LIMITS", ()):
            key, equals, value = word.partition("=")
            if key == name and equals:
                return _number((value,))
        return 0


def _number(words: tuple[str, ...]) -> int:
    word = words[0] if words else ""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 20 else 0


def features_of(reply: RemoteReply) -> Features:
    """The keywords of an EHLO reply; lines that are no ehlo-line are passed over."""
    keywords: dict[str, tuple[str, ...]] = {}
    for line in reply.lines[1:]:
        # QUIRK: "AUTH=PLAIN LOGIN" of ancient servers, for clients that no longer exist, is another keyword
        words = line.upper().split()
        if words:
            keywords[words[0]] = tuple(words[1:])
    return Features(keywords)
