"""Header fields taken out and put in, all other octets left as they are (RFC 5322 section 2.2)."""

from __future__ import annotations

from a3mailer.mail.message import headers


def names_of(header: bytes) -> frozenset[bytes]:
    """The names of the fields of a header block, in lower case."""
    return frozenset(name for name, _, _ in headers.fields(header, 0, len(header)))


def without(header: bytes, names: frozenset[bytes]) -> bytes:
    """The block without the fields of these names (lower case); the same object where there are none."""
    kept, at = [], 0
    for name, value, end in headers.fields(header, 0, len(header)):
        if name in names:
            kept.append(header[at : header.rfind(b"\n", 0, value) + 1])
            at = header.find(b"\n", end) + 1 or len(header)
    return b"".join((*kept, header[at:])) if at else header


def with_fields(header: bytes, fields: bytes) -> bytes:
    """The block with whole fields added before its empty line, or at its end where it has none."""
    for empty in (b"\r\n", b"\n"):
        if header == empty or header.endswith(b"\n" + empty):
            return header[: -len(empty)] + fields + empty
    return header + fields
