"""The answer of who is away (RFC 8621 section 8), which delivery sends after the account's script.

It stands in the roll of the account's scripts (``scripts.py``), so an account without one costs nothing. What
is sent is the action of Sieve's ``vacation``, with all the care that takes (RFC 5230, RFC 3834): each sender
hears it once in seven days, and anew after it has changed.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final, NamedTuple

import msgspec

from a3mailer.mail.compose import alternative_entity
from a3mailer.mail.message.html import html_text
from a3mailer.wire.sieve.actions import Vacation

SECONDS: Final = 7 * 86_400
SUBJECT: Final = 500
"""Characters of a subject."""
BODY: Final = 32_768
"""Characters of each body."""
WORDS: Final = {
    "en": "I am away at the moment and will read your message when I am back.",
    "zh": "我目前不在，回来后会阅读您的邮件。",
}
"""Where the account has written no body, in the language of the server."""


# what ends a line of HTML, as far as an answer needs lines
_BREAK: Final = re.compile(r"<(?:br|/p|/div|/li|/tr|/h[1-6])[\s/]*+>", re.IGNORECASE)


class Response(msgspec.Struct, frozen=True):
    """As the account's owner set it. Dates are seconds since the epoch."""

    enabled: bool = False
    since: int | None = None
    until: int | None = None
    """Before which second a mail has come that is answered."""
    subject: str | None = None
    text: str | None = None
    html: str | None = None


class Away(NamedTuple):
    """What delivery does, and when."""

    action: Vacation
    since: int
    until: int | None

    def is_at(self, now: int) -> bool:
        """Is it sent at this second?"""
        return self.since <= now and (self.until is None or now < self.until)


def away(response: Response, language: str) -> Away | None:
    """What delivery does with it; None where it is off."""
    if not response.enabled:
        return None
    content = (response.since, response.subject, response.text, response.html)
    handle = b"\0" + hashlib.sha256(msgspec.json.encode(content)).digest()
    subject = " ".join("".join(c if c.isprintable() else " " for c in response.subject or "").split())
    text = response.text
    if text is None:
        text = WORDS[language] if response.html is None else _shown(response.html)
    if response.html is not None:
        entity = alternative_entity(text, response.html, secrets.token_hex(12)).decode("ascii")
        action = Vacation(entity, SECONDS, handle, subject, mime=True)
    else:
        action = Vacation(text, SECONDS, handle, subject)
    return Away(action, response.since or 0, response.until)


def _shown(html: str) -> str:
    """The text of an HTML body, in lines."""
    lines = html_text(_BREAK.sub("\n", " ".join(html.split()))).split("\n")
    return "\n".join(" ".join(line.split()) for line in lines).strip()
