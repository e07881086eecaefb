"""What the supervisor holds for its children: the lock, the sockets, and the settings it started with."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from a3mailer.config.tree import Settings


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

    @property
    def run_directory(self) -> Path:
        return self.directory / "run"
