"""What is promised of what MAIL asks for: priority (RFC 6710), a time to deliver by (RFC 2852), a time not to
deliver before (RFC 4865). Who may have which is decided here, when the sender is known; the queue keeps it.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from msgspec import structs

from a3mailer.config.tree import Settings
from a3mailer.mail.envelope import Client, Envelope
from a3mailer.wire.smtp.promises import NO_PROMISES, Asks, Promises

DAY: Final = 86400
AT_A_RELAY: Final = Promises(priority=True, deliver_by=True)


def offered(protocol: str, settings: Settings, now: float) -> Promises:
    """What a door offers; only submission holds mail back (RFC 4865 section 1), LMTP delivers at once.

    The last moment is a midnight, so that offers repeat."""
    if protocol == "LMTP":
        return NO_PROMISES
    most = settings.queue.hold_seconds
    if protocol != "submission" or not most:
        return AT_A_RELAY
    return Promises(True, True, most, (int(now) // DAY + 1) * DAY + most)


def promised(envelope: Envelope, asks: Asks, client: Client, settings: Settings, now: float) -> Envelope:
    """The envelope with what is promised. Seconds of DELIVERBY count from the release of a held mail.

    Only who is trusted raises a priority; anybody may lower his own (RFC 6710 section 4.1)."""
    priority = asks.priority or 0
    if priority > 0 and not is_trusted(client, settings.queue.priority_trusted):
        priority = 0
    begin = int(now)
    release = asks.hold_until or (begin + asks.hold_seconds if asks.hold_seconds else 0)
    if release <= begin:
        release = 0
    deliver_by = max((release or begin) + asks.by_seconds, 1) if asks.by_mode else 0
    return structs.replace(
        envelope, priority=priority, deliver_by=deliver_by, by_mode=asks.by_mode, not_before=release
    )


def is_trusted(client: Client, trusted: tuple[str, ...]) -> bool:
    """Is a client in a list of addresses of accounts, ``@domain`` of accounts, and networks of servers?"""
    if not trusted:
        return False
    if client.account:
        login = client.login.lower()
        return login in trusted or login[login.rfind("@") :] in trusted
    return bool(client.ip) and any(ip_address(client.ip) in network for network in _networks(trusted))


@lru_cache(64)
def _networks(trusted: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(each, strict=False) for each in trusted if "@" not in each)
