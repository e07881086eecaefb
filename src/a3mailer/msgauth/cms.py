"""CMS SignedData (RFC 5652 section 5): who signed what, read from a stranger's octets.

Pure, bounded. Signing programs stream, so lengths may be indefinite and octet strings come in pieces (BER);
``definite`` makes plain DER of that and leaves as it was what is DER already: what was signed stays exact.
Nothing is verified here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

MAX_ELEMENTS: Final = 32_768
"""Values within values, pieces of an octet string included."""
MAX_DEPTH: Final = 32
MAX_BEYOND: Final = 256 * 1024
"""Octets beyond the content: certificates, lists of revoked ones, signatures."""
MAX_CERTIFICATES: Final = 64
MAX_LISTS: Final = 16
"""Of revoked certificates."""
MAX_SIGNERS: Final = 8
MAX_FITTING: Final = 8
"""Certificates that may be one signer's."""
CONSTRUCTED: Final = 0x20
LONG_TAG: Final = 0x1F
OCTET_STRING: Final = 0x04
SET: Final = b"\x31"
INDEFINITE: Final = 0x80
END: Final = b"\0\0"
_WRONG: Final = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
"""What reading lazily may end with."""


class Unreadable(ValueError):
    """These octets are no CMS, or more of it than is looked at (``TooMuch``)."""


class TooMuch(Unreadable):
    """It may be whole, but has more in it than is looked at."""


@dataclass(frozen=True, slots=True)
class Signer:
    """One SignerInfo; names of algorithms are those of ``asn1crypto``."""

    certificates: tuple[int, ...]
    """Which of the certificates may be meant: a key identifier may fit several."""
    digest: str
    algorithm: str
    pss: tuple[str, str, int]
    """Digest, digest of the mask and octets of salt, where the algorithm is ``rsassa_pss``."""
    signature: bytes
    attributes: bytes
    """Signed attributes as a SET, as they are signed (section 5.4); empty: there are none."""
    content_types: tuple[str, ...]
    digests: tuple[bytes, ...]
    """The values of the attributes content-type and message-digest; each must be there once."""
    named: tuple[tuple[str, bytes], ...]
    """Digests of the signer's certificate in signed attributes (RFC 5035 section 3)."""


@dataclass(frozen=True, slots=True)
class SignedData:
    """``content`` None: it is elsewhere."""

    content_type: str
    content: bytes | None
    certificates: tuple[bytes, ...]
    lists: tuple[bytes, ...]
    signers: tuple[Signer, ...]


# ContentInfo ::= SEQUENCE { contentType ContentType, content [0] EXPLICIT ANY DEFINED BY contentType }
def read(octets: bytes) -> SignedData | str:
    """What these octets are; of other contents than signed ones the name of their type.
    Errors: Unreadable, and nothing else."""
    made = definite(octets)
    from asn1crypto import cms, tsp  # noqa: F401 - 6 MiB for who is asked; tsp knows attributes of RFC 5035

    try:
        info = cms.ContentInfo.load(made)
        kind = str(info["content_type"].native)
        return _signed(info["content"]) if kind == "signed_data" else kind
    except _WRONG as error:
        raise error if isinstance(error, Unreadable) else Unreadable(str(error)[:200]) from error


def _signed(data: Any) -> SignedData:
    inner = data["encap_content_info"]
    content = inner["content"].contents if inner["content"].native is not None else None
    beyond = len(data.dump()) - len(content or b"")
    if beyond > MAX_BEYOND:
        raise TooMuch(f"more than {MAX_BEYOND} octets beside the content")
    certificates = [each.chosen for each in data["certificates"] if each.name == "certificate"]
    lists = [each.chosen for each in data["crls"] if each.name != "other"]
    signers = list(data["signer_infos"])
    for found, most in (certificates, MAX_CERTIFICATES), (lists, MAX_LISTS), (signers, MAX_SIGNERS):
        if len(found) > most:
            raise TooMuch("more certificates, lists of revoked ones or signers than are looked at")
    return SignedData(
        str(inner["content_type"].native),
        content,
        tuple(each.dump() for each in certificates),
        tuple(each.dump() for each in lists),
        tuple(_signer(each, certificates) for each in signers),
    )


def _signer(info: Any, certificates: list[Any]) -> Signer:
    attributes = info["signed_attrs"]
    there = attributes.native is not None
    octets = attributes.dump() if there else b""
    values: dict[str, list[Any]] = {}
    for each in attributes if there else ():
        values.setdefault(str(each["type"].native), []).extend(each["values"] or [None])
    algorithm = info["signature_algorithm"]
    name = str(algorithm["algorithm"].native)
    return Signer(
        _places(info["sid"], certificates),
        str(info["digest_algorithm"]["algorithm"].native),
        name,
        _pss(algorithm["parameters"]) if name == "rsassa_pss" else ("", "", 0),
        bytes(info["signature"].native),
        SET + octets[1:] if there else b"",
        tuple(str(each.native) for each in values.get("content_type", ())),
        tuple(bytes(each.native) for each in values.get("message_digest", ())),
        _named(values),
    )


def _pss(parameters: Any) -> tuple[str, str, int]:
    mask = parameters["mask_gen_algorithm"]
    if mask["algorithm"].native != "mgf1" or parameters["trailer_field"].native not in (
        1,
        "trailer_field_bc",
    ):
        raise Unreadable("parameters of a signature that nobody knows")
    digest = str(parameters["hash_algorithm"]["algorithm"].native)
    return digest, str(mask["parameters"]["algorithm"].native), int(parameters["salt_length"].native)


def _places(sid: Any, certificates: list[Any]) -> tuple[int, ...]:
    """Which certificates fit (RFC 8551 section 2.6)."""
    if sid.name == "subject_key_identifier":
        key = sid.chosen.native
        fits = [each.key_identifier == key for each in certificates]
    else:
        issuer, serial = sid.chosen["issuer"].dump(), sid.chosen["serial_number"].native
        fits = [
            each.serial_number == serial and each["tbs_certificate"]["issuer"].dump() == issuer
            for each in certificates
        ]
    return tuple(place for place, fit in enumerate(fits) if fit)[:MAX_FITTING]


def _named(values: dict[str, list[Any]]) -> tuple[tuple[str, bytes], ...]:
    """Only the first certificate of each value is the signer's (RFC 5035 section 5.4)."""
    found = []
    for value in values.get("signing_certificate_v2", ()):
        first = value["certs"][0]
        found.append((str(first["hash_algorithm"]["algorithm"].native), bytes(first["cert_hash"].native)))
    found += [
        ("sha1", bytes(value["certs"][0]["cert_hash"].native))
        for value in values.get("signing_certificate", ())
    ]
    return tuple(found)


# --- BER to DER --------------------------------------------------------------------------------------


def definite(octets: bytes) -> bytes:
    """The first value in these octets with definite lengths throughout and octet strings in one piece.
    Time is that of its size times its depth. Errors: Unreadable."""
    return _Walk(octets).value(0, len(octets), 0)[0]


class _Walk:
    __slots__ = ("_left", "_octets")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._left = MAX_ELEMENTS

    def value(self, at: int, limit: int, depth: int) -> tuple[bytes, int]:
        """The value that begins ``at``, and where it ends."""
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise TooMuch("more values within values than are looked at")
        tag, start, end = self._head(at, limit)
        if not tag & CONSTRUCTED:
            if end < 0:
                raise Unreadable("an indefinite length of what has no parts")
            return self._octets[at:end], end
        parts, stop = self._parts(start, end if end >= 0 else limit, end < 0, depth)
        if tag == OCTET_STRING | CONSTRUCTED:
            return _encoded(OCTET_STRING, b"".join(map(_piece, parts))), stop
        inside = b"".join(parts)
        if end >= 0 and len(inside) == end - start and inside == self._octets[start:end]:
            return self._octets[at:end], end
        return _encoded(tag, inside), stop

    def _parts(self, at: int, limit: int, open_ended: bool, depth: int) -> tuple[list[bytes], int]:
        parts: list[bytes] = []
        while at < limit:
            if open_ended and self._octets[at : at + 2] == END:
                return parts, at + 2
            made, at = self.value(at, limit, depth + 1)
            parts.append(made)
        if open_ended:
            raise Unreadable("it ends too early")
        return parts, at

    def _head(self, at: int, limit: int) -> tuple[int, int, int]:
        """(tag, start, end) of the contents; the end is -1 where the length is indefinite."""
        if at + 2 > limit:
            raise Unreadable("it ends too early")
        tag, size, start = self._octets[at], self._octets[at + 1], at + 2
        if tag & LONG_TAG == LONG_TAG:
            raise Unreadable("a tag of several octets")
        if size == INDEFINITE:
            return tag, start, -1
        if size & INDEFINITE:
            count = size & ~INDEFINITE
            if count > 4 or start + count > limit:
                raise Unreadable("a length that cannot be")
            size = int.from_bytes(self._octets[start : start + count], "big")
            start += count
        if start + size > limit:
            raise Unreadable("it ends too early")
        return tag, start, start + size


def _piece(part: bytes) -> bytes:
    if part[0] != OCTET_STRING:
        raise Unreadable("an octet string with other things in it")
    size = part[1]
    return part[2 + (size & ~INDEFINITE) :] if size & INDEFINITE else part[2:]


def _encoded(tag: int, inside: bytes) -> bytes:
    size = len(inside)
    if size < INDEFINITE:
        return bytes((tag, size)) + inside
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, INDEFINITE | len(octets))) + octets + inside
