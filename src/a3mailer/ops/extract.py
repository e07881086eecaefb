"""The text of attachments that are no text: PDF, read in a process apart (``runtime.apart``), and bounded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from io import BytesIO
from typing import Final

from a3mailer.mail.message import MessageIndex, Part, encodings
from a3mailer.runtime.apart import Allowed, apart

MEDIA: Final = frozenset((b"application/pdf", b"application/x-pdf"))
SUFFIX: Final = ".pdf"
ATTACHMENTS: Final = 10
"""Of one mail."""
OCTETS: Final = 16 * 1024 * 1024
"""Of one attachment, as it is encoded; a larger one is not read."""
PAGES: Final = 300
ALLOWED: Final = Allowed(seconds=5, memory=384 * 1024 * 1024, answer=2 * 1024 * 1024)


def extract(octets: bytes, index: MessageIndex) -> Mapping[int, str]:
    """The texts found, by the part's place in the index."""
    found: dict[int, str] = {}
    tried = 0
    for number, part in enumerate(index.parts):
        if _is_pdf(part) and part.end - part.body <= OCTETS and part.end <= len(octets):
            tried += 1
            if tried > ATTACHMENTS:
                break
            content = encodings.decode(octets[part.body : part.end], part.encoding)
            text = apart(partial(pdf_text, content), ALLOWED) if content.startswith(b"%PDF-") else None
            if text:
                found[number] = text.decode("utf-8", "ignore")
    return found


def _is_pdf(part: Part) -> bool:
    return part.media in MEDIA or (
        part.media == b"application/octet-stream" and part.filename.lower().endswith(SUFFIX)
    )


def pdf_text(content: bytes) -> bytes:
    """The text of a PDF, a line a page, UTF-8. Raises anything: it is called in a process apart."""
    from pypdf import PdfReader

    pages: list[bytes] = []
    left = ALLOWED.answer
    for page in PdfReader(BytesIO(content), strict=False).pages[:PAGES]:
        text = page.extract_text().encode("utf-8", "ignore")
        pages.append(text)
        left -= len(text)
        if left <= 0:
            break
    return b"\n".join(pages)
