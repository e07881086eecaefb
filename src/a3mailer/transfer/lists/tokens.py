"""What proves a wish without a login: addresses and links that only the member has been sent.

``CONFIRM=HASH=DAY=WORD.LIST=domain=local-part@ours`` (the form of ``verp.py``) is written to, and its WORD is
done for the address it names; it ends after some weeks. A link to leave a list (RFC 8058 section 3.1) is good
as long as the key is, since mails are kept for years. Both need the key to be made. Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as randomness
from typing import Final

from a3mailer.mail.address import Address
from a3mailer.mail.ids import AccountId
from a3mailer.transfer.forwarding.verp import BadVerp, Verp

STREAM: Final = "list"
"""First word of the stream of its bounces: ``list.42`` (``returns.py``)."""
MARK: Final = "l"
"""Begins the trace ids of mails from a list, which no mail from elsewhere has."""
DIGEST: Final = 12
"""Octets of the mark of a link."""
MAX_TOKEN: Final = 500
CONFIRMED: Final = ("join", "leave", "approve", "reject")


class BadToken(ValueError):
    """Nothing that we have made, or made lately."""


def confirmations(secrets: tuple[bytes, ...]) -> Verp:
    """The addresses that are written to for a yes."""
    return Verp(secrets, "CONFIRM=", "confirm")


def stream_of(account: AccountId) -> str:
    """The stream of a list's bounces."""
    return f"{STREAM}.{account}"


def list_of(stream: str) -> AccountId:
    """The list of a stream. Errors: BadToken."""
    word, _, number = stream.partition(".")
    if word != STREAM or not number.isdigit() or len(number) > 10:
        raise BadToken(stream)
    return AccountId(int(number))


def wish_of(confirm: Verp, address: Address, now: float) -> tuple[str, AccountId, str]:
    """(word, list, about whom or which mail) of a CONFIRM address. Errors: BadToken."""
    try:
        stream, about = confirm.decode(address, now)
    except BadVerp as error:
        raise BadToken(str(error)) from error
    word, _, rest = stream.partition(".")
    number, _, uid = rest.partition(".")
    if word not in CONFIRMED or not number.isdigit():
        raise BadToken(stream)
    return word, AccountId(int(number)), uid or str(about)


def trace_of(trace: str) -> str:
    """The trace id of what a list sends of a mail with this one."""
    return f"{MARK}{randomness.token_hex(2)}-{trace}"


def is_from_list(trace: str) -> bool:
    """Was it made by ``trace_of``? Trace ids of arrivals are ours and have no such form."""
    return trace[:1] == MARK and trace[5:6] == "-"


# token = base64url(mark) "." base64url(account "," address)
def leaving(secret: bytes, account: AccountId, address: str) -> str:
    """The token of a link by which ``address`` leaves a list."""
    body = f"{account},{address}".encode()
    return f"{_text(_mark(secret, body))}.{_text(body)}"


def left(secrets: tuple[bytes, ...], token: str) -> tuple[AccountId, str]:
    """(list, address) of such a token. Errors: BadToken."""
    mark, _, body = token.partition(".")
    given, octets = _octets(mark), _octets(body)
    if len(token) > MAX_TOKEN or not any(hmac.compare_digest(given, _mark(s, octets)) for s in secrets):
        raise BadToken("not one of ours")
    number, _, address = octets.decode().partition(",")
    return AccountId(int(number)), address


def _mark(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, b"leave\0" + body, hashlib.sha256)[:DIGEST]


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise BadToken("not one of ours") from error
