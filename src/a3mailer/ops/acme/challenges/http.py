"""HTTP-01 (RFC 8555 section 8.3): a file on port 80 of the name."""

from __future__ import annotations

from typing import ClassVar

from a3mailer.ops.acme.challenges.responder import Answering, ChallengeFailure


class Http(Answering):
    """The http listener of every worker gives it."""

    kind: ClassVar[str] = "http-01"
    __slots__ = ()

    async def present(self, name: str, token: str, authorization: str) -> None:
        try:
            self._answers.put_http(token, authorization)
        except (OSError, ValueError) as error:
            raise ChallengeFailure(f"{name}: {error}") from error

    async def withdraw(self, name: str, token: str, authorization: str) -> None:
        self._answers.drop_http(token)
