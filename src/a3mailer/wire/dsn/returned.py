"""What a mail that came back says (RFC 3464; and what servers write that know nothing of it), for programs.

Total and linear. A notification in the standard form is believed; of any other mail only what an automatic
reply of a mail system looks like counts: a status code (RFC 3463) or a reply code in its first lines. An
automatic answer of a person's mailbox (RFC 3834) is no bounce.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from a3mailer.mail.message import MessageIndex, encodings, headers, index
from a3mailer.wire.dsn.parse import report_of
from a3mailer.wire.dsn.report import Action

LOOKED_AT: Final = 128 << 10
"""Octets of a mail that are read."""
TEXT: Final = 16 * 1024
"""Octets of a text that codes are looked for in."""
SAID: Final = 300
"""Characters of a diagnostic that are kept."""
UNKNOWN_FAILURE: Final = "5.0.0"
_QUOTES: Final = bytes.maketrans(b"()<>[],;:#\"'", b" " * 12)
_SYSTEMS: Final = (b"mailer-daemon@", b"postmaster@", b"mailer_daemon@", b"mdaemon@")
_SUBJECTS: Final = (
    "undeliver", "returned mail", "delivery status notification", "failure notice", "mail delivery fail",
    "delivery fail", "could not be delivered", "not delivered", "unzustellbar", "退信", "无法送达", "未送达",
)  # fmt: skip
_DELAYS: Final = ("delay", "warning", "延迟")


@dataclass(frozen=True, slots=True)
class Failure:
    """One recipient that a mail did not reach."""

    recipient: str
    """As the notification names it: the original address where it is told; empty where nobody is named."""
    status: str
    """``5.1.1``."""
    diagnostic: str = ""

    @property
    def permanent(self) -> bool:
        """It will not go better another time, says its status."""
        return self.status.startswith("5")


def failures(octets: bytes) -> tuple[Failure, ...]:
    """The failures a mail tells of; none for delays, successes and mails that are no bounces."""
    octets = octets[:LOOKED_AT]
    found = index(octets)
    report = report_of(octets, found)
    if report is None:
        return _guessed(octets, found)
    return tuple(
        Failure(
            r.original.partition(";")[2] or r.final,
            r.status if _is_status(r.status.encode("utf-8", "replace")) else UNKNOWN_FAILURE,
            r.diagnostic[:SAID],
        )
        for r in report.recipients
        if r.action is Action.FAILED
    )


def _guessed(octets: bytes, found: MessageIndex) -> tuple[Failure, ...]:
    head = octets[: found.header_end]
    auto = headers.first(head, 0, len(head), b"auto-submitted") or b""
    sender = b"".join(f"{a.addr_spec} ".lower().encode("utf-8", "replace") for a in found.from_)
    subject = found.subject.lower()
    if not sender.startswith(_SYSTEMS) and not any(word in subject for word in _SUBJECTS):
        return ()
    if auto.strip().lower().startswith(b"auto-notified") or any(word in subject for word in _DELAYS):
        return ()
    text = next((p for p in found.parts if p.media.startswith(b"text/")), None)
    if text is None:
        return ()
    body = encodings.decode(octets[text.body : min(text.end, text.body + TEXT)], text.encoding)[:TEXT]
    code, line = next(_codes(body), (b"", b""))
    return (Failure("", code.decode(), _line(line)),) if code else ()


def _codes(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(status, its line) of each line with a status code, else a reply code such as 550."""
    for line in body.splitlines():
        words = line.translate(_QUOTES).replace(b"-", b" ").split()
        for word in words:
            if _is_status(word):
                yield word, line
        for word in words:
            if len(word) == 3 and word.isdigit() and word[:1] in b"45" and word[1:2] in b"0257":
                yield word[:1] + b".0.0", line


# status-code = class "." subject "." detail      ; class = "2"/"4"/"5", subject and detail = 1*3digit
def _is_status(word: bytes) -> bool:
    """One of a failure."""
    parts = word.split(b".")
    return len(parts) == 3 and parts[0] in (b"4", b"5") and all(p.isdigit() and len(p) <= 3 for p in parts)


def _line(octets: bytes) -> str:
    text = octets.decode("utf-8", "replace").strip()
    return "".join(c if c.isprintable() else " " for c in text)[:SAID]
