"""Passwords that are made here, to be shown once."""

from __future__ import annotations

import secrets
from typing import Final

GROUPS: Final = 5
LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without those that are mistaken for one another."""


def new_password() -> str:
    """A password of about 98 bits that can be typed."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(GROUPS))
