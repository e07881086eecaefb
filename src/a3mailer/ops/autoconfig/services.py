"""The services mail programs are told of, and which of them a server really offers.

One table: the SRV records (RFC 6186, 6764, 8314, 8620) and every document of this folder are made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

IMPLICIT: Final = "implicit"
"""TLS from the first octet (RFC 8314)."""
STARTTLS: Final = "starttls"
IMAP: Final = "imap"
POP3: Final = "pop3"
SMTP: Final = "smtp"
INCOMING: Final = (IMAP, POP3)
WEB: Final = "https"


@dataclass(frozen=True, slots=True)
class Service:
    """One line of the table."""

    srv: str
    """Its name in the DNS."""
    listener: str
    protocol: str
    security: str
    port: int
    """By the standard."""
    priority: int
    """Of the SRV record; the lower is preferred."""
    rfc: str


SERVICES: Final = (
    Service("submissions", "submissions", SMTP, IMPLICIT, 465, 0, "RFC 8314"),
    Service("submission", "submission", SMTP, STARTTLS, 587, 10, "RFC 6186"),
    Service("imaps", "imaps", IMAP, IMPLICIT, 993, 0, "RFC 6186"),
    Service("imap", "imap", IMAP, STARTTLS, 143, 10, "RFC 6186"),
    Service("pop3s", "pop3s", POP3, IMPLICIT, 995, 20, "RFC 6186"),
    Service("pop3", "pop3", POP3, STARTTLS, 110, 30, "RFC 6186"),
    Service("sieve", "managesieve", "managesieve", STARTTLS, 4190, 0, "RFC 5804"),
    Service("jmap", "https", "jmap", IMPLICIT, 443, 0, "RFC 8620"),
    Service("caldavs", "dav", "caldav", IMPLICIT, 443, 0, "RFC 6764"),
    Service("carddavs", "dav", "carddav", IMPLICIT, 443, 0, "RFC 6764"),
)
"""The preferred ones of a protocol first."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A service and the port it has here."""

    service: Service
    port: int


@dataclass(frozen=True, slots=True)
class Offer:
    """What the mail programs of one domain are told. Names are A-labels; who logs in is the whole address."""

    domain: str
    hostname: str
    offered: tuple[Offered, ...]
    """Reading and sending mail, the preferred ones of a protocol first."""
    web: int
    """The port of https; 0: none."""

    def __bool__(self) -> bool:
        """Is it enough for an account, that is mail can be read and sent?"""
        return bool(self.incoming) and bool(self.of(SMTP))

    def of(self, *protocols: str) -> tuple[Offered, ...]:
        """Those of the protocols."""
        return tuple(each for each in self.offered if each.service.protocol in protocols)

    @property
    def incoming(self) -> tuple[Offered, ...]:
        """Where mail is read, the preferred one first."""
        return self.of(*INCOMING)


def offer(domain: str, hostname: str, listeners: Mapping[str, int]) -> Offer:
    """``listeners``: ports by name, of those that are really there."""
    offered = (Offered(each, listeners[each.listener]) for each in SERVICES if listeners.get(each.listener))
    mail = tuple(each for each in offered if each.service.protocol in (*INCOMING, SMTP))
    return Offer(domain, hostname, mail, listeners.get(WEB, 0))
