"""Read a message disposition notification (RFC 8098, RFC 6533), from anybody, for programs.

Total and linear: what is no notification is None, what is broken is left out, counts are bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.mail.message import MessageIndex, encodings, headers
from a3mailer.mail.message.html import html_text
from a3mailer.mail.message.text import decoded_text

MAX_CONTENT: Final = 1 << 18
"""Octets of the notification's content that are read."""
MAX_FIELDS: Final = 100
_MEDIA: Final = frozenset((b"message/disposition-notification", b"message/global-disposition-notification"))
_ORIGINALS: Final = frozenset((b"message/rfc822", b"message/global"))
ACTION_MODES: Final = ("manual-action", "automatic-action")
SENDING_MODES: Final = ("mdn-sent-manually", "mdn-sent-automatically")
TYPES: Final = ("deleted", "dispatched", "displayed", "processed")
KNOWN: Final = frozenset(
    ("reporting-ua", "mdn-gateway", "original-recipient", "final-recipient", "original-message-id",
     "disposition", "error")
)  # fmt: skip
"""Fields that have a meaning; all others are extensions."""


@dataclass(frozen=True, slots=True)
class Disposed:
    """What it says; texts that are not there are empty."""

    action_mode: str
    sending_mode: str
    type: str
    text: str
    """Of the part for people."""
    has_original: bool
    """The whole mail it is about goes along."""
    reporting_ua: str = ""
    gateway: str = ""
    original_recipient: str = ""
    final_recipient: str = ""
    """Both ``addr-type; address``."""
    original_message_id: str = ""
    errors: tuple[str, ...] = ()
    extensions: tuple[tuple[str, str], ...] = ()


# disposition-field = "Disposition" ":" disposition-mode ";" disposition-type
#     [ "/" disposition-modifier *( "," disposition-modifier ) ]
# disposition-mode = action-mode "/" sending-mode
def disposed(octets: bytes, found: MessageIndex) -> Disposed | None:
    """The notification inside a mail, None when it has none."""
    part = next((each for each in found.parts if each.media in _MEDIA), None)
    if part is None:
        return None
    content = octets[part.body : min(part.end, part.body + MAX_CONTENT)]
    named = _named(encodings.decode(content, part.encoding))
    values: dict[str, str] = {}
    for name, value in named:
        values.setdefault(name.lower(), value)
    modes, _, rest = values.get("disposition", "").lower().partition(";")
    action, _, sending = (each.strip() for each in modes.partition("/"))
    kind = rest.partition("/")[0].strip()
    if action not in ACTION_MODES or sending not in SENDING_MODES or kind not in TYPES:
        return None
    return Disposed(
        action,
        sending,
        kind,
        _words(octets, found),
        any(each.media in _ORIGINALS for each in found.parts),
        values.get("reporting-ua", ""),
        values.get("mdn-gateway", ""),
        values.get("original-recipient", ""),
        values.get("final-recipient", ""),
        values.get("original-message-id", ""),
        tuple(value for name, value in named if name.lower() == "error"),
        tuple((name, value) for name, value in named if name.lower() not in KNOWN),
    )


def _named(content: bytes) -> list[tuple[str, str]]:
    """Names as they are spelled, and values."""
    made: list[tuple[str, str]] = []
    for name, start, stop in headers.fields(content, 0, len(content)):
        line = content[content.rfind(b"\n", 0, start - 1) + 1 : start - 1].rstrip(b" \t")
        spelled = line if line.lower() == name else name
        made.append((_text(spelled), _text(headers.unfold(content[start:stop]))))
        if len(made) >= MAX_FIELDS:
            break
    return made


def _words(octets: bytes, found: MessageIndex) -> str:
    """The first text that is not of the original."""
    for part in found.parts:
        if part.media in _MEDIA or part.media in _ORIGINALS:
            break
        if part.media in (b"text/plain", b"text/html"):
            text = decoded_text(octets, part)
            return html_text(text).strip() if part.media == b"text/html" else text
    return ""


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")
