"""Content-Type and Content-Disposition with their parameters (RFC 2045 section 5.1, RFC 2183, RFC 2231).

Tolerant: unquoted values run to the next semicolon, a quoted string that is not closed runs to the end, the
first of two parameters of one name is the one that counts. Iterative and linear; nothing here raises.
"""

from typing import Final
from urllib.parse import unquote_to_bytes

from a3mailer.mail.message import charsets, limits
from a3mailer.mail.message.ascii import ASTERISK, LEFT_PARENTHESIS
from a3mailer.mail.message.words import clean, decode_words

Parameters = tuple[tuple[bytes, bytes], ...]

_BLANK: Final = b" \t\r"
_PLAIN: Final = bytes(c for c in range(33, 127) if c not in b'%"\\*')


# content = type "/" subtype *(";" attribute "=" value)      ; value = token / quoted-string
def parse(value: bytes) -> tuple[bytes, Parameters]:
    """Return the value in lower case and its parameters, names in lower case, in the order written."""
    head, _, rest = value.partition(b";")
    if LEFT_PARENTHESIS in head:
        head = head.partition(b"(")[0]
    return head.strip(_BLANK).lower(), tuple(_parameters(rest)) if rest else ()


def _parameters(text: bytes) -> list[tuple[bytes, bytes]]:
    out: list[tuple[bytes, bytes]] = []
    extended = False
    at, end = 0, len(text)
    while len(out) < limits.PARAMETERS:
        equals = text.find(b"=", at)
        if equals < 0:
            break
        name = text[at:equals].rpartition(b";")[2].strip(_BLANK).lower()
        at = equals + 1
        while at < end and text[at] in _BLANK:
            at += 1
        if text[at : at + 1] == b'"':
            item, at = _quoted_string(text, at + 1)
        else:
            stop = text.find(b";", at)
            stop = end if stop < 0 else stop
            item, at = text[at:stop].strip(_BLANK), stop
        if name:
            out.append((name, item))
            extended = extended or ASTERISK in name
    return _joined(out) if extended else out


# quoted-string = DQUOTE *(qtext / quoted-pair) DQUOTE
def _quoted_string(text: bytes, at: int) -> tuple[bytes, int]:
    """Return the content of the quoted string whose first octet is at `at`, and the offset after it."""
    stop = text.find(b'"', at)
    if stop < 0:
        stop = len(text)
    if text.find(b"\\", at, stop) < 0:
        return text[at:stop], stop + 1
    out: list[bytes] = []
    while True:
        slash = text.find(b"\\", at)
        if stop < at:
            stop = text.find(b'"', at)
            stop = len(text) if stop < 0 else stop
        if slash < 0 or stop < slash:
            out.append(text[at:stop])
            return b"".join(out), stop + 1
        out.append(text[at:slash])
        # QUIRK: Outlook writes unescaped Windows paths; a backslash is kept unless it escapes (RFC 822 says
        # any octet may be escaped, but none other is in practice).
        if text[slash + 1 : slash + 2] not in (b'"', b"\\"):
            out.append(b"\\")
        out.append(text[slash + 1 : slash + 2])
        at = slash + 2


# parameter = attribute ["*" section ["*"]] / attribute "*"      ; RFC 2231 sections 3 and 4
def _joined(pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Join continuations, as RFC 2231 section 6 asks of IMAP servers; charset and octets stay encoded."""
    sections: dict[bytes, dict[int, tuple[bool, bytes]]] = {}
    for name, value in pairs:
        attribute, _, rest = name.partition(b"*")
        number = rest.rstrip(b"*")
        if number.isdigit() and len(number) <= 3:
            sections.setdefault(attribute, {}).setdefault(int(number), (rest.endswith(b"*"), value))
    out: list[tuple[bytes, bytes]] = []
    for name, value in pairs:
        attribute, star, rest = name.partition(b"*")
        if not star or not rest:
            out.append((name, value))
        elif attribute in sections:
            out.append(_continued(attribute, sections.pop(attribute)))
    return out


def _continued(attribute: bytes, sections: dict[int, tuple[bool, bytes]]) -> tuple[bytes, bytes]:
    encoded = any(flag for flag, _ in sections.values())
    values: list[bytes] = []
    for number in range(len(sections)):
        if number not in sections:
            break
        flag, value = sections[number]
        values.append(value if flag or not encoded else _escaped(value))
    if encoded and 0 in sections and not sections[0][0]:
        values.insert(0, b"''")
    return attribute + b"*" * encoded, b"".join(values)


def _escaped(value: bytes) -> bytes:
    return b"".join(bytes((c,)) if c in _PLAIN else b"%%%02X" % c for c in value)


# extended-value = charset "'" [language] "'" *(%HEXHEX / attribute-char)
def text_of(parameters: Parameters, name: bytes) -> str:
    """Return a parameter as text, "" without it: RFC 2231 form first, else RFC 2047 words are tolerated."""
    plain: bytes | None = None
    extended = name + b"*"
    for key, value in parameters:
        if key == extended:
            charset, mark, rest = value.partition(b"'")
            octets = rest.partition(b"'")[2] if mark else charset
            return clean(charsets.decode(unquote_to_bytes(octets), charset if mark else b""))
        if key == name and plain is None:
            plain = value
    return "" if plain is None else decode_words(plain)


def value_of(parameters: Parameters, name: bytes) -> bytes:
    """Return the octets of the first parameter of a name, b"" without it."""
    for key, value in parameters:
        if key == name:
            return value
    return b""
