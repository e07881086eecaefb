"""SPF records: which TXT record is one, and what its terms say (RFC 7208 sections 3, 4.5, 4.6, 5, 6 and 12).

Pure and total: a record that breaks the grammar anywhere is ``Malformed``, with the reason in words.
"""

from __future__ import annotations

import ipaddress
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from a3mailer.mail.authresults import FAIL, NEUTRAL, PASS, SOFTFAIL
from a3mailer.msgauth.spf_macro import MacroString, parse_domain, parse_macros

VERSION: Final = b"v=spf1"
MAX_RECORD: Final = 10_000
"""Octets of a record that is read; section 3.4 recommends less than 512."""
MAX_TERMS: Final = 250
"""Terms of a record that is read: less than a millisecond of work."""
MAX_REMEMBERED: Final = 1 << 19
"""Octets of the records that are kept parsed; the one used longest ago goes first."""
MAX_QUOTED: Final = 60
"""Characters of a term in a reason."""

QUALIFIERS: Final = {"+": PASS, "-": FAIL, "~": SOFTFAIL, "?": NEUTRAL}


class Directive(NamedTuple):
    """One mechanism and the result of its match."""

    result: str
    term: str
    """As written."""
    name: str
    """all, include, a, mx, ptr, ip4, ip6, exists."""
    domain: MacroString = ()
    """Without one: the domain that is checked."""
    shift4: int = 0
    """Bits of an IPv4 address that are not compared."""
    shift6: int = 0
    version: int = 0
    """4 or 6 for ip4 and ip6."""
    network: int = 0
    """The bits of ip4 and ip6 that are compared."""


class Record(NamedTuple):
    """A policy."""

    directives: tuple[Directive, ...] = ()
    redirect: MacroString = ()
    explanation: MacroString = ()


class Malformed(NamedTuple):
    """Why a record cannot be used, in words."""

    reason: str


# record  = version terms *SP ; version = "v=spf1"
def is_record(text: bytes) -> bool:
    """Whether a TXT record is an SPF record: the version, then a space or the end (section 4.5)."""
    return text[:6].lower() == VERSION and text[6:7] in (b"", b" ")


_DUAL: Final = re.compile(r"(:.*?)?(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?", re.DOTALL)
_IP4: Final = re.compile(r":([0-9.]{7,15})(?:/(0|[1-9][0-9]?))?")
_IP6: Final = re.compile(r":([0-9A-Fa-f:.]{2,45})(?:/(0|[1-9][0-9]{0,2}))?")
_ADDRESS: Final = re.compile(r":?[0-9]+(?:\.[0-9]+){3}")
_MODIFIER: Final = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_ARGUMENT: Final = re.compile(r"[:/]")

_Read = Callable[[str, str, str, str], Directive | None]
"""(result, term, name, what follows the name) -> the directive, None where the grammar is broken."""


# all = "all"
def _all(result: str, term: str, name: str, rest: str) -> Directive | None:
    return None if rest else Directive(result, term, name)


# include = "include" ":" domain-spec ; exists = "exists" ":" domain-spec ; ptr = "ptr" [ ":" domain-spec ]
def _with_domain(result: str, term: str, name: str, rest: str) -> Directive | None:
    if not rest:
        return Directive(result, term, name) if name == "ptr" else None
    domain = parse_domain(rest[1:]) if rest[0] == ":" else None
    return Directive(result, term, name, domain) if domain else None


# a  = "a"  [ ":" domain-spec ] [ dual-cidr-length ] ; mx = "mx" [ ":" domain-spec ] [ dual-cidr-length ]
# dual-cidr-length = [ ip4-cidr-length ] [ "/" ip6-cidr-length ]
def _hosts(result: str, term: str, name: str, rest: str) -> Directive | None:
    found = _DUAL.fullmatch(rest)
    if found is None:
        return None
    domain = parse_domain(found[1][1:]) if found[1] else ()
    shift4, shift6 = 32 - int(found[2] or 32), 128 - int(found[3] or 128)
    if domain is None or shift4 < 0 or shift6 < 0:
        return None
    return Directive(result, term, name, domain, shift4, shift6)


# ip4 = "ip4" ":" ip4-network [ ip4-cidr-length ] ; ip4-cidr-length = "/" ("0" / %x31-39 0*1DIGIT)
# ip6 = "ip6" ":" ip6-network [ ip6-cidr-length ] ; ip6-cidr-length = "/" ("0" / %x31-39 0*2DIGIT)
def _network(result: str, term: str, name: str, rest: str) -> Directive | None:
    four = name == "ip4"
    bits = 32 if four else 128
    found = (_IP4 if four else _IP6).fullmatch(rest)
    if found is None:
        return None
    shift = bits - int(found[2] or bits)
    try:
        number = int(ipaddress.IPv4Address(found[1]) if four else ipaddress.IPv6Address(found[1]))
    except ValueError:
        return None
    if shift < 0:
        return None
    return Directive(result, term, name, (), shift, shift, 4 if four else 6, number >> shift)


_MECHANISMS: Final[dict[str, _Read]] = {
    "all": _all,
    "include": _with_domain,
    "a": _hosts,
    "mx": _hosts,
    "ptr": _with_domain,
    "ip4": _network,
    "ip6": _network,
    "exists": _with_domain,
}


def quoted(term: str) -> str:
    """A stranger's term as it can stand in a sentence: printable ASCII, short."""
    shown = "".join(c if " " <= c <= "~" else "?" for c in term[:MAX_QUOTED])
    return f'"{shown}{"..." if len(term) > MAX_QUOTED else ""}"'


# directive = [ qualifier ] mechanism ; qualifier = "+" / "-" / "?" / "~"
def _directive(term: str) -> Directive | Malformed:
    result = QUALIFIERS.get(term[0], "")
    body = term[1:] if result else term
    argument = _ARGUMENT.search(body)
    name, rest = (body[: argument.start()], body[argument.start() :]) if argument else (body, "")
    name = name.lower()
    read = _MECHANISMS.get(name)
    if read is None:
        return Malformed(f"the mechanism {quoted(term)} is unknown")
    directive = read(result or PASS, term, name, rest)
    if directive is not None:
        return directive
    hint = ": ip4 is the mechanism for addresses" if read is _hosts and _ADDRESS.match(rest) else ""
    return Malformed(f"the mechanism {quoted(term)} is malformed{hint}")


# terms     = *( 1*SP ( directive / modifier ) )
# modifier  = redirect / explanation / unknown-modifier
# redirect  = "redirect" "=" domain-spec ; explanation = "exp" "=" domain-spec
# unknown-modifier = name "=" macro-string ; name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." )
def parse_record(text: bytes) -> Record | Malformed:
    """The policy of a TXT record for which ``is_record`` holds."""
    if len(text) > MAX_RECORD:
        return Malformed(f"the record has more than {MAX_RECORD} octets")
    if not text.isascii():
        return Malformed("the record holds octets that are not ASCII")
    terms = [term for term in text.decode("ascii")[len(VERSION) :].split(" ") if term]
    if len(terms) > MAX_TERMS:
        return Malformed(f"the record has more than {MAX_TERMS} terms")
    directives: list[Directive] = []
    modifiers: dict[str, MacroString] = {}
    for term in terms:
        modifier = _MODIFIER.fullmatch(term)
        if modifier is None:
            directive = _directive(term)
            if isinstance(directive, Malformed):
                return directive
            directives.append(directive)
            continue
        name = modifier[1].lower()
        known = name in ("redirect", "exp")
        value = parse_domain(modifier[2]) if known else parse_macros(modifier[2], explain=True)
        if value is None:
            return Malformed(f"the modifier {quoted(term)} is malformed")
        if known and name in modifiers:
            return Malformed(f"the modifier {name} occurs twice")
        modifiers[name] = value
    return Record(tuple(directives), modifiers.get("redirect", ()), modifiers.get("exp", ()))


class Records:
    """Remembers what records say, by their text, within a bound of octets."""

    __slots__ = ("_kept", "_octets")

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Record | Malformed] = OrderedDict()
        self._octets = 0

    def parse(self, text: bytes) -> Record | Malformed:
        """See ``parse_record``."""
        known = self._kept.get(text)
        if known is not None:
            self._kept.move_to_end(text)
            return known
        record = self._kept[text] = parse_record(text)
        self._octets += len(text)
        while self._octets > MAX_REMEMBERED:
            self._octets -= len(self._kept.popitem(last=False)[0])
        return record
