"""The clientConfig of Thunderbird and others (draft-ietf-mailmaint-autoconfig), the preferred server first.

It is the same for everybody of a domain: ``%EMAILADDRESS%`` stands for whoever asks, so that nobody learns
from it which addresses there are.
"""

from __future__ import annotations

from html import escape
from typing import Final

from a3mailer.ops.autoconfig.services import IMPLICIT, SMTP, Offer, Offered

HOST: Final = "autoconfig."
"""What the host of a domain's document begins with ..."""
PATH: Final = "/mail/config-v1.1.xml"
WELL_KNOWN: Final = "/.well-known/autoconfig/mail/config-v1.1.xml"
"""... and where it is under the domain's own name."""
MEDIA: Final = "application/xml; charset=utf-8"


def encode(offer: Offer) -> bytes:
    """The document. ``offer`` is enough for an account."""
    domain = escape(offer.domain)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<clientConfig version="1.1">',
        f'  <emailProvider id="{domain}">',
        f"    <domain>{domain}</domain>",
        f"    <displayName>{domain}</displayName>",
        f"    <displayShortName>{domain}</displayShortName>",
    ]
    for each in offer.incoming:
        lines += _server("incomingServer", each, offer.hostname)
    for each in offer.of(SMTP):
        lines += _server("outgoingServer", each, offer.hostname)
    lines += ["  </emailProvider>", "</clientConfig>", ""]
    return "\n".join(lines).encode()


def _server(element: str, each: Offered, hostname: str) -> list[str]:
    socket_type = "SSL" if each.service.security == IMPLICIT else "STARTTLS"
    return [
        f'    <{element} type="{each.service.protocol}">',
        f"      <hostname>{escape(hostname)}</hostname>",
        f"      <port>{each.port}</port>",
        f"      <socketType>{socket_type}</socketType>",
        "      <authentication>password-cleartext</authentication>",
        "      <username>%EMAILADDRESS%</username>",
        f"    </{element}>",
    ]
