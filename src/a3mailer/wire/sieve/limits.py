"""Every limit of Sieve, by name: what a script may be, and what running it may cost. Octets and counts."""

from __future__ import annotations

from typing import Final, NamedTuple

SCRIPT: Final = 512 * 1024
"""A whole script."""
STRING: Final = 128 * 1024
"""One string of a script, after its escapes."""
NUMBER: Final = 2**63 - 1
"""RFC 5228 section 2.4.1 asks for 2**31 - 1 at least."""
NUMBER_DIGITS: Final = 19
NESTED_BLOCKS: Final = 32
"""RFC 5228 section 2.10.7 asks for fifteen."""
NESTED_TESTS: Final = 32
INSTRUCTIONS: Final = 65_536
"""Of one compiled script."""
HEADER: Final = 256 * 1024
"""How much of a header a script sees."""
FIELDS: Final = 5_000
"""Header fields it sees."""
VARIABLE: Final = 4_096
"""Octets of a variable; a longer value is cut (RFC 5229 section 6 asks for 4,000)."""
VARIABLES: Final = 256
"""RFC 5229 section 6 asks for 128."""
MATCHES: Final = 32
"""Match variables kept; the section before asks for nine."""
INCLUDED: Final = 10
"""Scripts within each other; RFC 6609 section 3.1 asks for three."""
INCLUDES: Final = 100
"""Scripts that one run includes."""
TRACE: Final = 10_000
"""Steps of a trace; later ones are not told."""
TRACE_TEXT: Final = 200
"""Characters of an argument in a trace."""


class Limits(NamedTuple):
    """What one run may cost; an operator may set them."""

    steps: int = 100_000
    """An instruction is one; long texts and patterns cost more, about one a microsecond."""
    memory: int = 2_097_152
    """Octets of all texts that a run makes: variables, decoded header fields, actions."""
    actions: int = 32
    redirects: int = 4
    """RFC 5228 section 10."""
    notifications: int = 4
    """RFC 5435 section 8."""


STANDARD: Final = Limits()
