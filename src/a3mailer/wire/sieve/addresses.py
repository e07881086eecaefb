"""Addresses: parts of those in a mail (RFC 5228 section 2.7.4), those a script sends to (section 2.4.2.3)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from a3mailer.mail.address import Address
from a3mailer.mail.message import addresses
from a3mailer.wire.sieve.door import Mail
from a3mailer.wire.sieve.errors import BadCall
from a3mailer.wire.smtp.paths import BadPath, parse_mailbox

SEPARATOR: Final = "vnd.a3.subaddress-separator"
"""The item of the environment."""


class Parts(NamedTuple):
    """An address of a mail in octets. An empty domain: it is no valid one, ``whole`` is all there is."""

    whole: bytes
    local_part: bytes = b""
    domain: bytes = b""
    separator: bytes = b"+"
    """Between user and detail (RFC 5233); empty for none."""


def whole(parts: Parts) -> bytes | None:
    """All of it."""
    return parts.whole


def local_part(parts: Parts) -> bytes | None:
    """None for what is no address; of the null reverse-path the empty string (RFC 5228 section 5.4)."""
    return parts.local_part if parts.domain or not parts.whole else None


def domain(parts: Parts) -> bytes | None:
    """The same of the right side."""
    return parts.domain if parts.domain or not parts.whole else None


def separator_of(mail: Mail) -> bytes:
    """What the server puts between user and detail."""
    found = mail.environment(SEPARATOR)
    return b"+" if found is None else found


def of_field(value: bytes, separator: bytes) -> list[Parts]:
    """The addresses of a field's unfolded value, those of its groups included."""
    return [
        Parts(each.addr_spec.encode(), each.local_part, each.domain, separator)
        for each in addresses.parse_mailboxes(value)
    ]


def of_path(value: bytes, separator: bytes) -> Parts:
    """A path of the envelope, its source route already dropped."""
    local, at, right = value.rpartition(b"@")
    return Parts(value, local, right, separator) if at and local else Parts(value)


# addr-spec = local-part "@" domain
# local-part = dot-atom / quoted-string     domain = dot-atom / domain-literal
# each with white space and comments around it (RFC 5322 section 3.4.1)
_ATEXT: Final = rb"[!#-'*+\-/-9=?A-Z^-~\x80-\xff]++"
_TOKEN: Final = re.compile(
    rb"""%b(?:\.%b)*+|"(?:[^"\\]|\\.)*+"|\[[^\[\]\\]*+\]|[.@<>]""" % (_ATEXT, _ATEXT), re.DOTALL
)
_BLANK: Final = b" \t\r\n"


def outbound(text: bytes) -> Address:
    """An address to send to. Errors: BadCall.

    sieve-address = addr-spec / phrase "<" addr-spec ">"
    QUIRK: Pigeonhole takes the latter without a phrase, too."""
    tokens = _tokens(text)
    if tokens[-1:] == [b">"] and b"<" in tokens:
        bracket = tokens.index(b"<")
        if any(each == b"@" or each[:1] == b"[" for each in tokens[:bracket]):
            raise BadCall(_wrong(text))
        tokens = tokens[bracket + 1 : -1]
    try:
        if len(tokens) != 3 or tokens[1] != b"@":
            raise BadCall(_wrong(text))
        return parse_mailbox(b"".join(tokens))
    except BadPath as error:
        raise BadCall(_wrong(text)) from error


# mailbox-list, of which each one may be empty; a quoted-string that does not end goes on to the end
_LISTED: Final = re.compile(rb'(?:[^",\\]++|\\.|"(?:[^"\\]|\\.)*+(?:"|\\?\Z))++', re.DOTALL)


def outbound_list(text: bytes) -> tuple[Address, ...]:
    """Addresses to send to, with commas between. Errors: BadCall."""
    return tuple(outbound(each) for each in _LISTED.findall(text) if each.strip())


def _tokens(text: bytes) -> list[bytes]:
    """Without what stands between them. Errors: BadCall."""
    found: list[bytes] = []
    at = 0
    while at < len(text):
        if text[at] in _BLANK:
            at += 1
        elif text.startswith(b"(", at):
            at = _behind_comment(text, at)
        else:
            token = _TOKEN.match(text, at)
            if token is None:
                raise BadCall(_wrong(text))
            found.append(token[0])
            at = token.end()
    return found


def _behind_comment(text: bytes, at: int) -> int:
    """Errors: BadCall, where it does not end."""
    depth = 0
    while at < len(text):
        octet = text[at]
        depth += (octet == 0x28) - (octet == 0x29)
        at += 2 if octet == 0x5C else 1
        if not depth:
            return at
    raise BadCall(_wrong(text))


# mailbox-list = mailbox *("," mailbox)
def mailboxes(text: bytes) -> None:
    """Is it a list of mailboxes (RFC 5322 section 3.4)? Errors: BadCall."""
    found = addresses.parse(text)
    try:
        for each in found:
            if not isinstance(each, addresses.Address) or each.route:
                raise BadCall(_wrong(text))
            parse_mailbox(each.addr_spec.encode())
    except BadPath as error:
        raise BadCall(_wrong(text)) from error
    if not found:
        raise BadCall(_wrong(text))


def _wrong(text: bytes) -> str:
    return f"{text[:100].decode('utf-8', 'replace')!r} is no address to send to"
