"""Core/echo (RFC 8620 section 4): the arguments, back again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from a3mailer.edge.http.jmap.capabilities import CORE
from a3mailer.edge.http.jmap.method import Call, Method


@dataclass(frozen=True, slots=True)
class Echo:
    """Says what it was told."""

    name: str = "Core/echo"
    capability: str = CORE
    action: str = "session.use"
    writes: bool = False
    form: type[msgspec.Struct] | None = None

    async def run(self, _call: Call, arguments: dict[str, object]) -> dict[str, object]:
        return arguments


METHODS: Final[tuple[Method, ...]] = (Echo(),)
