"""Autodiscover of Outlook and phones: the XML of MS-OXDSCLI ("POX"), and the JSON that leads to it.

Nobody is asked for a password here: whoever answers for ``autodiscover.`` of a top-level domain has collected
credentials by the thousand (attack row 50), so clients that send one are not told to.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Final

import msgspec

from a3mailer.ops.autoconfig.services import IMAP, POP3, SMTP, Offer, Offered
from a3mailer.runtime import markup

HOST: Final = "autodiscover."
PATHS: Final = (
    "/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.xml",
)  # fmt: skip
"""The same place, as different makers write it."""
JSON_PATHS: Final = ("/autodiscover/autodiscover.json", "/autodiscover/autodiscover.json/v1.0/{email}")
MEDIA: Final = "application/xml; charset=utf-8"
MAX_REQUEST: Final = 8192
"""Octets."""
LIMITS: Final = markup.Limits(MAX_REQUEST, depth=8, elements=64)
MAX_TEXT: Final = 512
OUTLOOK: Final = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
"""The only schema that is answered; the others are of protocols that are not served."""
ENVELOPE: Final = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
NO_SUCH_ADDRESS: Final = 500
INVALID_REQUEST: Final = 600
NO_PROVIDER: Final = 601
"""Error codes of MS-OXDSCLI section 2.2.4.1.1.2."""
VERSION_1: Final = "autodiscoverv1"


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asks: the settings of an address, in a schema."""

    address: str
    schema: str


class _Reading:
    """Keeps the texts of the two elements that matter, wherever they are."""

    __slots__ = ("_length", "_name", "found", "root")

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}
        self.root = ""
        self._name = ""
        self._length = 0

    def start(self, name: str, _attributes: list[str]) -> None:
        self._name = markup.local_name(name)
        self.root = self.root or self._name

    def text(self, text: str) -> None:
        self._length += len(text)
        if self._name in ("emailaddress", "acceptableresponseschema") and self._length <= MAX_TEXT:
            self.found.setdefault(self._name, []).append(text)

    def end(self, _name: str) -> None:
        self._name = ""

    def value(self, name: str) -> str:
        return "".join(self.found.get(name, ())).strip()


def parse(octets: bytes) -> Question:
    """The request of a client. Errors: BadMarkup."""
    reading = _Reading()
    markup.read(octets, reading, LIMITS)
    question = Question(reading.value("emailaddress"), reading.value("acceptableresponseschema"))
    if reading.root != "autodiscover" or not question.address:
        raise markup.BadMarkup("no Autodiscover request with an EMailAddress")
    return question


def encode(offer: Offer, address: str) -> bytes:
    """The settings of one address, the preferred server of each protocol; ``offer`` is not empty."""
    preferred = [found[0] for found in (offer.of(IMAP), offer.of(POP3), offer.of(SMTP)) if found]
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<Autodiscover xmlns="{ENVELOPE}">',
        f'  <Response xmlns="{OUTLOOK}">',
        f"    <User><DisplayName>{escape(address)}</DisplayName></User>",
        "    <Account>",
        "      <AccountType>email</AccountType>",
        "      <Action>settings</Action>",
        *(line for each in preferred for line in _protocol(each, offer.hostname, address)),
        "    </Account>",
        "  </Response>",
        "</Autodiscover>",
        "",
    ]
    return "\n".join(lines).encode()


def _protocol(each: Offered, hostname: str, address: str) -> list[str]:
    protocol, implicit = each.service.protocol, each.service.security == "implicit"
    return [
        "      <Protocol>",
        f"        <Type>{protocol.upper()}</Type>",
        f"        <Server>{escape(hostname)}</Server>",
        f"        <Port>{each.port}</Port>",
        "        <DomainRequired>off</DomainRequired>",
        f"        <LoginName>{escape(address)}</LoginName>",
        "        <SPA>off</SPA>",
        "        <SSL>on</SSL>",
        f"        <Encryption>{'SSL' if implicit else 'TLS'}</Encryption>",
        "        <AuthRequired>on</AuthRequired>",
        *(["        <UsePOPAuth>on</UsePOPAuth>"] if protocol == SMTP else []),
        "      </Protocol>",
    ]


def encode_error(code: int, text: str) -> bytes:
    """What is answered in place of settings."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<Autodiscover xmlns="{ENVELOPE}">\n'
        '  <Response><Error Time="00:00:00" Id="0">'
        f"<ErrorCode>{code}</ErrorCode><Message>{escape(text)}</Message><DebugData/>"
        "</Error></Response>\n</Autodiscover>\n"
    ).encode()


class _Place(msgspec.Struct, rename="pascal"):
    protocol: str
    url: str


class _Refusal(msgspec.Struct, rename="pascal"):
    error_code: str
    error_message: str


def encode_place(offer: Offer) -> bytes:
    """Where version 1 is. ``offer.web`` is a port."""
    port = "" if offer.web == 443 else f":{offer.web}"
    return msgspec.json.encode(_Place("AutodiscoverV1", f"https://{offer.hostname}{port}{PATHS[0]}"))


def encode_refusal() -> bytes:
    """Another protocol than version 1 was asked for."""
    text = "The given protocol value is invalid. Supported values are 'AutodiscoverV1'"
    return msgspec.json.encode(_Refusal("InvalidProtocol", text))
