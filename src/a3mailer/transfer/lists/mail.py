"""What a list makes of a mail: fields on top, and nothing else where its tag is empty (RFC 2369, RFC 2919).

What the author's DKIM signature covers stays as it was. Only where a member's server would refuse the mail by
the DMARC policy of the author's domain (its signature does not hold, or not any more) the list becomes the
author, with the name and a Reply-To of the person (RFC 7960 section 4.1.3.1). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.mail.authresults import PASS, AuthResults, claims, parse
from a3mailer.mail.compose import BadPiece, Mailbox, field, mailbox_field
from a3mailer.mail.message import addresses, headers, index
from a3mailer.msgauth.fields import Header, read
from a3mailer.transfer.fields import names_of, without
from a3mailer.transfer.forwarding.sealing import found_here
from a3mailer.transfer.trace import without_return_path

LIST_ID: Final = b"list-id"
OURS: Final = frozenset((
    b"list-id", b"list-post", b"list-help", b"list-owner", b"list-subscribe", b"list-unsubscribe",
    b"list-unsubscribe-post", b"list-archive", b"return-path",
))  # fmt: skip
"""Fields that another list has put there; a mail has them once."""
PERSONAL: Final = frozenset((b"list-unsubscribe", b"list-unsubscribe-post"))
STRICT: Final = ("quarantine", "reject")
MAX_MESSAGE_ID: Final = 250
"""Characters of a Message-ID that an answer names."""
MAX_SUBJECT: Final = 800
"""Octets of a subject that a tag is put before."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who has written a mail, and what is known of that."""

    address: str
    """In lower case; empty where there is not exactly one."""
    name: str = ""
    proved: bool = False
    """It is an account of ours that submitted it, or DMARC passed."""
    doubtful: bool = False
    """DMARC failed."""
    strict: bool = False
    """Its domain wants what is not proved refused."""
    signed: bool = False
    """A signature of its domain was good."""


@dataclass(frozen=True, slots=True)
class Face:
    """How a list shows itself."""

    address: str
    name: str
    archive: str = ""
    tag: str = ""

    def command(self, word: str) -> str:
        """LIST-WORD@."""
        local_part, _, domain = self.address.rpartition("@")
        return f"{local_part}-{word}@{domain}"

    @property
    def list_id(self) -> str:
        """The identifier of RFC 2919 section 3."""
        return self.address.replace("@", ".")


def author_of(octets: bytes, hostname: str) -> Author:
    """Who a mail is from, and what we found of it when it came."""
    header = read(octets)
    values = header.all(b"from")
    people = addresses.parse_mailboxes(headers.unfold(values[0].value)) if len(values) == 1 else ()
    if len(people) != 1 or not people[0].domain:
        return Author("")
    address, name = people[0].addr_spec.lower(), people[0].name
    if not address.isprintable() or " " in address:
        return Author("")
    found = found_here(header, hostname)
    if found is None:
        return Author(address, name, proved=_is_submitted(header, hostname))
    domain = address.rpartition("@")[2]
    said = next(iter(found.of("dmarc")), None)
    return Author(
        address,
        name,
        proved=_is_submitted(header, hostname) or (said is not None and said.result == PASS),
        doubtful=said is not None and said.result == "fail",
        strict=said is not None and said.value("policy", "dmarc") in STRICT,
        signed=any(
            r.result == PASS and _aligned(r.value("header", "d") or "", domain) for r in found.of("dkim")
        ),
    )


def _is_submitted(header: Header, hostname: str) -> bool:
    """Did an account of ours submit it (``trace.authentication_results``)?"""
    for each in header.fields:
        if each.name == b"received":
            break
        if each.name == b"authentication-results" and claims(each.value, hostname):
            found: AuthResults | None = parse(each.value)
            if found is not None and any(r.result == PASS for r in found.of("auth")):
                return True
    return False


def _aligned(signer: str, author: str) -> bool:
    signer = signer.lower()
    return bool(signer) and (
        signer == author or author.endswith(f".{signer}") or signer.endswith(f".{author}")
    )


def is_automatic(octets: bytes) -> bool:
    """Did a program answer (RFC 3834 section 5)?"""
    end = headers.header_end(octets, 0, len(octets))
    value = headers.first(octets, 0, end, b"auto-submitted")
    return value is not None and not headers.unfold(value).lower().startswith(b"no")


def thread(octets: bytes) -> tuple[tuple[str, str], ...]:
    """In-Reply-To and References of an answer to a mail; nothing where it has no Message-ID to name."""
    name = index(octets).message_id.decode("ascii", "replace")
    if not name.isprintable() or not name.isascii() or len(name) > MAX_MESSAGE_ID or not name:
        return ()
    return ("In-Reply-To", f"<{name}>"), ("References", f"<{name}>")


def has_been_here(octets: bytes, face: Face) -> bool:
    """Does it carry the list's own mark? Then it goes in a circle."""
    end = headers.header_end(octets, 0, len(octets))
    mark = f"<{face.list_id}>".encode()
    return any(
        name == LIST_ID and mark in octets[value:stop].lower()
        for name, value, stop in headers.fields(octets, 0, end)
    )


def made_of(octets: bytes, face: Face, author: Author) -> bytes:
    """The mail that members get, but for what is each one's own (``personal``)."""
    octets = without_return_path(octets)
    end = headers.header_end(octets, 0, len(octets))
    header, body = without(octets[:end], OURS), octets[end:]
    changed = bool(face.tag)
    if changed:
        header = _tagged(header, face.tag)
    if author.strict and (changed or not author.signed):
        header = _in_the_name_of(header, face, author)
    return b"Return-Path: <%b>\r\n" % face.command("owner").encode() + _fields(face) + header + body


def _fields(face: Face) -> bytes:
    lines = [
        mailbox_field("List-Id", Mailbox(face.name, face.list_id))
        if face.name
        else f"List-Id: <{face.list_id}>\r\n",
        f"List-Post: <mailto:{face.address}>\r\n",
        f"List-Help: <mailto:{face.command('request')}>\r\n",
        f"List-Owner: <mailto:{face.command('owner')}>\r\n",
        f"List-Subscribe: <mailto:{face.command('subscribe')}>\r\n",
        f"List-Unsubscribe: <mailto:{face.command('unsubscribe')}>\r\n",
    ]
    return "".join(lines).encode()


def _tagged(header: bytes, tag: str) -> bytes:
    value = headers.first(header, 0, len(header), b"subject") or b""
    if tag.encode() in value or len(value) > MAX_SUBJECT:
        return header
    # what is there stays as it is encoded: a tag is plain words
    subject = b"Subject: %b %b\r\n" % (tag.encode("ascii"), headers.unfold(value))
    return subject + without(header, frozenset((b"subject",)))


def _in_the_name_of(header: bytes, face: Face, author: Author) -> bytes:
    """From the list, with answers to whom they went to before."""
    name = f"{author.name or author.address.partition('@')[0]} via {face.name or face.address}"
    try:
        made = mailbox_field("From", Mailbox(name, face.address))
        answers = "" if b"reply-to" in names_of(header) else mailbox_field(
            "Reply-To", Mailbox(author.name, author.address)
        )  # fmt: skip
        was = field("X-Original-From", author.address)
    except BadPiece:
        made, answers, was = mailbox_field("From", Mailbox(face.name, face.address)), "", ""
    return f"{made}{answers}{was}".encode() + without(header, frozenset((b"from",)))


def personal(octets: bytes, link: str, address: str) -> bytes:
    """The mail with what only one member may have: how to leave, by one click (RFC 8058) or by mail."""
    end = headers.header_end(octets, 0, len(octets))
    ways = ",\r\n ".join(f"<{way}>" for way in (link, f"mailto:{address}" if address else "") if way)
    if not ways:
        return octets
    post = "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" if link else ""
    own = f"List-Unsubscribe: {ways}\r\n{post}".encode()
    return own + without(octets[:end], PERSONAL) + octets[end:]
