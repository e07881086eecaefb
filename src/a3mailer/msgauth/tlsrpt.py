"""SMTP TLS Reporting (RFC 8460): the TXT record, the report as JSON, its names. Pure and total.

A domain says by a TXT record at ``_smtp._tls`` where it wants to hear how others fared who sent it mail under
TLS. They tell it once a day, by mail or by POST, in one JSON object (RFC 7493). What is read here was written
by strangers: it is bounded in every direction, and what is no report is Unreadable and nothing else.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from a3mailer.msgauth.mailto import MAX_URI, mailbox
from a3mailer.msgauth.packed import MAX_UNPACKED, Unreadable

MAX_RECORD: Final = 4096
"""Octets of the TXT record that are looked at."""
MAX_TARGETS: Final = 10
"""Places of one record that reports are sent to; the rest is passed over."""
MAX_POLICIES: Final = 1000
MAX_DETAILS: Final = 10_000
"""Kinds of failure of one policy."""
MAX_LINES: Final = 1000
"""Lines of a policy, and hosts it names."""
MAX_TEXT: Final = 4096
"""Characters of one value."""
MAX_SESSIONS: Final = 1 << 53
"""What every reader of JSON still counts exactly (RFC 7493 section 2.2)."""

JSON_MEDIA: Final = "application/tlsrpt+json"
GZIP_MEDIA: Final = "application/tlsrpt+gzip"
POLICY_TYPES: Final = ("tlsa", "sts", "no-policy-found")
RESULT_TYPES: Final = {
    "starttls-not-supported": "offered no STARTTLS",
    "certificate-host-mismatch": "showed a certificate for another name",
    "certificate-expired": "showed a certificate that has expired",
    "certificate-not-trusted": "showed a certificate that no trusted authority vouches for",
    "validation-failure": "failed in TLS",
    "tlsa-invalid": "has TLSA records that cannot be used or do not match",
    "dnssec-invalid": "has DNS answers that DNSSEC does not confirm",
    "dane-required": "has no usable TLSA records although the sender demands them",
    "sts-policy-fetch-error": "has an MTA-STS policy that could not be fetched",
    "sts-policy-invalid": "has an MTA-STS policy that is none",
    "sts-webpki-invalid": "serves its MTA-STS policy under a certificate that is not valid",
}
"""The result types of section 4.3, each in words."""

Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Lines = Annotated[tuple[Text, ...], Meta(max_length=MAX_LINES)]
Sessions = Annotated[int, Meta(ge=0, le=MAX_SESSIONS)]
Moment = Annotated[datetime, Meta(tz=True)]


class DateRange(Struct, frozen=True, rename="kebab"):
    """What time a report is of; both ends belong to it."""

    start_datetime: Moment
    end_datetime: Moment


class Policy(Struct, frozen=True, rename="kebab", omit_defaults=True):
    """Under what the sessions were opened."""

    policy_type: Text
    policy_domain: Text
    policy_string: Lines = ()
    mx_host: Lines = ()


class Summary(Struct, frozen=True, rename="kebab"):
    """How many sessions there were."""

    total_successful_session_count: Sessions = 0
    total_failure_session_count: Sessions = 0


class Failure(Struct, frozen=True, rename="kebab", omit_defaults=True):
    """One kind of failure; a result type that is not of RESULT_TYPES is kept as it came."""

    result_type: Text
    failed_session_count: Sessions
    sending_mta_ip: Text = ""
    receiving_mx_hostname: Text = ""
    receiving_mx_helo: Text = ""
    receiving_ip: Text = ""
    additional_information: Text = ""
    failure_reason_code: Text = ""


class PolicyResult(Struct, frozen=True, rename="kebab", omit_defaults=True):
    """What became of the sessions under one policy."""

    policy: Policy
    summary: Summary
    failure_details: Annotated[tuple[Failure, ...], Meta(max_length=MAX_DETAILS)] = ()


class TlsReport(Struct, frozen=True, rename="kebab", omit_defaults=True, kw_only=True):
    """One report (section 4.4)."""

    organization_name: Text = ""
    contact_info: Text = ""
    report_id: Text = ""
    date_range: DateRange
    policies: Annotated[tuple[PolicyResult, ...], Meta(max_length=MAX_POLICIES)]


# --- the record ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """Where a domain wants its reports: by ``mail`` to an address, or by ``post`` to a URL."""

    way: str
    where: str


# tlsrpt-record  = tlsrpt-version 1*(field-delim tlsrpt-field) [field-delim]
# field-delim    = *WSP ";" *WSP
# tlsrpt-version = %s"v=TLSRPTv1"
# tlsrpt-rua     = %s"rua=" tlsrpt-uri *(*WSP "," *WSP tlsrpt-uri)   ; "," "!" ";" of a URI are encoded
def parse_record(texts: Iterable[bytes]) -> tuple[Target, ...]:
    """Where the one TLSRPT record among the TXT records of ``_smtp._tls`` wants reports; () for nowhere.

    Records of other versions do not count; two of this one are none (section 3). URIs that are neither a
    plain ``mailto`` nor ``https`` are passed over."""
    begun = [text for text in texts if text.startswith(b"v=TLSRPTv1")]
    ours = [text[:MAX_RECORD] for text in begun if _fields(text[:64])[0] == b"v=TLSRPTv1"]
    if len(ours) != 1:
        return ()
    for field in _fields(ours[0])[1:]:
        name, equals, value = field.partition(b"=")
        if name == b"rua" and equals:
            found = dict.fromkeys(_target(uri.strip(b" \t")) for uri in value.split(b","))
            return tuple(target for target in found if target is not None)[:MAX_TARGETS]
    return ()


def _fields(text: bytes) -> list[bytes]:
    return [field.strip(b" \t") for field in text.split(b";")]


def _target(uri: bytes) -> Target | None:
    scheme, colon, rest = uri.partition(b":")
    if not colon or len(uri) > MAX_URI or any(not 0x21 <= octet <= 0x7E for octet in uri):
        return None
    if scheme.lower() == b"https" and rest.startswith(b"//") and len(rest) > 2:
        return Target("post", uri.decode("ascii"))
    address = mailbox(uri)
    return Target("mail", address) if address else None


# --- the report ------------------------------------------------------------------------------------


def encode(report: TlsReport) -> bytes:
    """The JSON object."""
    return msgspec.json.encode(report)


def decode(octets: bytes) -> TlsReport:
    """A report, not compressed. Members that are unknown or null do not count; a name that stands twice in
    one object makes it none, and so does half of a surrogate pair (RFC 7493 section 2).

    QUIRK: counts may stand in quotation marks, and who reports may be left out, as some senders do.
    Errors: Unreadable."""
    if len(octets) > MAX_UNPACKED:
        raise Unreadable(f"more than {MAX_UNPACKED} octets")
    try:
        tree = json.loads(octets.decode("utf-8-sig"), object_pairs_hook=_object)
        report = msgspec.convert(tree, TlsReport, strict=False)
        encode(report)
    except RecursionError as error:
        raise Unreadable("too deep") from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise Unreadable(str(error)[:200]) from error
    return report


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """QUIRK: some senders write one line of a policy, or its one host, as a string and not as an array, as
    the RFC itself did before its errata."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    for name in ("policy-string", "mx-host"):
        if isinstance(value := found.get(name), str):
            found[name] = [value]
    return {name: value for name, value in found.items() if value is not None}


def pack(octets: bytes) -> bytes:
    """Compressed as it is sent (section 5.2)."""
    return gzip.compress(octets, mtime=0)


# filename  = sender "!" policy-domain "!" begin-timestamp "!" end-timestamp [ "!" unique-id ] "." extension
# unique-id = 1*(ALPHA / DIGIT) ; timestamps are seconds since the epoch ; extension = "json" / "json.gz"
def file_name(sender: str, domain: str, start: int, end: int, unique: str) -> str:
    """Of the attachment, compressed (section 5.1)."""
    return f"{sender}!{domain}!{start}!{end}!{unique}.json.gz"


def subject(domain: str, submitter: str, report_id: str) -> str:
    """Of the mail (section 5.3), not folded; ``report_id`` as ``id-left@id-right``."""
    return f"Report Domain: {domain} Submitter: {submitter} Report-ID: <{report_id}>"


def day_range(day: int) -> DateRange:
    """The whole of a day in UTC; ``day`` counts them since the epoch (section 4.1)."""
    start = datetime.fromtimestamp(day * 86_400, UTC)
    return DateRange(start, start.replace(hour=23, minute=59, second=59))
