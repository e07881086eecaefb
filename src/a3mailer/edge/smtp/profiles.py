"""What differs between the listeners that speak SMTP; LMTP's profile is in ``edge/lmtp``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of listener. ``protocol`` is what policy sees (``Client.protocol``)."""

    name: str
    protocol: str
    starttls: bool
    auth: bool
    """AUTH is offered and MAIL needs it (RFC 6409 section 4.3)."""
    lmtp: bool = False
    limited: bool = True
    """Offenders are slowed down; a local delivery agent is none."""


MX: Final = Profile("smtp", "SMTP", starttls=True, auth=False)
SUBMISSION: Final = Profile("submission", "submission", starttls=True, auth=True)
SUBMISSIONS: Final = Profile("submissions", "submission", starttls=False, auth=True)
"""Implicit TLS (RFC 8314 section 3.3)."""
