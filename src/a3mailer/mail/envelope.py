"""The envelope (RFC 5321 section 2.3.1): what SMTP carries beside the content."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import msgspec

from a3mailer.mail.address import Address, ReversePath


class Body(Enum):
    """The BODY parameter of MAIL (RFC 6152, RFC 3030)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"
    BINARY = "BINARYMIME"


@dataclass(frozen=True, slots=True)
class Recipient:
    """A forward-path with its DSN parameters (RFC 3461 section 4)."""

    address: Address
    notify: frozenset[str] = frozenset()
    """Of NEVER, SUCCESS, FAILURE, DELAY; empty when the client gave none."""
    original: str = ""
    """ORCPT as given, ``addr-type;xtext-decoded``; empty when absent."""


class Envelope(msgspec.Struct, frozen=True):
    """One mail transaction: a reverse-path and its forward-paths, with their parameters.

    (A struct, as all values made anew for each mail: making one costs an eighth of a frozen dataclass.)"""

    reverse_path: ReversePath
    recipients: tuple[Recipient, ...] = ()
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    size: int = 0
    """Declared by SIZE (RFC 1870); 0 when not."""
    return_content: str = ""
    """RET: FULL, HDRS or empty (RFC 3461 section 4.3)."""
    envelope_id: str = ""
    """ENVID, xtext-decoded (RFC 3461 section 4.4)."""
    priority: int = 0
    """From -9 to 9 (RFC 6710)."""
    deliver_by: int = 0
    """When it should be there, seconds since the epoch; 0: no time was asked for (RFC 2852)."""
    by_mode: str = ""
    """What happens then: R (return) or N (notify), and T to be told of each hand-over."""
    not_before: int = 0
    """When it may leave, seconds since the epoch; 0: at once (RFC 4865)."""
    tls: str = ""
    """``required`` (REQUIRETLS), ``optional`` (TLS-Required: No) or empty (RFC 8689)."""


class Client(msgspec.Struct, frozen=True):
    """Who is talking to a door: for trace headers, policy and events."""

    ip: str
    port: int
    helo: str = ""
    extended: bool = True
    """EHLO or LHLO, not HELO."""
    tls: str = ""
    """``TLSv1.3 TLS_AES_256_GCM_SHA384`` or empty (for Received, RFC 8314 section 4.3)."""
    account: int = 0
    """The authenticated account, 0 for none."""
    login: str = ""
    """The authenticated login name; empty for none."""
    protocol: str = "SMTP"
    """SMTP, LMTP or submission: which rules hold (RFC 6409)."""
