"""Paths and mailboxes (RFC 5321 section 4.1.2, RFC 6531 section 3.3), parsed and encoded.

Everything is bounded by the command line it came in; nothing here recurses or backtracks. Errors: Rejected
with the reply of the side (sender or recipient) that the path belongs to.
"""

from __future__ import annotations

import ipaddress
import string
from functools import lru_cache
from typing import Final

import idna

from a3mailer.mail.address import Address

MAX_LOCAL_PART: Final = 256
"""RFC 5321 section 4.5.3.1.1 says 64 and asks for no limit where possible; VERP and SRS exceed 64."""
MAX_DOMAIN: Final = 255
MAX_LABEL: Final = 63
DOMAINS_REMEMBERED: Final = 4096

_LETDIG: Final = (string.ascii_letters + string.digits).encode()
_ATEXT: Final = _LETDIG + b"!#$%&'*+-/=?^_`{|}~"
_ATEXT_DOT: Final = _ATEXT + b"."
_LDH: Final = _LETDIG + b"-"
_HIGH: Final = bytes(range(128, 256))
_OTHER_DOTS: Final = frozenset("\u3002\uff0e\uff61")
"""Ideographic full stops, which IDNA 2003 took for dots."""
_PLAIN: Final = _ATEXT_DOT + _HIGH
"""Octets of a local part that needs no quotes (RFC 6531: everything beyond ASCII is atext)."""


class BadPath(ValueError):
    """Not a path. Its callers turn it into the reply that fits."""


# Reverse-path   = Path / "<>"
# Forward-path   = Path / "<Postmaster>"
# Path           = "<" [ A-d-l ":" ] Mailbox ">"
# A-d-l          = At-domain *( "," At-domain )        ; the source route: accepted, ignored
# Mailbox        = Local-part "@" ( Domain / address-literal )
# Local-part     = Dot-string / Quoted-string
# Dot-string     = Atom *("."  Atom)                   ; Atom: atext, and UTF8-non-ascii (RFC 6531)
# Quoted-string  = DQUOTE *QcontentSMTP DQUOTE
def split_path(argument: bytes) -> tuple[bytes, bytes]:
    """``<path> parameters`` into the octets between the brackets and those after. Raises BadPath."""
    if not argument.startswith(b"<"):
        raise BadPath("no bracket")
    end = argument.find(b">")
    if b'"' in argument[:end]:
        end = _end_of_quoted(argument)
    if end < 0:
        raise BadPath("no closing bracket")
    rest = argument[end + 1 :]
    if rest and not rest.startswith(b" "):
        raise BadPath("no space after the path")
    return argument[1:end], rest


def _end_of_quoted(argument: bytes) -> int:
    """The index of the ``>`` outside a quoted-string, -1 when there is none."""
    at, quoted = 1, False
    while at < len(argument):
        octet = argument[at]
        if quoted and octet == 0x5C:
            at += 1
        elif octet == 0x22:
            quoted = not quoted
        elif octet == 0x3E and not quoted:
            return at
        at += 1
    return -1


def parse_mailbox(octets: bytes, *, postmaster: bool = False) -> Address:
    """What stands between the brackets, without the null path. Raises BadPath.

    ``postmaster`` allows the one forward-path without a domain (RFC 5321 section 4.1.1.3).
    """
    if octets.startswith(b"@"):
        octets = _without_route(octets)
    if octets.startswith(b'"'):
        local_part, rest = _quoted_string(octets)
        if not rest.startswith(b"@"):
            raise BadPath("no domain")
        return Address(local_part, parse_domain(rest[1:]))
    local, at, domain = octets.partition(b"@")
    if not at:
        if postmaster and local.lower() == b"postmaster":
            return Address("postmaster", "")
        raise BadPath("no domain")
    return Address(_dot_string(local), parse_domain(domain))


def _without_route(octets: bytes) -> bytes:
    pieces = octets.split(b":")
    depth = 0
    for number, piece in enumerate(pieces[:-1], 1):  # a literal holds colons of its own
        depth += piece.count(b"[") - piece.count(b"]")
        if depth <= 0:
            _check_route(b":".join(pieces[:number]))
            return b":".join(pieces[number:])
    raise BadPath("a route without its colon")


def _check_route(route: bytes) -> None:
    for hop in route.split(b","):
        if not hop.startswith(b"@"):
            raise BadPath("a route of something else than @domains")
        parse_domain(hop[1:])


def _dot_string(local: bytes) -> str:
    if local.translate(None, _ATEXT_DOT):
        if local.translate(None, _ATEXT_DOT + _HIGH):
            raise BadPath("a character that needs quotes")
        return _checked_local(_utf8(local))
    return _checked_local(local.decode("ascii"))


def _checked_local(local_part: str) -> str:
    if not local_part or len(local_part) > MAX_LOCAL_PART:
        raise BadPath("local part empty or too long")
    if local_part[0] == "." or local_part[-1] == "." or ".." in local_part:
        raise BadPath("a dot in the wrong place")
    return local_part


def _utf8(octets: bytes) -> str:
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise BadPath("not UTF-8") from None
    if not text.isprintable():
        raise BadPath("a control or formatting character")
    return text


def _quoted_string(octets: bytes) -> tuple[str, bytes]:
    """The content of the quoted-string ``octets`` begins with, and what follows it."""
    out = bytearray()
    at = 1
    while at < len(octets):
        octet = octets[at]
        if octet == 0x22:
            local_part = _utf8(bytes(out)) if out else ""
            if len(local_part) > MAX_LOCAL_PART:
                raise BadPath("local part too long")
            return local_part, octets[at + 1 :]
        if octet == 0x5C:
            at += 1
            if at == len(octets) or not 32 <= octets[at] < 127:
                raise BadPath("a backslash before nothing printable")
            octet = octets[at]
        elif octet < 32 or octet == 127:
            raise BadPath("a control character")
        out.append(octet)
        at += 1
    raise BadPath("a quoted-string without its end")


# Domain          = sub-domain *("." sub-domain)          ; sub-domain: LDH, or U-label (RFC 6531)
# address-literal = "[" ( IPv4-address-literal / "IPv6:" IPv6-addr / General-address-literal ) "]"
@lru_cache(DOMAINS_REMEMBERED)
def parse_domain(octets: bytes) -> str:
    """Lower-case A-labels, or the literal in its one form. Raises BadPath."""
    if not octets or len(octets) > MAX_DOMAIN:
        raise BadPath("domain empty or too long")
    if octets.startswith(b"["):
        return _literal(octets)
    if not octets.isascii():
        return _a_labels(octets)
    for label in octets.split(b"."):
        if not label or len(label) > MAX_LABEL or label.translate(None, _LDH):
            raise BadPath("not a domain name")
        if label[0] == 0x2D or label[-1] == 0x2D:
            raise BadPath("a hyphen in the wrong place")
    return octets.decode("ascii").lower()


def _a_labels(octets: bytes) -> str:
    try:  # IDNA 2008 without mapping: what is not already a valid U-label is refused
        text = octets.decode("utf-8")
        if not _OTHER_DOTS.isdisjoint(text):
            raise BadPath("a dot that is none")
        domain = idna.encode(text, uts46=False).decode("ascii").lower()
    except (UnicodeError, idna.IDNAError):
        raise BadPath("not an internationalised domain name") from None
    if len(domain) > MAX_DOMAIN or domain.endswith("."):
        raise BadPath("not a domain name")
    return domain


def _literal(octets: bytes) -> str:
    if not octets.endswith(b"]") or not octets.isascii():
        raise BadPath("not an address literal")
    inner = octets[1:-1].decode("ascii")
    try:
        if inner[:5].lower() == "ipv6:":
            if "%" in inner:
                raise BadPath("a zone in an address literal")
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:])}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError:
        raise BadPath("not an address literal we know") from None


def needs_utf8(address: Address) -> bool:
    """Whether the address can only be sent with SMTPUTF8 (the domain is A-labels already)."""
    return not address.local_part.isascii()


def encode_mailbox(address: Address) -> bytes:
    """As it stands between the brackets, with the least quoting (RFC 5321 section 4.1.2)."""
    local = address.local_part.encode("utf-8")
    if not _is_dot_string(local):
        local = b'"' + local.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return local + b"@" + address.domain.encode("ascii") if address.domain else local


def _is_dot_string(local: bytes) -> bool:
    if not local or local.startswith(b".") or local.endswith(b".") or b".." in local:
        return False
    return not local.translate(None, _PLAIN)
