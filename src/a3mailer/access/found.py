"""What ENVELOPE says to a search: the day of the Date field."""

from __future__ import annotations

from typing import Final

from a3mailer.mail.message import dates
from a3mailer.mail.message.enveloped import unquoted
from a3mailer.mail.message.wire import skip

DAY: Final = 86400


def sent_day(fragment: bytes) -> int | None:
    """The day the Date field names, its zone disregarded (section 6.4.4), since 1970-01-01; None without."""
    value = unquoted(fragment[1 : skip(fragment, 1)]) if len(fragment) > 1 else b""
    words = value.split()
    for number, word in enumerate(words):
        if b":" in word:
            local = dates.parse(b" ".join((*words[: number + 1], b"+0000")))
            return None if local is None else local // DAY
    return None
