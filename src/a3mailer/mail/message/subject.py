"""The base subject (RFC 5256 section 2.1): the Subject without what replies and forwards put around it.

Linear: every step moves one of two offsets inwards, nothing is copied before the end.
"""

from typing import Final

from a3mailer.mail.message import limits

_TRAILER: Final = "(fwd)"
_HEADER: Final = "[fwd:"


# subject = *subj-leader [subj-middle] *subj-trailer
def base_subject(subject: str) -> tuple[str, bool]:
    """Return the base subject of a decoded subject, and whether it is that of a reply or a forward."""
    text = " ".join(subject[: limits.BASE_SUBJECT].split())
    lower = text.lower()
    if len(lower) != len(text):  # a few letters grow when lowered; the offsets below need equal lengths
        lower = "".join(low if len(low := c.lower()) == 1 else c for c in text)
    start, end, reply = 0, len(text), False
    while True:
        stop = _without_trailers(lower, start, end)
        start, removed = _without_leaders(lower, start, stop)
        reply = reply or removed or lower.find(_TRAILER, stop, end) >= 0
        end = stop
        if not (lower.startswith(_HEADER, start, end) and text[end - 1] == "]"):
            return text[start:end], reply
        start, end, reply = start + len(_HEADER), end - 1, True


# subj-trailer = "(fwd)" / WSP
def _without_trailers(lower: str, start: int, end: int) -> int:
    while end > start:
        if lower[end - 1] == " ":
            end -= 1
        elif lower.endswith(_TRAILER, start, end):
            end -= len(_TRAILER)
        else:
            break
    return end


# subj-leader = (*subj-blob subj-refwd) / WSP
def _without_leaders(lower: str, start: int, end: int) -> tuple[int, bool]:
    """Return the offset after all leaders and all blobs that have something behind them, steps (3) to (5)."""
    removed = False
    while True:
        start = _after_spaces(lower, start, end)
        after = _after_refwd(lower, start, end)
        if after >= 0:
            removed = True
        else:
            after = _after_blob(lower, start, end)
            if after < 0 or after >= end:
                return start, removed
        start = after


def _after_spaces(lower: str, at: int, end: int) -> int:
    while at < end and lower[at] == " ":
        at += 1
    return at


# subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
def _after_refwd(lower: str, at: int, end: int) -> int:
    if lower.startswith(("re", "fw"), at, end):
        at += 3 if lower.startswith("fwd", at, end) else 2
        at = _after_spaces(lower, at, end)
        at = max(at, _after_blob(lower, at, end))
        if at < end and lower[at] == ":":
            return at + 1
    return -1


# subj-blob = "[" *BLOBCHAR "]" *WSP      ; BLOBCHAR is anything but "[" and "]"
def _after_blob(lower: str, at: int, end: int) -> int:
    if at >= end or lower[at] != "[":
        return -1
    inner = lower.find("[", at + 1, end)
    close = lower.find("]", at + 1, end if inner < 0 else inner)
    return -1 if close < 0 else _after_spaces(lower, close + 1, end)
