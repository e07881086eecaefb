"""What is demanded of the TLS of a session out, as one value (RFC 7672, RFC 8461, RFC 7435).

Made where a destination's policy is known, obeyed by whoever opens the session, told of by TLS-RPT (RFC
8460).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final


class TlsLevel(Enum):
    """How much is demanded, from least to most."""

    NEVER = "never"
    MAY = "may"
    """Encrypted where it can be, to whoever answers; in clear otherwise (RFC 7435)."""
    MUST = "must"
    """Encrypted, to whoever answers: never in clear."""
    STS = "sts"
    """Encrypted, with a certificate that public authorities vouch for, for one of ``names`` (RFC 8461)."""
    DANE = "dane"
    """Encrypted, with a certificate that one of ``associations`` vouches for (RFC 7672)."""


@dataclass(frozen=True, slots=True)
class Association:
    """A usable TLSA record (RFC 6698 section 2.1): usage 2 or 3, known selector and matching type."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex().upper()}"


@dataclass(frozen=True, slots=True)
class TlsPlan:
    """For one host of one destination. Plans that demand the same are equal: they may share a session."""

    level: TlsLevel = TlsLevel.MAY
    names: tuple[str, ...] = ()
    """Names of which the certificate has to carry one, in A-labels; for STS and DANE usage 2."""
    associations: tuple[Association, ...] = ()
    server_name: str = ""
    """What SNI says; empty: the host's own name. For DANE the TLSA base domain (RFC 7672 section 8.1)."""
    reason: str = field(default="", compare=False)
    """Where the demand comes from, in words."""
    policy_type: str = field(default="no-policy-found", compare=False)
    """``tlsa``, ``sts`` or ``no-policy-found`` (RFC 8460 section 4.2)."""
    policy_domain: str = field(default="", compare=False)
    policy_strings: tuple[str, ...] = field(default=(), compare=False)
    """The policy as it was found: the TLSA records, or the lines of the MTA-STS policy."""
    mx_hosts: tuple[str, ...] = field(default=(), compare=False)
    """The ``mx`` patterns of an MTA-STS policy."""

    asked: str = field(default="", compare=False)
    """What ``word`` is, where it is no policy of the destination and no rule of the operator."""

    @property
    def word(self) -> str:
        """What is in force: dane, sts, rule (of the operator), requiretls, or none."""
        if self.asked:
            return self.asked
        if self.level is TlsLevel.DANE:
            return "dane"
        if self.policy_type == "sts":
            return "sts"
        return "rule" if self.reason else "none"

    @property
    def in_clear(self) -> bool:
        """The mail may go without TLS."""
        return self.level in (TlsLevel.NEVER, TlsLevel.MAY)


OPPORTUNISTIC: Final = TlsPlan()
"""Where nobody demands anything."""
