"""What the senders know of every attempt, and the judgement over what the mailboxes hold afterwards.

A sender that learned nothing, or was told to try later, sends the same mail again, as a queue does (some give
up, as people do): that is one attempt with one outcome, the last it heard.  After any fault
  an acknowledged attempt must be in its mailbox exactly once, octets equal, however often it was sent;
  an attempt whose fate the sender never learned may be there once or not at all;
  so may a deferred one (4xx after the content), but it is named: a server says "not now" of a mail it keeps
  only when it cannot know better, that is when its writer died and did not come back;
  a refused attempt must not be there.
"""

import collections
import dataclasses
import enum
import hashlib
import itertools
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

NAME: Final = re.compile(rb"^X-Ledger: (\S+)\r\n", re.MULTILINE)


class Outcome(enum.Enum):
    """What the sender saw."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    """5xx, or nothing of the content was sent."""
    DEFERRED = "deferred"
    """4xx after the content."""
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One mail; ``digest`` is over everything from the X-Ledger line on."""

    name: str
    recipient: str
    digest: bytes
    outcome: Outcome
    sends: int = 1
    """How often the content went out."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """One mail found in a mailbox."""

    recipient: str
    uid: int
    name: str
    digest: bytes


class Ledger:
    """The attempts of all sender threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: list[Attempt] = []
        self.acknowledged = 0

    def write(self, attempt: Attempt) -> None:
        """Add one attempt."""
        with self._lock:
            self._attempts.append(attempt)
            self.acknowledged += attempt.outcome is Outcome.ACKNOWLEDGED

    def attempts(self) -> list[Attempt]:
        """A copy."""
        with self._lock:
            return list(self._attempts)


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """Everything that is wrong, by attempt name or mailbox; all empty when the server kept its word."""

    acknowledged: int
    sent_again: int
    """Acknowledged only when they were sent a second time or later."""
    unknown: int
    unknown_kept: int
    deferred: int
    deferred_kept: tuple[str, ...]
    """No wrong in itself (module docstring): a test that never keeps the writer away asks for none."""
    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    damaged: tuple[str, ...]
    misplaced: tuple[str, ...]
    phantom: tuple[str, ...]
    disordered: tuple[str, ...]

    @property
    def faultless(self) -> bool:
        """True when nothing is wrong."""
        return not (
            self.lost or self.duplicated or self.damaged or self.misplaced or self.phantom or self.disordered
        )

    def __str__(self) -> str:
        wrong = ("lost", "duplicated", "damaged", "misplaced", "phantom", "disordered")
        told = ", ".join(
            f"{len(getattr(self, name))} {name} {list(getattr(self, name)[:5])}" for name in wrong
        )
        kept = self.deferred_kept
        return (
            f"{self.acknowledged} acknowledged ({self.sent_again} sent again), "
            f"{self.unknown} unknown ({self.unknown_kept} kept), "
            f"{self.deferred} deferred ({len(kept)} kept {list(kept[:5])}): {told}"
        )


def content(name: str, body: bytes) -> bytes:
    """The mail an attempt sends: the ledger's line first, so that trace headers stay above it."""
    head = (
        f"X-Ledger: {name}\r\nFrom: <ledger@load.test>\r\nTo: <any@example.test>\r\n"
        f"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{name}@load.test>\r\nSubject: {name}\r\n\r\n"
    )
    return head.encode() + body


def digest(mail: bytes) -> tuple[str, bytes] | None:
    """Name and digest of a stored mail; None for one that is not the ledger's."""
    found = NAME.search(mail)
    if found is None:
        return None
    return found[1].decode(), hashlib.sha256(mail[found.start() :]).digest()


def judge(
    attempts: Iterable[Attempt],
    stored: Iterable[Stored],
    mailboxes: Mapping[str, Sequence[int]],
) -> Judgement:
    """Compare; ``mailboxes`` has every mailbox's UIDs in the order of sequence numbers."""
    found: dict[str, list[Stored]] = collections.defaultdict(list)
    for mail in stored:
        found[mail.name].append(mail)
    wrong: dict[str, list[str]] = collections.defaultdict(list)
    counts: collections.Counter[Outcome] = collections.Counter()
    kept = again = 0
    deferred: list[str] = []
    for attempt in attempts:
        copies = found.pop(attempt.name, [])
        counts[attempt.outcome] += 1
        if attempt.outcome is Outcome.ACKNOWLEDGED and not copies:
            wrong["lost"].append(attempt.name)
        if attempt.outcome is Outcome.REFUSED and copies:
            wrong["phantom"].append(attempt.name)
        if len(copies) > 1:
            wrong["duplicated"].append(attempt.name)
        kept += attempt.outcome is Outcome.UNKNOWN and bool(copies)
        again += attempt.outcome is Outcome.ACKNOWLEDGED and attempt.sends > 1
        if attempt.outcome is Outcome.DEFERRED and copies:
            deferred.append(attempt.name)
        wrong["damaged"] += [c.name for c in copies if c.digest != attempt.digest]
        wrong["misplaced"] += [c.name for c in copies if c.recipient != attempt.recipient]
    wrong["phantom"] += found  # mails nobody sent
    for mailbox, uids in mailboxes.items():
        if any(b <= a for a, b in itertools.pairwise(uids)):
            wrong["disordered"].append(mailbox)
    return Judgement(
        acknowledged=counts[Outcome.ACKNOWLEDGED],
        sent_again=again,
        unknown=counts[Outcome.UNKNOWN],
        unknown_kept=kept,
        deferred=counts[Outcome.DEFERRED],
        deferred_kept=tuple(deferred),
        lost=tuple(wrong["lost"]),
        duplicated=tuple(wrong["duplicated"]),
        damaged=tuple(wrong["damaged"]),
        misplaced=tuple(wrong["misplaced"]),
        phantom=tuple(wrong["phantom"]),
        disordered=tuple(wrong["disordered"]),
    )
