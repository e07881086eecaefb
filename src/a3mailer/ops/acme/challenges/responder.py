"""The door to one kind of challenge."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

from a3mailer.ops.acme.answers import Answers
from a3mailer.ops.dns_provider import DnsProvider


@dataclass(frozen=True, slots=True)
class Means:
    """What challenges are answered with."""

    answers: Answers
    provider: DnsProvider | None = None
    """Who changes the zones, for dns-01."""
    settle_seconds: float = 0.0
    """How long a zone's change may take to reach all its name servers."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


class Responder(Protocol):
    """Makes the answer to a challenge visible, and takes it away again."""

    kind: ClassVar[str]

    @classmethod
    def of(cls, means: Means) -> Self | None:
        """None where the means for it are not there."""
        ...

    async def present(self, name: str, token: str, authorization: str) -> None:
        """``authorization`` is the key authorization of ``token``. Errors: ChallengeFailure."""
        ...

    async def settled(self) -> None:
        """Return when all that was presented can be seen from everywhere."""
        ...

    async def withdraw(self, name: str, token: str, authorization: str) -> None:
        """What cannot be taken away is left: it proves nothing any more."""
        ...


class Answering:
    """What every worker's listeners answer from a table they share, at once."""

    __slots__ = ("_answers",)

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    @classmethod
    def of(cls, means: Means) -> Self | None:
        return cls(means.answers)

    async def settled(self) -> None:
        """At once."""


class ChallengeFailure(Exception):
    """The answer cannot be made visible; the text says why."""
