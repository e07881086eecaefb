"""The wall clock of processes leaps, goes back or runs too fast (libfaketime).

The monotonic clock stays as it is, as it does when an administrator or NTP sets the time.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

import pytest

LIBRARY: Final = Path(f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketimeMT.so.1")


class WallClock:
    """What processes started with ``env`` take for the time; ``set`` changes it while they run."""

    def __init__(self, folder: Path) -> None:
        if not LIBRARY.exists():
            pytest.skip("absent: libfaketime")
        self._path = folder / "clock"
        self.set("+0")
        self.env: Final = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, offset: str) -> None:
        """``+400d``, ``-1h``, ``+0 x10``: faketime(1)'s words."""
        draft = self._path.with_suffix(".new")
        draft.write_text(f"{offset}\n")
        draft.replace(self._path)
