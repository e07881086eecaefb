"""An IMAP client that believes only what it was told: responses, and the mailbox they add up to.

It shares no code with the server. ``responses`` cuts octets into lists (parentheses), bytes (atoms, strings
and literals, unquoted) and None (NIL); ``Mirror`` applies them in their order (RFC 9051 section 7, RFC 7162
section 3.2.10) and refuses what no server may say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

_TOKEN: Final = re.compile(
    rb'[ ]|(?P<open>[(])|(?P<close>[)])|"(?P<quoted>(?:[^"\\]|\\.)*)"|~?\{(?P<literal>\d+)\}\r\n'
    rb"|(?P<end>\r\n)|(?P<atom>(?:BODY\S*\[[^\]]*\](?:<\d+>)?|[^ ()\"{\r\n]+))"
)
_CODE: Final = re.compile(rb"(\S+) (OK|NO|BAD|BYE|PREAUTH)(?: \[([^\]]*)\])?([^\r\n]*)\r\n")

Value = Any
"""bytes, None or a list of values."""


@dataclass(frozen=True, slots=True)
class Response:
    """One line: ``tag`` (``*`` for untagged, ``+``), and its words, or a status with its code."""

    tag: bytes
    words: list[Value]
    status: bytes = b""
    code: bytes = b""


def responses(octets: bytes) -> Iterator[Response]:
    """All of them; fails at octets that are none."""
    at = 0
    while at < len(octets):
        if octets.startswith(b"+", at):
            end = octets.index(b"\r\n", at) + 2
            yield Response(b"+", [])
            at = end
        elif match := _CODE.match(octets, at):
            yield Response(match[1], [], match[2], match[3] or b"")
            at = match.end()
        else:
            words, at = _words(octets, at)
            yield Response(words[0], words[1:])


def _words(octets: bytes, at: int) -> tuple[list[Value], int]:
    stack: list[list[Value]] = [[]]
    while True:
        match = _TOKEN.match(octets, at)
        assert match is not None, f"no response: {octets[at : at + 80]!r}"
        at = match.end()
        kind = match.lastgroup
        if kind == "open":
            stack.append([])
        elif kind == "close":
            done = stack.pop()
            stack[-1].append(done)
        elif kind == "quoted":
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", match["quoted"]))
        elif kind == "literal":
            size = int(match["literal"])
            stack[-1].append(octets[at : at + size])
            at += size
        elif kind == "atom":
            stack[-1].append(None if match["atom"] == b"NIL" else match["atom"])
        elif kind == "end":
            assert len(stack) == 1, f"parentheses are open: {stack}"
            return stack[0], at


def numbers(uid_set: bytes) -> list[int]:
    """A set as a list; ranges in either direction."""
    found: list[int] = []
    for part in uid_set.split(b","):
        low, _, high = part.partition(b":")
        first, last = sorted((int(low), int(high or low)))
        found += range(first, last + 1)
    return found


@dataclass(slots=True)
class Seen:
    """What is known of one message; None where it was not told."""

    uid: int | None = None
    flags: frozenset[bytes] | None = None
    modseq: int = 0
    recent: bool = False


@dataclass(slots=True)
class Mirror:
    """The selected mailbox, as the responses of one session add up to."""

    qresync: bool = False
    """EXPUNGE may not be said, VANISHED has to."""
    messages: list[Seen] = field(default_factory=list)
    uid_validity: int = 0
    uid_next: int = 0
    highest: int = 0
    """What the client may give back as its modseq: HIGHESTMODSEQ, and MODSEQ of what was told since."""
    cached: dict[int, Seen] = field(default_factory=dict)
    """What was known when the connection was lost, by uid; ``merge`` puts it back."""
    heard: int = 0
    """The highest MODSEQ of all; it becomes ``highest`` where nothing can have been held back."""

    def apply(self, response: Response, *, expunges: bool) -> None:
        """An untagged response. ``expunges``: whether the command in hand allows to remove messages."""
        words = response.words
        if response.status:
            self._code(response.code)
        elif words[0] == b"VANISHED":
            self._vanished(words, expunges)
        elif len(words) > 1 and words[1] == b"EXISTS":
            count = int(words[0])
            assert count >= len(self.messages), f"EXISTS {count} takes messages away: {len(self.messages)}"
            self.messages += [Seen() for _ in range(count - len(self.messages))]
        elif len(words) > 1 and words[1] == b"EXPUNGE":
            assert expunges, "EXPUNGE while numbers are in use"
            assert not self.qresync, "EXPUNGE after ENABLE QRESYNC"
            del self.messages[int(words[0]) - 1]
        elif len(words) > 1 and words[1] == b"FETCH":
            self._fetch(int(words[0]), words[2])

    def _code(self, code: bytes) -> None:
        name, _, value = code.partition(b" ")
        if name == b"UIDVALIDITY":
            self.uid_validity = int(value)
        elif name == b"UIDNEXT":
            self.uid_next = int(value)
        elif name == b"HIGHESTMODSEQ":
            self.highest = self.heard = max(self.highest, int(value))

    def _vanished(self, words: list[Value], expunges: bool) -> None:
        assert self.qresync, "VANISHED to who did not ask for it"
        gone = set(numbers(words[-1]))
        for uid in gone:
            self.cached.pop(uid, None)
        if words[1] == [b"EARLIER"]:  # they have no numbers any more, or VANISHED will follow
            return
        assert expunges, "VANISHED while numbers are in use"
        for uid in gone - set(self.uids()):  # it was among those whose uid was not told, which ascend
            at = next(
                (at for at, one in enumerate(self.messages) if (one.uid or 0) > uid), len(self.messages)
            )
            assert at and self.messages[at - 1].uid is None, f"nobody knows of uid {uid}"
            del self.messages[at - 1]
        self.messages = [each for each in self.messages if each.uid not in gone]

    def _fetch(self, number: int, pairs: list[Value]) -> None:
        assert 1 <= number <= len(self.messages), f"FETCH of message {number} of {len(self.messages)}"
        told = attributes(pairs)
        one = self.messages[number - 1]
        if b"UID" in told:
            uid = int(told[b"UID"])
            assert one.uid in (None, uid), f"message {number} is uid {one.uid}, and not {uid}"
            one.uid = uid
        if b"FLAGS" in told:
            one.flags = frozenset(told[b"FLAGS"]) - {b"\\Recent"}
            one.recent = b"\\Recent" in told[b"FLAGS"]
        if b"MODSEQ" in told:
            one.modseq = int(told[b"MODSEQ"][0])
            self.heard = max(self.heard, one.modseq)

    def merge(self, *, described: bool) -> None:
        """After SELECT with QRESYNC: what was known and has not vanished is still there, in its order.

        ``described``: the client did not say which uids it knows, and so was told of all new ones."""
        told = self.uids()
        left = [one for uid, one in sorted(self.cached.items()) if uid not in told]
        unknown = told.count(None) - len(left)
        assert unknown == 0 if described else unknown >= 0, f"{len(left)} are known of {told}"
        rest = iter(left)
        self.messages = [next(rest, one) if one.uid is None else one for one in self.messages]
        self.cached = {}

    def settled(self) -> None:
        """Nothing was held back: a command was done that may remove messages."""
        self.highest = max(self.highest, self.heard)

    def uids(self) -> list[int | None]:
        """In their order."""
        return [each.uid for each in self.messages]


def attributes(pairs: list[Value]) -> dict[bytes, Value]:
    """The items of FETCH, STATUS or a search by their names."""
    return dict(zip(pairs[::2], pairs[1::2], strict=True))
