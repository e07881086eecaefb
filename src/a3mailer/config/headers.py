"""Rules over header fields (``policy.header_rules``), in one line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import re2

from a3mailer.config.fields import BadValue

DOORS: Final = ("smtp", "submission", "lmtp", "any")
ARROW: Final = " => "
MAX_RULE: Final = 1000
"""Characters of one."""
NEVER: Final = frozenset(("received", "return-path"))
"""Fields that loops are found by (RFC 5321 section 6.3), and ours."""


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """What is looked for in the value of a field that came by a door, and what stands there then."""

    door: str
    field: str
    pattern: Any
    """Compiled; of octets."""
    replacement: bytes


# rule = door SP field-name SP pattern " =>" [ SP replacement ]      ; \1 to \9 in it: what groups have found
def parse_header_rule(text: str) -> HeaderRule:
    """``submission User-Agent .* =>``, ``smtp Subject ^\\[EXT\\] (.*) => \\1``. Errors: BadValue."""
    left, arrow, replacement = (text + " ").partition(ARROW)
    words = left.split(" ", 2)
    if len(text) > MAX_RULE or not arrow or len(words) < 3 or words[0] not in DOORS or not words[2]:
        raise BadValue(f"{text!r} is not DOOR FIELD PATTERN => REPLACEMENT; doors: {', '.join(DOORS)}")
    door, name, pattern = words
    if not name.isascii() or not name.isprintable() or ":" in name or name.lower() in NEVER:
        raise BadValue(f"{name!r} is no field that may be changed")
    if not replacement.isprintable():
        raise BadValue(f"{text!r}: a replacement is one line of printable characters")
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # octets
    options.log_errors = False
    put = replacement.strip(" ").encode()
    try:
        compiled = re2.compile(pattern.encode(), options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if error.args else ""
        raise BadValue(f"{pattern!r}: {reason}") from error
    for digit in range(compiled.groups + 1, 10):
        if b"\\%d" % digit in put.replace(b"\\\\", b""):
            raise BadValue(f"{text!r} has no group {digit}")
    return HeaderRule(door, name.lower(), compiled, put)
