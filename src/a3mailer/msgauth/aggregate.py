"""DMARC aggregate reports (RFC 7489 section 7.2, appendix C; RFC 9990 section 3): the XML, read and written.

What is read comes from strangers: no document type, no entity, no second file is ever looked at (attack row
27), octets, depth, elements and rows are bounded. Elements are known by their local names, in any order and
any namespace, because both schemas and many makers' readings of them are about. What is written has the
schema of RFC 9990 with nothing in it that a reader of RFC 7489 would miss.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from html import escape
from typing import Final

from msgspec import Struct

from a3mailer.msgauth.packed import MAX_UNPACKED, Unreadable
from a3mailer.runtime import markup

MAX_DEPTH: Final = 16
MAX_ELEMENTS: Final = 1_000_000
LIMITS: Final = markup.Limits(MAX_UNPACKED, MAX_DEPTH, MAX_ELEMENTS)
MAX_ROWS: Final = 50_000
MAX_TEXT: Final = 1024
"""Characters of one value that are kept."""
MAX_AUTH: Final = 20
"""DKIM results, SPF results and reasons of a row that are kept."""
MAX_COUNT: Final = 1 << 40
MAX_TIME: Final = 1 << 40
NAMESPACE: Final = "urn:ietf:params:xml:ns:dmarc-2.0"
DISPOSITIONS: Final = ("none", "pass", "quarantine", "reject")
_KNOWN: Final = frozenset(
    (
        "feedback", "report_metadata", "org_name", "email", "extra_contact_info", "report_id", "date_range",
        "begin", "end", "error", "policy_published", "domain", "p", "sp", "np", "adkim", "aspf", "testing",
        "fo", "row", "source_ip", "count", "policy_evaluated", "disposition", "dkim", "spf", "reason", "type",
        "comment", "identifiers", "header_from", "envelope_from", "envelope_to", "auth_results", "selector",
        "result", "scope",
    )
)  # fmt: skip
"""Elements that are kept; all others are passed over with what is in them."""


class Reason(Struct, frozen=True):
    """Why a policy was not followed (``local_policy``, ``trusted_forwarder``, ``mailing_list`` ...)."""

    type: str
    comment: str = ""


class DkimAuth(Struct, frozen=True):
    """What became of one signature."""

    domain: str
    selector: str
    result: str


class SpfAuth(Struct, frozen=True):
    """What SPF said; ``scope`` is ``mfrom`` or ``helo``."""

    domain: str
    scope: str
    result: str


class Row(Struct, frozen=True):
    """Mails that were alike."""

    source_ip: str
    count: int
    disposition: str
    """What was done: none, pass, quarantine or reject."""
    dkim: str
    """Whether an aligned signature passed: pass or fail; ``spf`` likewise."""
    spf: str
    header_from: str = ""
    envelope_from: str = ""
    envelope_to: str = ""
    reasons: tuple[Reason, ...] = ()
    dkim_auth: tuple[DkimAuth, ...] = ()
    spf_auth: tuple[SpfAuth, ...] = ()


class Published(Struct, frozen=True):
    """The policy that was found."""

    domain: str
    policy: str = "none"
    subdomain_policy: str = ""
    absent_policy: str = ""
    adkim: str = "r"
    aspf: str = "r"
    testing: bool = False
    failure_options: str = ""


class Aggregate(Struct, frozen=True):
    """One report. Times are seconds since the epoch."""

    organization: str
    email: str
    report_id: str
    begins: int
    ends: int
    published: Published
    rows: tuple[Row, ...]
    contact: str = ""
    errors: tuple[str, ...] = ()


# --- reading ---------------------------------------------------------------------------------------


class _Element:
    """An element on its way: its text and its children by name."""

    __slots__ = ("children", "length", "name", "pieces")

    def __init__(self, name: str) -> None:
        self.name = name
        self.children: dict[str, list[_Element]] = {}
        self.pieces: list[str] = []
        self.length = 0

    def first(self, *path: str) -> _Element | None:
        """The first element at the end of a path."""
        at: _Element | None = self
        for name in path:
            at = at.children.get(name, (None,))[0] if at is not None else None
        return at

    def text(self, *path: str) -> str:
        """The text there, printable and bounded; empty where there is none."""
        at = self.first(*path)
        return _clean("".join(at.pieces)) if at is not None else ""

    def all(self, name: str) -> list[_Element]:
        """The children of a name."""
        return self.children.get(name, [])


def _clean(text: str) -> str:
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return text.strip()[:MAX_TEXT]


class _Reading:
    """Expat's handlers. A record becomes a row as soon as it ends, so that a report is never a whole tree."""

    def __init__(self) -> None:
        self.root = _Element("")
        self.rows: list[Row] = []
        self._open = [self.root]

    def start(self, name: str, _attributes: list[str]) -> None:
        self._open.append(_Element(markup.local_name(name)))

    def text(self, text: str) -> None:
        at = self._open[-1]
        if at.length < MAX_TEXT:
            at.pieces.append(text)
            at.length += len(text)

    def end(self, _name: str) -> None:
        done = self._open.pop()
        if done.name == "record" and len(self._open) == 2:
            if len(self.rows) >= MAX_ROWS:
                raise Unreadable(f"more than {MAX_ROWS} rows")
            if (row := _row(done)) is not None:
                self.rows.append(row)
            return
        if done.name not in _KNOWN:
            return
        siblings = self._open[-1].children.setdefault(done.name, [])
        if len(siblings) < MAX_AUTH:
            siblings.append(done)


def parse(octets: bytes) -> Aggregate:
    """The report. Errors: Unreadable, and nothing else."""
    reading = _Reading()
    try:
        octets.decode()
        encoding = "UTF-8"
    except UnicodeDecodeError:
        encoding = "ISO-8859-1"
    try:
        markup.read(octets, reading, LIMITS, encoding)
    except markup.BadMarkup as error:
        raise Unreadable(str(error)) from None
    feedback = reading.root.first("feedback")
    if feedback is None:
        raise Unreadable("no DMARC report: its outermost element is not feedback")
    return _aggregate(feedback, tuple(reading.rows))


def _aggregate(feedback: _Element, rows: tuple[Row, ...]) -> Aggregate:
    metadata, policy = feedback.first("report_metadata"), feedback.first("policy_published")
    if metadata is None or policy is None:
        raise Unreadable("no report_metadata or no policy_published")
    domain = _domain(policy.text("domain"))
    if not domain:
        raise Unreadable("about no domain")
    published = Published(
        domain,
        policy.text("p").lower(),
        policy.text("sp").lower(),
        policy.text("np").lower(),
        policy.text("adkim").lower() or "r",
        policy.text("aspf").lower() or "r",
        policy.text("testing").lower() == "y",
        policy.text("fo"),
    )
    return Aggregate(
        metadata.text("org_name"),
        metadata.text("email"),
        metadata.text("report_id"),
        _number(metadata.text("date_range", "begin"), MAX_TIME),
        _number(metadata.text("date_range", "end"), MAX_TIME),
        published,
        rows,
        metadata.text("extra_contact_info"),
        tuple(_clean("".join(each.pieces)) for each in metadata.all("error")),
    )


def _row(record: _Element) -> Row | None:
    """None where there is no address that can be read: nothing can be said of such mails."""
    try:
        address = str(ipaddress.ip_address(record.text("row", "source_ip")))
    except ValueError:
        return None
    evaluated = record.first("row", "policy_evaluated") or _Element("")
    results = record.first("auth_results") or _Element("")
    return Row(
        address,
        _number(record.text("row", "count"), MAX_COUNT),
        evaluated.text("disposition").lower(),
        evaluated.text("dkim").lower(),
        evaluated.text("spf").lower(),
        _domain(record.text("identifiers", "header_from")),
        _domain(record.text("identifiers", "envelope_from")),
        _domain(record.text("identifiers", "envelope_to")),
        tuple(Reason(r.text("type").lower(), r.text("comment")) for r in evaluated.all("reason")),
        tuple(
            DkimAuth(_domain(d.text("domain")), d.text("selector"), d.text("result").lower())
            for d in results.all("dkim")
        ),
        tuple(
            SpfAuth(_domain(s.text("domain")), s.text("scope").lower(), s.text("result").lower())
            for s in results.all("spf")
        ),
    )


def _domain(text: str) -> str:
    return text.lower().strip(" .")


def _number(text: str, most: int) -> int:
    """Digits, up to ``most``; 0 for anything else."""
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)):
        return 0
    return min(int(text), most)


# --- writing ---------------------------------------------------------------------------------------


def encode(report: Aggregate) -> bytes:
    """The report as XML."""
    published = report.published
    out = [
        '<?xml version="1.0" encoding="UTF-8"?>\n',
        f'<feedback xmlns="{NAMESPACE}">\n  <version>1.0</version>\n  <report_metadata>\n',
        *_lines(4, ("org_name", report.organization), ("email", report.email)),
        *_lines(4, *_given(("extra_contact_info", report.contact))),
        *_lines(4, ("report_id", report.report_id)),
        "    <date_range>\n",
        *_lines(6, ("begin", str(report.begins)), ("end", str(report.ends))),
        "    </date_range>\n",
        *_lines(4, *_given(("error", "; ".join(report.errors)))),
        "  </report_metadata>\n  <policy_published>\n",
        *_lines(4, ("domain", published.domain), ("p", published.policy)),
        *_lines(4, *_given(("sp", published.subdomain_policy), ("np", published.absent_policy))),
        *_lines(4, ("adkim", published.adkim), ("aspf", published.aspf)),
        *_lines(4, ("discovery_method", "treewalk")),
        *_lines(4, ("testing", "y" if published.testing else "n")),
        *_lines(4, *_given(("fo", published.failure_options))),
        "  </policy_published>\n",
    ]
    for row in report.rows:
        _write_row(row, out.append)
    out.append("</feedback>\n")
    return "".join(out).encode("utf-8", "replace")


def _write_row(row: Row, write: Callable[[str], None]) -> None:
    def lines(indent: int, *pairs: tuple[str, str]) -> None:
        for line in _lines(indent, *pairs):
            write(line)

    write("  <record>\n    <row>\n")
    lines(6, ("source_ip", row.source_ip), ("count", str(row.count)))
    write("      <policy_evaluated>\n")
    lines(8, ("disposition", row.disposition), ("dkim", row.dkim), ("spf", row.spf))
    for reason in row.reasons:
        write("        <reason>\n")
        lines(10, ("type", reason.type), *_given(("comment", reason.comment)))
        write("        </reason>\n")
    write("      </policy_evaluated>\n    </row>\n    <identifiers>\n")
    lines(6, *_given(("envelope_to", row.envelope_to), ("envelope_from", row.envelope_from)))
    lines(6, ("header_from", row.header_from))
    write("    </identifiers>\n    <auth_results>\n")
    for dkim in row.dkim_auth:
        write("      <dkim>\n")
        lines(8, ("domain", dkim.domain), ("selector", dkim.selector), ("result", dkim.result))
        write("      </dkim>\n")
    for spf in row.spf_auth:
        write("      <spf>\n")
        lines(8, ("domain", spf.domain), ("scope", spf.scope), ("result", spf.result))
        write("      </spf>\n")
    write("    </auth_results>\n  </record>\n")


def _given(*pairs: tuple[str, str]) -> Iterable[tuple[str, str]]:
    return (pair for pair in pairs if pair[1])


def _lines(indent: int, *pairs: tuple[str, str]) -> Iterable[str]:
    for name, value in pairs:
        yield f"{' ' * indent}<{name}>{escape(_clean(value))}</{name}>\n"


def file_name(receiver: str, domain: str, begins: int, ends: int, identity: str) -> str:
    """``receiver!policy-domain!begin!end!unique-id.xml.gz`` (RFC 9990 section 3.5.2)."""
    return f"{receiver}!{domain}!{begins}!{ends}!{identity}.xml.gz"


def subject(domain: str, submitter: str, identity: str) -> str:
    """Of the mail that carries a report (RFC 9990 section 3.5.2)."""
    return f"Report Domain: {domain} Submitter: {submitter} Report-ID: <{identity}>"
