"""What a command says: untagged lines as octets, and at most one value about its tagged end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Completed:
    """The tagged OK carries this response code or text (RFC 9051 section 7.1)."""

    code: bytes = b""
    text: bytes = b""


@dataclass(frozen=True, slots=True)
class Failed:
    """The tagged answer is NO with this response code and text."""

    code: bytes
    text: bytes


Response = bytes | Completed | Failed
Answer = AsyncIterator[Response] | Coroutine[object, object, Completed | Failed] | Completed | Failed
"""What ``run`` returns: responses one after the other; or (where each microsecond counts) work that writes by
itself and says how it ended; or, when all was written at once and nothing had to be waited for, only that."""
DONE: Final = Completed()
