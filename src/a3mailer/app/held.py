"""What the supervisor holds for its children: the lock, the sockets, and the settings it started with."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.identity.credentials import VerifiedCache
from a3mailer.identity.throttle import Throttle
from a3mailer.runtime.shared import SharedCounts, SharedTable
from a3mailer.transfer.policy import replays, verify
from a3mailer.transfer.policy.checks import greylist, rate
from a3mailer.transfer.relay import pace

MAX_WORKERS: Final = 48
POP3_LOGINS: Final = 65_536
"""Accounts whose last login to POP3 is known."""


@dataclass(slots=True)
class Held:
    """Inherited by every child at its fork."""

    directory: Path
    overrides: Mapping[str, str]
    settings: Settings
    lock: int
    bound: dict[str, list[socket.socket]]
    writer_socket: socket.socket
    control_socket: socket.socket
    former: dict[int, str] = field(default_factory=dict)
    """Names of the former code's processes by pid, right after a restart."""

    throttle: Throttle = field(default_factory=Throttle)
    """Wrong logins, counted by all workers together."""
    verified: VerifiedCache = field(default_factory=lambda: VerifiedCache(0.0))
    """Right logins of the last minutes: none costs its hash in more than one worker."""
    rates: SharedTable = field(default_factory=lambda: SharedTable(rate.KEYS, rate.HALF_LIFE))
    """Mails by sender, domain, network and recipient, counted by all workers."""
    signatures: SharedTable = field(default_factory=lambda: SharedTable(replays.KEYS, rate.HALF_LIFE))
    """Recipients by DKIM signature, counted by all workers."""
    paces: SharedTable = field(default_factory=lambda: SharedTable(pace.LANES, pace.HALF_LIFE))
    """How fast other servers take mail, and which do not answer, as all workers have learnt it."""
    pop3_logins: SharedTable = field(default_factory=lambda: SharedTable(POP3_LOGINS, rate.HALF_LIFE))
    """When accounts have logged in to POP3, in all workers, for the pause between two logins."""
    by_ip: SharedCounts = field(default_factory=lambda: SharedCounts(MAX_WORKERS + 1))
    """Connections of each address; worker ``n`` has row ``n``."""

    greylist: SharedTable = field(init=False)
    """Triplets seen by all workers, and before the last restart."""
    recipients: SharedTable = field(init=False)
    """What is known of recipients of relayed domains, likewise."""

    def __post_init__(self) -> None:
        self.greylist = SharedTable(greylist.KEYS, greylist.HALF_LIFE, self.run_directory / "greylist")
        self.recipients = verify.table_of(self.directory)

    @property
    def run_directory(self) -> Path:
        return self.directory / "run"
