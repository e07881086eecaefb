"""Channel bindings a TLS connection has (RFC 5056): what SCRAM-SHA-256-PLUS ties the login to.

``tls-server-end-point`` (RFC 5929 section 4) is a hash of our certificate.  ``tls-exporter`` (RFC 9266) is
the one of TLS 1.3.  ``tls-unique`` is not for TLS 1.3 and not offered.
"""

from __future__ import annotations

import hashlib
from typing import Final

_RSA: Final = bytes.fromhex("2a864886f70d0101")  # 1.2.840.113549.1.1
_ECDSA: Final = bytes.fromhex("2a8648ce3d0403")  # 1.2.840.10045.4.3
_SHA2: Final = bytes.fromhex("6086480165030402")  # 2.16.840.1.101.3.4.2
_PSS: Final = _RSA + b"\x0a"
_HASHES: Final = {
    _RSA + b"\x04": "sha256",  # MD5 and SHA-1 are replaced (RFC 5929 section 4.1)
    _RSA + b"\x05": "sha256",
    _RSA + b"\x0b": "sha256",
    _RSA + b"\x0c": "sha384",
    _RSA + b"\x0d": "sha512",
    _RSA + b"\x0e": "sha224",
    bytes.fromhex("2a8648ce3d0401"): "sha256",
    _ECDSA + b"\x01": "sha224",
    _ECDSA + b"\x02": "sha256",
    _ECDSA + b"\x03": "sha384",
    _ECDSA + b"\x04": "sha512",
    _SHA2 + b"\x01": "sha256",
    _SHA2 + b"\x02": "sha384",
    _SHA2 + b"\x03": "sha512",
    _SHA2 + b"\x04": "sha224",
}
"""The hash of a signature algorithm, or of RSASSA-PSS's parameters, by the octets of its OID."""


def server_end_point(certificate: bytes) -> bytes | None:
    """The hash of a DER certificate by its signature's hash; SHA-256 in place of MD5 and SHA-1 (RFC 5929
    section 4.1). None where the signature has no such hash (Ed25519), or is not known: undefined there."""
    try:
        name = _signature_hash(certificate)
    except ValueError:
        return None
    return hashlib.new(name, certificate).digest() if name else None


def _signature_hash(der: bytes) -> str:
    """Its name, "" for one that is not known (RFC 5280 section 4.1). Errors: ValueError.

    Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OID, parameters }, ... }"""
    _, inside, _ = _element(der, 0)
    _, _, behind_tbs = _element(der, inside)
    _, algorithm, end = _element(der, behind_tbs)
    _, start, stop = _element(der, algorithm)
    oid = der[start:stop]
    if oid != _PSS:
        return _HASHES.get(oid, "")
    if stop >= end:
        return "sha256"
    _, parameters, end = _element(der, stop)  # RSASSA-PSS-params (RFC 4055 section 3.1): [0] is the hash
    tag, tagged, _ = _element(der, parameters) if parameters < end else (0, 0, 0)
    if tag != 0xA0:
        return "sha256"  # SHA-1 is the default there
    _, hash_algorithm, _ = _element(der, tagged)
    _, start, stop = _element(der, hash_algorithm)
    return _HASHES.get(der[start:stop], "")


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """(tag, begin, end) of the contents of the DER element at an offset. Errors: ValueError."""
    if at + 2 > len(der):
        raise ValueError("the certificate ends in the middle")
    length, begin = der[at + 1], at + 2
    if length & 0x80:
        octets = length & 0x7F
        length, begin = int.from_bytes(der[begin : begin + octets], "big"), begin + octets
    if begin + length > len(der):
        raise ValueError("the certificate ends in the middle")
    return der[at], begin, begin + length


def bindings(end_point: bytes | None, exporter: bytes | None) -> dict[str, bytes]:
    """By name, those a connection has."""
    both = {"tls-server-end-point": end_point, "tls-exporter": exporter}
    return {name: octets for name, octets in both.items() if octets}
