"""Authentication-Results: what is known of a mail's sender, as values and as a header field (RFC 8601).

``encode`` writes a field that no value can break out of: each is a token, a plain address or a quoted string
without control characters, and bounded. ``parse`` is total and linear: a field that is none, or too large, is
None. ``strip_own`` takes away the fields that carry our own authserv-id when a mail comes in, however they
are spelled, and leaves all others as they are (section 5, attack row 19).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from a3mailer.mail.message.headers import cut, header_end

NONE: Final = "none"
PASS: Final = "pass"  # noqa: S105
FAIL: Final = "fail"
SOFTFAIL: Final = "softfail"
NEUTRAL: Final = "neutral"
POLICY: Final = "policy"
TEMPERROR: Final = "temperror"
PERMERROR: Final = "permerror"

FIELD: Final = "Authentication-Results"
MAX_FIELD: Final = 65_536
"""Octets of a field value that is read."""
MAX_RESULTS: Final = 100
"""Results of one field; a field with more is not read."""
MAX_PROPERTIES: Final = 100
"""Properties of one result; a field with more is not read."""
MAX_VALUE: Final = 400
"""Octets of UTF-8 of a value that is written: a line stays below 998 even with every one of them escaped."""
MAX_ID: Final = 255
"""Characters of an authserv-id that can be ours (a domain name, RFC 1035)."""
_LINE: Final = 76
"""Octets of a line, where folding allows it."""


class MethodResult(msgspec.Struct, frozen=True):
    """What one method found: ``MethodResult("spf", PASS, "", (("smtp", "mailfrom", "a@b.example"),))``."""

    method: str
    result: str
    reason: str = ""
    properties: tuple[tuple[str, str, str], ...] = ()
    """(ptype, property, value) in the order written; an address in its SMTP form."""

    def value(self, ptype: str, name: str) -> str | None:
        """The first value of a property, None without one."""
        for kind, key, value in self.properties:
            if kind == ptype and key == name:
                return value
        return None


class AuthResults(msgspec.Struct, frozen=True):
    """All results of one authentication service; without any the field says "none"."""

    authserv_id: str
    results: tuple[MethodResult, ...] = ()

    def of(self, method: str) -> tuple[MethodResult, ...]:
        """The results of one method."""
        return tuple(r for r in self.results if r.method == method)


# Keyword = Ldh-str (RFC 5321 section 4.1.2), of at most 64 octets; programs use "_" in it as well
_KEYWORD: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?")
_PLAIN: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+|[A-Za-z0-9!#$%&'*+./=?^_`{|}~-]*@[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
)
"""A token (RFC 2045 section 5.1), or [[local-part] "@"] domain-name, that needs no quotes."""


def _value(text: str) -> str:
    """``value`` or ``pvalue``: bare where it may be, else quoted; what cannot be printed becomes "?"."""
    octets = text.encode("utf-8", "replace")
    if len(octets) > MAX_VALUE:
        text = octets[:MAX_VALUE].decode("utf-8", "ignore")
    if _PLAIN.fullmatch(text):
        return text
    text = "".join(c if c.isprintable() else "?" for c in text)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _keyword(text: str) -> str:
    if not _KEYWORD.fullmatch(text):
        raise ValueError(f"not a keyword: {text!r}")
    return text


def _words(result: MethodResult) -> Iterator[str]:
    """What may stand on lines of its own."""
    yield f"{_keyword(result.method)}={_keyword(result.result)}"
    if result.reason:
        yield f"reason={_value(result.reason)}"
    for ptype, name, value in result.properties:
        yield f"{_keyword(ptype)}.{_keyword(name)}={_value(value)}"


# authres-header-field = "Authentication-Results:" [CFWS] authserv-id ( no-result / 1*resinfo ) [CFWS] CRLF
# resinfo   = [CFWS] ";" method "=" result [ CFWS "reason=" value ] [ CFWS 1*propspec ]
# propspec  = ptype "." property "=" pvalue
# pvalue    = [CFWS] ( value / [ [ local-part ] "@" ] domain-name ) [CFWS]
def encode(results: AuthResults, field: str = FIELD, prefix: str = "") -> bytes:
    """The whole field, folded, with its line end. ``prefix``: what begins the value (``i=1; `` in ARC).

    Errors: ValueError where a method, result, ptype or property is no keyword: our own mistake."""
    out = [f"{field}: {prefix}{_value(results.authserv_id)};"]
    if not results.results:
        out[0] += " none"
    for number, result in enumerate(results.results):
        if number:
            out[-1] += ";"
        line = "\t"
        for word in _words(result):
            if line != "\t" and len(line) + len(word) >= _LINE:
                out.append(line.rstrip(" "))
                line = "\t "
            line += word if line.endswith(("\t", " ")) else " " + word
        out.append(line)
    return "\r\n".join([*out, ""]).encode()


class _Scanner:
    """Reads a structured field value from the left; every method skips CFWS first. Linear, never raises."""

    __slots__ = ("_at", "_octets")

    _SPACE = re.compile(rb"[ \t\r\n]+")
    _PAREN = re.compile(rb"\\.|[()]", re.DOTALL)
    _QUOTED = re.compile(rb'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
    _PAIR = re.compile(rb"\\(.)", re.DOTALL)
    _ATOM = re.compile(rb'[^\x00-\x20\x7f;()"]+')
    _WORD = re.compile(_KEYWORD.pattern.encode() + rb"(?![A-Za-z0-9_-])")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def _skip(self) -> None:
        """Past [CFWS]; a comment that is never closed is all there is left."""
        octets, at = self._octets, self._at
        while True:
            if space := self._SPACE.match(octets, at):
                at = space.end()
            if octets[at : at + 1] != b"(":
                self._at = at
                return
            depth, end = 0, len(octets)
            for found in self._PAREN.finditer(octets, at):
                depth += {b"(": 1, b")": -1}.get(found[0], 0)
                if depth == 0:
                    end = found.end()
                    break
            at = end

    def done(self) -> bool:
        self._skip()
        return self._at >= len(self._octets)

    def take(self, octet: bytes) -> bool:
        """Whether this octet comes next; if so, past it."""
        self._skip()
        if self._octets[self._at : self._at + 1] != octet:
            return False
        self._at += 1
        return True

    def word(self) -> str:
        """A keyword in lower case, or nothing."""
        self._skip()
        found = self._WORD.match(self._octets, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0].decode("ascii").lower()

    def value(self) -> str | None:
        """A token, an address or a quoted string; the quotes stay where more follows them (a local-part)."""
        self._skip()
        start = self._at
        while found := self._QUOTED.match(self._octets, self._at) or self._ATOM.match(self._octets, self._at):
            self._at = found.end()
        raw = self._octets[start : self._at]
        if not raw:
            return None
        whole = self._QUOTED.fullmatch(raw)
        return (raw if whole is None else self._PAIR.sub(rb"\1", whole[1])).decode("utf-8", "replace")


def _result(scan: _Scanner, method: str) -> MethodResult | None:
    """One resinfo, after its ";" and its first word."""
    if scan.take(b"/"):
        scan.word()
    if not method or not scan.take(b"=") or not (word := scan.word()):
        return None
    reason = ""
    properties: list[tuple[str, str, str]] = []
    while key := scan.word():
        dotted = scan.take(b".")
        name = scan.word() if dotted else ""
        value = scan.value() if scan.take(b"=") else None
        if value is None or (dotted and not name) or len(properties) >= MAX_PROPERTIES:
            return None
        if name:
            properties.append((key, name, value))
        elif key == "reason":
            reason = value
        # QUIRK: Exchange Online adds "action=none", not known to RFC 8601: left out (tests/unit/mail)
    return MethodResult(method, word, reason, tuple(properties))


# authres-payload = [CFWS] authserv-id [ CFWS authres-version ] ( no-result / 1*resinfo ) [CFWS] CRLF
# no-result       = [CFWS] ";" [CFWS] "none"
def parse(value: bytes) -> AuthResults | None:
    """What a field value (folded or not, after the colon) says; None where it says nothing to rely on.

    Keywords come in lower case, comments are dropped. A version other than 1 is None (section 2.6)."""
    scan = _Scanner(value)
    if len(value) > MAX_FIELD or (authserv_id := scan.value()) is None:
        return None
    if (version := scan.word()) and version != "1":
        return None
    results: list[MethodResult] = []
    while not scan.done():
        if not scan.take(b";") or len(results) >= MAX_RESULTS:
            return None
        if scan.done():
            break  # a ";" too many at the end, as several programs write it
        method = scan.word()
        if method == "none" and not results and scan.done():
            break
        one = _result(scan, method)
        if one is None:
            return None
        results.append(one)
    return AuthResults(authserv_id, tuple(results))


_OWN: Final = re.compile(
    rb"\n(authentication-results[ \t\r\v\f\0]*:([^\n]*(?:\n[ \t][^\n]*)*))", re.IGNORECASE
)
_NOT_PRINTED: Final = bytes(range(0x20)) + b"\x7f"
_NAME_OCTET: Final = re.compile(r"[\w.-]")


def _name(text: str) -> str:
    """A host name as it is compared: lower case, A-labels, no final dot."""
    text = text.lower().rstrip(".")
    if text.isascii() or len(text) > MAX_ID:
        return text
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError:
        return text


def claims(value: bytes, authserv_id: str) -> bool:
    """True when a field value names this authserv-id, or a reader who is lenient may believe that it does.

    Whatever follows the name; quoted, escaped, commented, in another case, in U-labels, with a final dot."""
    said = _Scanner(value).value()
    if said is None:
        return False
    said = said.encode("utf-8", "replace").translate(None, _NOT_PRINTED).decode("utf-8", "replace")
    said, own = _name(said.replace('"', "").strip()), _name(authserv_id)
    return said == own or (said.startswith(own) and not _NAME_OCTET.match(said[len(own)]))


def own_fields(header: bytes, authserv_id: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each Authentication-Results field of a header block that claims to be ours."""
    block = b"\n" + header[: header_end(header, 0, len(header))]
    for found in _OWN.finditer(block):
        if claims(found[2], authserv_id):
            # the line end in the block is that of the field
            yield found.start(), min(found.end(), len(header))


def strip_own(header: bytes, authserv_id: str) -> bytes:
    """The header block without the fields that carry our authserv-id: strangers wrote them (section 5).

    All other octets, and the fields of other services, stay as they are."""
    return cut(header, own_fields(header, authserv_id))
