"""Mail addresses as SMTP speaks of them (RFC 5321 section 4.1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Address:
    """``local-part@domain``: the local-part unquoted, the domain lower-case A-labels or a literal."""

    local_part: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local_part}@{self.domain}" if self.domain else self.local_part


@dataclass(frozen=True, slots=True)
class ReversePath:
    """The MAIL FROM address; ``address is None`` is the null reverse-path ``<>`` (RFC 5321 section 4.5.5)."""

    address: Address | None

    @property
    def is_null(self) -> bool:
        return self.address is None

    def __str__(self) -> str:
        return "" if self.address is None else str(self.address)


NULL_PATH: Final = ReversePath(None)
