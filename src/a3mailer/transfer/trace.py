"""Trace fields: Return-Path, Received, Authentication-Results (RFC 5321 section 4.4, RFC 8601).

They are prepended; whatever a mail brings along stays as it is. On submission nothing is said about
where the client is (RFC 5321 section 7.6 speaks of what trace fields disclose): the "from" clause, which
there must be (section 4.4), names nobody.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from a3mailer.mail.envelope import Client, Envelope
from a3mailer.mail.message.dates import format_date
from a3mailer.wire.smtp.paths import encode_mailbox

HELO_LENGTH: Final = 255
"""Octets of a client's name that a Received field repeats (RFC 5321 section 4.5.3.1.2)."""
NOBODY: Final = "from unknown "
"""The "from" clause of a submission."""
REMEMBERED: Final = 1024
"""Clients whose "from" clause is kept."""
_HELO: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]")


def address_literal(ip: str) -> str:
    """``[192.0.2.1]`` or ``[IPv6:2001:db8::1]`` (RFC 5321 section 4.1.3)."""
    return f"[IPv6:{ip}]" if ":" in ip else f"[{ip}]"


# RFC 3848 and RFC 6531 section 4.3: SMTP, ESMTP, ESMTPS, ESMTPSA, LMTP, UTF8SMTPS ...
def with_protocol(client: Client, envelope: Envelope) -> str:
    """The keyword of the "with" clause."""
    name = "LMTP" if client.protocol == "LMTP" else "SMTP"
    if envelope.smtputf8:
        name = "UTF8" + name
    elif name == "SMTP" and client.extended:
        name = "ESMTP"
    return name + ("S" if client.tls else "") + ("A" if client.account else "")


@lru_cache(REMEMBERED)
def _from_clause(ip: str, helo: str) -> str:
    """``from NAME ([ADDRESS])``; a name that is none is replaced by the address alone."""
    literal = address_literal(ip) if ip else "localhost"
    if not helo or len(helo) > HELO_LENGTH or not _HELO.issuperset(helo):
        helo = literal
    return f"from {helo} ({literal})\r\n\t"


def _tls_clause(tls: str) -> tuple[str, str]:
    """(comment, clause): a registered cipher name goes into RFC 8314's ``tls``, any other into a comment."""
    if not tls:
        return "", ""
    cipher = tls.rpartition(" ")[2]
    return (f"\r\n\t({tls})", "") if not cipher.startswith("TLS_") else ("", f"\r\n\ttls {cipher}")


# Time-stamp-line = "Received:" FWS Stamp ; Stamp = From-domain By-domain Opt-info [CFWS] ";" FWS date-time
def received(client: Client, envelope: Envelope, hostname: str, trace: str, date: str) -> str:
    """The Received field, with its line end. "for" only where there is one recipient: others stay hidden."""
    where = NOBODY if client.account else _from_clause(client.ip, client.helo)
    comment, tls = _tls_clause(client.tls)
    only = ""
    if len(envelope.recipients) == 1:
        only = f"\r\n\tfor <{encode_mailbox(envelope.recipients[0].address).decode()}>"
    protocol = with_protocol(client, envelope)
    if envelope.priority:
        tls += f"\r\n\tPRIORITY {envelope.priority}"  # RFC 6710 section 4.1
    return f"Received: {where}by {hostname} with {protocol} id {trace}{comment}{only}{tls};\r\n\t{date}\r\n"


# Return-path-line = "Return-Path:" FWS Reverse-path <CRLF>
def return_path(envelope: Envelope) -> str:
    """The Return-Path field of a final delivery, with its line end."""
    address = envelope.reverse_path.address
    return f"Return-Path: <{'' if address is None else encode_mailbox(address).decode()}>\r\n"


def authentication_results(client: Client, hostname: str) -> str:
    """What is known of the sender: that a submission was authenticated (RFC 8601 section 2.7.4).

    The login name is left out: it may be an address the user does not show."""
    return f"Authentication-Results: {hostname}; auth=pass\r\n" if client.account else ""


class Stamp:
    """Makes the trace header of arriving mails; remembers the text of the current second."""

    __slots__ = ("_date", "_hostname", "_second")

    def __init__(self, hostname: str) -> None:
        self._hostname = hostname
        self._second = -1
        self._date = ""

    def date(self, now: float) -> str:
        """The date-time of ``now``."""
        second = int(now)
        if second != self._second:
            self._second, self._date = second, format_date(second)
        return self._date

    def header(
        self, client: Client, envelope: Envelope, trace: str, now: float, *, final: bool, top: bytes = b""
    ) -> bytes:
        """All trace fields of one mail, in order; ``final``: it reaches a mailbox here; ``top``: whole fields
        of those who have judged it."""
        text = received(client, envelope, self._hostname, trace, self.date(now))
        if client.account:
            text = authentication_results(client, self._hostname) + text
        head = return_path(envelope) if final else ""
        return head.encode() + top + text.encode() if top else (head + text).encode()


def count_hops(header: bytes) -> int:
    """How many Received fields a header block has (RFC 5321 section 6.3)."""
    lowered = header.lower()
    begins = lowered.startswith((b"received:", b"received "))
    return begins + lowered.count(b"\nreceived:") + lowered.count(b"\nreceived ")


def without_return_path(octets: bytes) -> bytes:
    """What a relay sends of a stored mail: the Return-Path that we put on top is ours alone (section 4.4)."""
    if not octets.startswith(b"Return-Path: <"):
        return octets
    return octets[octets.index(b"\n") + 1 :] if b"\n" in octets else b""
