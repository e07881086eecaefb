"""Read a delivery status notification (RFC 3464, RFC 6533), from anybody, for programs.

Total and linear: what is no notification is None, what is broken is left out, counts are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from a3mailer.mail.message import MessageIndex, dates, encodings, index
from a3mailer.wire.dsn.report import Action, RecipientStatus, Report
from a3mailer.wire.smtp.xtext import UTF8, unquote

MAX_STATUS: Final = 1 << 20
"""Octets of the delivery-status part that are read."""
MAX_RECIPIENTS: Final = 1000
"""Recipients one notification may report on; the rest is not read."""
_MEDIA: Final = frozenset((b"message/delivery-status", b"message/global-delivery-status"))
_ACTIONS: Final = {action.value: action for action in Action}


def parse(octets: bytes) -> Report | None:
    """The report inside a mail, None when it has none."""
    return report_of(octets, index(octets))


def report_of(octets: bytes, found: MessageIndex) -> Report | None:
    """The same of a mail that is indexed already."""
    for part in found.parts:
        if part.media in _MEDIA:
            content = octets[part.body : min(part.end, part.body + MAX_STATUS)]
            return parse_status(encodings.decode(content, part.encoding))
    return None


# delivery-status-content = per-message-fields 1*( CRLF per-recipient-fields )
def parse_status(octets: bytes) -> Report | None:
    """The report of a ``message/delivery-status`` content, None when no recipient can be read."""
    groups = list(_groups(octets))
    if not groups:
        return None
    found = [status for group in groups[1:] if (status := _recipient(group)) is not None]
    if not found:
        return None
    first = groups[0]
    return Report(
        _untyped(first.get(b"reporting-mta", b"")),
        tuple(found),
        _string(first.get(b"original-envelope-id", b"")),
        dates.parse(first.get(b"arrival-date", b"")) or 0,
    )


def _groups(octets: bytes) -> Iterator[dict[bytes, bytes]]:
    """Fields by name in lower case, one dictionary a group; groups are parted by empty lines."""
    group: dict[bytes, bytes] = {}
    count = 0
    for line in octets.replace(b"\r\n", b"\n").replace(b"\n ", b" ").replace(b"\n\t", b"\t").split(b"\n"):
        if line.strip(b" \t\r"):
            name, colon, value = line.partition(b":")
            if colon:
                group.setdefault(name.strip(b" \t").lower(), value.strip(b" \t\r"))
        elif group:
            yield group
            group, count = {}, count + 1
            if count > MAX_RECIPIENTS:
                return
    if group:
        yield group


def _recipient(group: dict[bytes, bytes]) -> RecipientStatus | None:
    action = _ACTIONS.get(_string(group.get(b"action", b"")).partition(" ")[0].lower())
    final = _address(group.get(b"final-recipient", b""))
    if action is None or not final:
        return None
    kind, _, address = _string(group.get(b"original-recipient", b"")).partition(";")
    return RecipientStatus(
        final,
        action,
        _string(group.get(b"status", b"")).partition(" ")[0],
        f"{kind.strip()};{unquote(address.strip())}" if address else "",
        _untyped(group.get(b"remote-mta", b"")),
        _untyped(group.get(b"diagnostic-code", b"")),
        dates.parse(group.get(b"last-attempt-date", b"")) or 0,
        dates.parse(group.get(b"will-retry-until", b"")) or 0,
    )


def _string(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _untyped(value: bytes) -> str:
    """``dns; mail.example`` without its type."""
    kind, semicolon, rest = _string(value).partition(";")
    return rest.strip() if semicolon else kind.strip()


def _address(value: bytes) -> str:
    kind, _, address = _string(value).partition(";")
    return unquote(address.strip()) if kind.strip().lower() == UTF8 else address.strip()
