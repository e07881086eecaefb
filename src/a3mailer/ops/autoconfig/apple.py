"""The profile of iPhones, iPads and Macs (``.mobileconfig``): a property list, signed (RFC 5652).

The device shows who signed it; that is the server's own certificate, so it says "verified" where TLS does.
"""

from __future__ import annotations

import plistlib
import uuid
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

from a3mailer.ops.autoconfig.services import IMAP, SMTP, Offer
from a3mailer.ops.certificates import Kept, key_of

PATH: Final = "/email.mobileconfig"
MEDIA: Final = "application/x-apple-aspen-config"
MAIL: Final = "com.apple.mail.managed"


def profile(offer: Offer, address: str) -> bytes:
    """The property list of one account. ``offer`` is enough for an account.

    An address has the same profile every time, so that a second one replaces the first."""
    reading, sending = offer.incoming[0], offer.of(SMTP)[0]
    name = f"{'.'.join(reversed(offer.domain.split('.')))}.mail"
    kind = "EmailTypeIMAP" if reading.service.protocol == IMAP else "EmailTypePOP"
    account = {
        "PayloadType": MAIL,
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{name}.account",
        "PayloadUUID": _uuid(offer, address, "account"),
        "PayloadDisplayName": address,
        "EmailAccountDescription": address,
        "EmailAccountType": kind,
        "EmailAddress": address,
        "IncomingMailServerHostName": offer.hostname,
        "IncomingMailServerPortNumber": reading.port,
        "IncomingMailServerUseSSL": True,
        "IncomingMailServerUsername": address,
        "IncomingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingMailServerHostName": offer.hostname,
        "OutgoingMailServerPortNumber": sending.port,
        "OutgoingMailServerUseSSL": True,
        "OutgoingMailServerUsername": address,
        "OutgoingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingPasswordSameAsIncomingPassword": True,
    }
    return plistlib.dumps(
        {
            "PayloadType": "Configuration",
            "PayloadVersion": 1,
            "PayloadIdentifier": name,
            "PayloadUUID": _uuid(offer, address, "profile"),
            "PayloadDisplayName": f"{offer.domain}: {address}",
            "PayloadDescription": f"Mail of {address}",
            "PayloadOrganization": offer.domain,
            "PayloadContent": [account],
        }
    )


def _uuid(offer: Offer, address: str, part: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{address}?{offer.hostname}&{part}")).upper()


def signed(octets: bytes, kept: Kept) -> bytes:
    """The octets in a signed message with the whole chain, in DER. Blocks for a file and a signature.

    Errors: OSError, ValueError (a key that cannot be read, or that signs nothing)."""
    leaf = kept.chain.leaf
    builder = PKCS7SignatureBuilder().set_data(octets).add_signer(leaf, key_of(kept), hashes.SHA256())
    for above in _above(kept):
        builder = builder.add_certificate(above)
    return builder.sign(Encoding.DER, [PKCS7Options.Binary])


def _above(kept: Kept) -> tuple[x509.Certificate, ...]:
    return tuple(each for each in kept.chain.above if each.issuer != each.subject)
