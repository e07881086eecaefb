"""The parameters of MAIL and RCPT: SIZE (RFC 1870), BODY (RFC 6152, RFC 3030), SMTPUTF8 (RFC 6531),
RET, ENVID, NOTIFY, ORCPT (RFC 3461), AUTH (RFC 4954), REQUIRETLS (RFC 8689); ``promises`` has the rest.

Errors: Rejected."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Final

from a3mailer.mail.envelope import Body
from a3mailer.wire.smtp.promises import PARAMETERS
from a3mailer.wire.smtp.replies import SYNTAX, UNKNOWN_PARAMETER, Rejected, Reply
from a3mailer.wire.smtp.xtext import UTF8, decode_xtext, normal

MAX_PARAMETERS: Final = 16
MAX_ENVID: Final = 100
"""RFC 3461 section 4.4."""
MAX_ORCPT: Final = 500
"""RFC 3461 section 4.2."""
MAX_SIZE_DIGITS: Final = 20
"""RFC 1870 section 4."""

_KEYWORD: Final = (string.ascii_letters + string.digits + "-").encode()
_VALUE: Final = bytes(range(33, 61)) + bytes(range(62, 127)) + bytes(range(128, 256))
_BODIES: Final = {body.value.encode(): body for body in Body}
_NOTIFY: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})
MAIL_PARAMETERS: Final = PARAMETERS | {
    b"SIZE",
    b"BODY",
    b"SMTPUTF8",
    b"RET",
    b"ENVID",
    b"AUTH",
    b"REQUIRETLS",
}
RCPT_PARAMETERS: Final = frozenset({b"NOTIFY", b"ORCPT"})


def _bad(what: str) -> Rejected:
    return Rejected(Reply(501, "5.5.4", f"bad {what} parameter"))


# Mail-parameters  = esmtp-param *(SP esmtp-param)
# esmtp-param      = esmtp-keyword ["=" esmtp-value]
# esmtp-keyword    = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
# esmtp-value      = 1*(%d33-60 / %d62-126 / UTF8-non-ascii)              ; RFC 6531 section 3.3
def split_parameters(octets: bytes, known: frozenset[bytes]) -> dict[bytes, bytes | None]:
    """Keyword (upper case) to value; None for a keyword without ``=``. Who asks for a value sees to it that
    it is what it should be; where there is no SMTPUTF8 the engine lets no octet above 127 through."""
    found: dict[bytes, bytes | None] = {}
    for word in octets.split():
        keyword, equals, value = word.partition(b"=")
        keyword = keyword.upper()
        if not keyword or keyword.translate(None, _KEYWORD) or keyword.startswith(b"-"):
            raise Rejected(SYNTAX)
        if equals and (not value or value.translate(None, _VALUE)):
            raise Rejected(SYNTAX)
        if keyword not in known:
            raise Rejected(UNKNOWN_PARAMETER)
        if keyword in found or len(found) >= MAX_PARAMETERS:
            raise Rejected(SYNTAX)
        found[keyword] = value if equals else None
    return found


# size-value ::= 1*20DIGIT
def size_of(found: Mapping[bytes, bytes | None]) -> int:
    """SIZE, 0 when absent."""
    if b"SIZE" not in found:
        return 0
    value = found[b"SIZE"]
    if value is None or not value.isdigit() or len(value) > MAX_SIZE_DIGITS:
        raise _bad("SIZE")
    return int(value)


# body-value ::= "7BIT" / "8BITMIME" / "BINARYMIME"
def body_of(found: Mapping[bytes, bytes | None]) -> Body:
    """BODY, 7BIT when absent."""
    if b"BODY" not in found:
        return Body.SEVEN_BIT
    body = _BODIES.get((found[b"BODY"] or b"").upper())
    if body is None:
        raise _bad("BODY")
    return body


def smtputf8_of(found: Mapping[bytes, bytes | None]) -> bool:
    """Whether SMTPUTF8 was given; it takes no value (RFC 6531 section 3.4)."""
    if found.get(b"SMTPUTF8") is not None:
        raise _bad("SMTPUTF8")
    return b"SMTPUTF8" in found


def tls_of(found: Mapping[bytes, bytes | None]) -> str:
    """``required`` where REQUIRETLS was given; it takes no value (RFC 8689 section 2)."""
    if found.get(b"REQUIRETLS") is not None:
        raise _bad("REQUIRETLS")
    return "required" if b"REQUIRETLS" in found else ""


# ret-value = "FULL" / "HDRS"
def return_content_of(found: Mapping[bytes, bytes | None]) -> str:
    """RET, empty when absent."""
    if b"RET" not in found:
        return ""
    value = (found[b"RET"] or b"").upper()
    if value not in (b"FULL", b"HDRS"):
        raise _bad("RET")
    return value.decode("ascii")


def envelope_id_of(found: Mapping[bytes, bytes | None]) -> str:
    """ENVID, decoded: printable ASCII (RFC 3461 section 4.4); empty when absent."""
    value = found.get(b"ENVID", b"")
    if value is None or len(value) > MAX_ENVID:
        raise _bad("ENVID")
    try:
        envelope_id = decode_xtext(value)
    except ValueError:
        raise _bad("ENVID") from None
    if not envelope_id.isascii():
        raise _bad("ENVID")
    return envelope_id


# notify-esmtp-value  = "NEVER" / (notify-list-element *("," notify-list-element))
# notify-list-element = "SUCCESS" / "FAILURE" / "DELAY"
def notify_of(found: Mapping[bytes, bytes | None]) -> frozenset[str]:
    """NOTIFY, empty when absent."""
    if b"NOTIFY" not in found:
        return frozenset()
    words = (found[b"NOTIFY"] or b"").decode("ascii", "replace").upper().split(",")
    notify = frozenset(words)
    if notify != {"NEVER"} and not notify <= _NOTIFY:
        raise _bad("NOTIFY")
    return notify


# orcpt-parameter = "ORCPT=" addr-type ";" xtext          ; or "utf-8;" utf-8-enc-addr (RFC 6533 section 3)
def original_of(found: Mapping[bytes, bytes | None]) -> str:
    """ORCPT as ``xtext`` says that originals are kept, empty when absent. Only of the type ``utf-8`` it has
    characters beyond ASCII."""
    if b"ORCPT" not in found:
        return ""
    value = found[b"ORCPT"] or b""
    kind, semicolon, address = value.partition(b";")
    if not semicolon or not kind or kind.translate(None, _KEYWORD) or len(value) > MAX_ORCPT:
        raise _bad("ORCPT")
    try:
        text = decode_xtext(address)
    except ValueError:
        raise _bad("ORCPT") from None
    if kind.lower() == UTF8.encode():
        text = normal(text)
    elif not text.isascii():
        raise _bad("ORCPT")
    return f"{kind.decode('ascii')};{text}"


def check_auth(found: Mapping[bytes, bytes | None]) -> None:
    """AUTH=<> or AUTH=xtext: understood, and not believed (RFC 4954 section 5 allows that)."""
    value = found.get(b"AUTH", b"<>")
    if value == b"<>":
        return
    try:
        decode_xtext(value or b"+")
    except ValueError:
        raise _bad("AUTH") from None
