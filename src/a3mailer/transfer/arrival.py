"""A mail that came in whole (RFC 5321 section 4.1.1.4), before anybody is responsible for it."""

from __future__ import annotations

import ipaddress
import mmap
from collections.abc import Callable

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.mail.envelope import Client, Envelope
from a3mailer.store.operations import Operation
from a3mailer.transfer.route import Route

Heard = Callable[[bytes], None]


def unheard(fingerprint: bytes) -> None:
    """Nobody wants to know."""


class Arrival(msgspec.Struct, frozen=True):
    """What a door hands over at the end of the content."""

    client: Client
    envelope: Envelope
    routes: tuple[tuple[Route, ...], ...]
    """What ``Policy.recipient`` said of each of the envelope's recipients, in their order."""
    octets: bytes | mmap.mmap
    trace: str
    notes: tuple[str, ...] = ()
    """What the checks of the stages found and let pass (``stages.Course.notes``)."""
    beside: tuple[Operation, ...] = ()
    """What becomes durable with the mail or not at all; where one of them fails, the mail is not taken."""
    mark: bytes = b""
    """Names the mail as it came, once a judge has changed it; empty as long as nobody has."""
    filters: object = None
    """What the stages have told filters that hear a session from its begin (``milter_session.py``)."""
    kept: Heard = unheard
    """Is told the fingerprint of each transaction that has made this mail durable (ADR 0010)."""


def is_exempt(client: Client, settings: Settings) -> bool:
    """Is it nobody to judge: somebody on this machine, where no name servers are set?"""
    return not settings.dns.servers and (
        not client.ip or ipaddress.ip_address(client.ip.partition("%")[0]).is_loopback
    )
