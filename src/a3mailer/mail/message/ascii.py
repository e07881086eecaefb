"""Octets by their names (RFC 5234 appendix B.1, RFC 5322).

They are integers because `DQUOTE in octets` is one scan, while `b'"' in octets` first fails to convert its
left side to a number, which costs more than most of the scans here.
"""

from typing import Final

HTAB: Final = 0x09
LF: Final = 0x0A
CR: Final = 0x0D
SP: Final = 0x20
DQUOTE: Final = 0x22
PERCENT: Final = 0x25
LEFT_PARENTHESIS: Final = 0x28
RIGHT_PARENTHESIS: Final = 0x29
ASTERISK: Final = 0x2A
COMMA: Final = 0x2C
DOT: Final = 0x2E
SLASH: Final = 0x2F
COLON: Final = 0x3A
EQUALS: Final = 0x3D
GREATER: Final = 0x3E
AT: Final = 0x40
BACKSLASH: Final = 0x5C
