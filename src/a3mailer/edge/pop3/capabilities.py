"""Capabilities (RFC 2449 section 6), each line with where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from a3mailer.edge.pop3.session import Session

ALWAYS: Final = (
    b"TOP",  # RFC 1939 section 7
    b"UIDL",  # RFC 1939 section 7
    b"RESP-CODES",  # RFC 2449 section 6.4
    b"AUTH-RESP-CODE",  # RFC 3206
    b"PIPELINING",  # RFC 2449 section 6.6
    b"UTF8 USER",  # RFC 6856 section 2
    b"LANG",  # RFC 6856 section 3
    b"IMPLEMENTATION A3Mailer",  # RFC 2449 section 6.9
)


def lines(session: Session) -> Iterator[bytes]:
    """Those of the present state; ``session.mechanisms`` were asked for."""
    yield from ALWAYS
    if session.context().confidential:
        yield b"USER"
    if session.mechanisms:
        yield b"SASL " + " ".join(session.mechanisms).encode("ascii")
    if session.services.tls is not None and not session.connection.secure:
        yield b"STLS"  # RFC 2595 section 4
    yield _expire(session)
    if session.settings.pop3.login_delay:
        yield b"LOGIN-DELAY %d" % session.settings.pop3.login_delay


def _expire(session: Session) -> bytes:
    """RFC 2449 section 6.7: before the login the least anybody may have."""
    if session.maildrop is None:
        return b"EXPIRE 1 USER"
    days = session.maildrop.expire_days
    return b"EXPIRE %d" % days if days else b"EXPIRE NEVER"
