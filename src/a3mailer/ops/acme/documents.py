"""What an ACME server says (RFC 8555 section 7.1), decoded with bounds: a value or AcmeFailure, nothing else.

Times are seconds since the epoch. URLs are taken as they are: ``runtime/http.py`` decides which it asks.
"""

from __future__ import annotations

import email.utils
from datetime import datetime
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

MAX_DOCUMENT: Final = 256 * 1024
"""Octets of any answer, a certificate's chain included."""
MAX_NAMES: Final = 100
"""Identifiers of one order."""
PROBLEM: Final = "urn:ietf:params:acme:error:"
RETRY_MOST: Final = 86_400.0
"""Seconds a Retry-After field may ask for, as far as we obey."""

Url = Annotated[str, Meta(max_length=2048)]
Text = Annotated[str, Meta(max_length=64 * 1024)]


class AcmeFailure(Exception):
    """The authority refuses, cannot be reached or says nonsense."""

    def __init__(self, kind: str, text: str, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.kind = kind
        """An error type of RFC 8555 section 6.7 without its prefix, or a kind of ``HttpFailure``."""
        self.retry_after = retry_after
        """Seconds it asks us to wait; 0: it does not say."""


class About(
    msgspec.Struct, frozen=True, rename={"terms": "termsOfService", "external": "externalAccountRequired"}
):
    terms: Url = ""
    external: bool = False


class Directory(
    msgspec.Struct,
    frozen=True,
    rename={
        "new_nonce": "newNonce",
        "new_account": "newAccount",
        "new_order": "newOrder",
        "renewal_info": "renewalInfo",
    },
):
    """RFC 8555 section 7.1.1; ``renewal_info`` of RFC 9773 section 4.1."""

    new_nonce: Url
    new_account: Url
    new_order: Url
    renewal_info: Url = ""
    meta: About = About()


class Identifier(msgspec.Struct, frozen=True):
    type: Annotated[str, Meta(max_length=32)]
    value: Annotated[str, Meta(max_length=255)]


class Subproblem(msgspec.Struct, frozen=True):
    type: Text = ""
    detail: Text = ""
    identifier: Identifier | None = None


class Problem(msgspec.Struct, frozen=True):
    """RFC 7807, with the subproblems of RFC 8555 section 6.7.1."""

    type: Text = ""
    detail: Text = ""
    subproblems: Annotated[tuple[Subproblem, ...], Meta(max_length=MAX_NAMES)] = ()

    @property
    def kind(self) -> str:
        """Its type without the prefix of ACME."""
        return self.type.removeprefix(PROBLEM) or "malformed"

    @property
    def words(self) -> str:
        """What to show to people."""
        parts = [self.detail or self.kind]
        parts += [f"{s.identifier.value if s.identifier else ''}: {s.detail}" for s in self.subproblems]
        return "; ".join(parts)[:1000]


class Account(msgspec.Struct, frozen=True):
    """RFC 8555 section 7.1.2."""

    status: str = ""
    contact: Annotated[tuple[Text, ...], Meta(max_length=MAX_NAMES)] = ()


class Order(msgspec.Struct, frozen=True):
    """RFC 8555 section 7.1.3."""

    status: str
    finalize: Url
    authorizations: Annotated[tuple[Url, ...], Meta(max_length=MAX_NAMES)]
    certificate: Url = ""
    error: Problem | None = None


class Challenge(msgspec.Struct, frozen=True):
    """RFC 8555 section 7.1.5; kinds without a token are none that we know."""

    type: str
    url: Url
    status: str = "pending"
    token: Text = ""
    error: Problem | None = None


class Authorization(msgspec.Struct, frozen=True):
    """RFC 8555 section 7.1.4."""

    status: str
    identifier: Identifier
    challenges: Annotated[tuple[Challenge, ...], Meta(max_length=32)] = ()


class Window(msgspec.Struct, frozen=True):
    start: datetime
    end: datetime


class RenewalAdvice(
    msgspec.Struct, frozen=True, rename={"window": "suggestedWindow", "explanation": "explanationURL"}
):
    """RFC 9773 section 4.2."""

    window: Window
    explanation: Url = ""


Document = TypeVar("Document", bound=msgspec.Struct)


def read(octets: bytes, form: type[Document], what: str) -> Document:
    """One of the documents above. Errors: AcmeFailure."""
    try:
        return msgspec.json.decode(octets, type=form)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise AcmeFailure("nonsense", f"{what} cannot be read: {error}") from error


def read_problem(octets: bytes, status: int) -> Problem:
    """Of an answer that is an error, whatever it holds."""
    try:
        return msgspec.json.decode(octets, type=Problem)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return Problem(f"{PROBLEM}serverInternal", f"HTTP status {status}")


# Retry-After = HTTP-date / delay-seconds     ; RFC 9110 section 10.2.3
def retry_after(field: str, now: float) -> float:
    """Seconds from now; 0 where it says nothing that can be understood."""
    text = field.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_MOST)
    try:
        seconds = email.utils.parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError, TypeError, IndexError):
        return 0.0
    return max(0.0, min(seconds, RETRY_MOST))
