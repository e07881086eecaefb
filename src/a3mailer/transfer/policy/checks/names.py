"""What a domain name of a host in the DNS looks like (RFC 1123 section 2.1, RFC 5321 section 2.3.5)."""

from __future__ import annotations

import re
from typing import Final

MAX_NAME: Final = 200
"""Characters; with a list's zone behind it a longer one would be no name."""
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})+\Z")


# domain = label 1*("." label)      ; fully qualified, so of two labels at least; the last is no number
def is_name(text: str) -> bool:
    """Is it a fully qualified domain name in A-labels?"""
    return len(text) <= MAX_NAME and _NAME.match(text) is not None and not text.rpartition(".")[2].isdigit()
