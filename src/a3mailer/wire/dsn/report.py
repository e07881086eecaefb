"""What a delivery status notification says (RFC 3464 section 2): plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Action(Enum):
    """RFC 3464 section 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """One group of per-recipient fields. Empty strings and zeros: the field is left out."""

    final: str
    """The address, without its type."""
    action: Action
    status: str
    """An enhanced status code (RFC 3463), ``5.1.1``."""
    original: str = ""
    """ORCPT as it came: ``addr-type;address``."""
    remote_mta: str = ""
    diagnostic: str = ""
    """What the remote server said, ``550 5.1.1 no such user``."""
    last_attempt: int = 0
    """Seconds since the epoch."""
    retry_until: int = 0
    reason: str = ""
    """What the recipient's mail filter says (RFC 5429 section 2.1.2); it may have several lines."""


@dataclass(frozen=True, slots=True)
class Report:
    """The machine-readable part: fields of the message and of each recipient."""

    reporting_mta: str
    recipients: tuple[RecipientStatus, ...]
    envelope_id: str = ""
    arrival: int = 0
    """Seconds since the epoch."""
    deliver_by: int = 0
    """Likewise (RFC 2852 section 5)."""
    release: int = 0
    """Until when its sender wanted it held, likewise (RFC 4865)."""


@dataclass(frozen=True, slots=True)
class Original:
    """The mail that is reported on, as it goes back (RFC 3462 section 2)."""

    octets: bytes
    """The whole mail, or its header only."""
    full: bool
