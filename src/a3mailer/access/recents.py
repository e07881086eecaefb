"""Messages that a session is the first to be told of: \\Recent of IMAP (RFC 3501 section 2.3.2).

Uids as ascending, disjoint, half-open spans: what came before the session, and what it noticed before others
did. The store keeps up to which uid of a mailbox anybody was told (``Notice``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from a3mailer.mail.flags import RECENT

Spans = tuple[tuple[int, int], ...]
KEPT_SPANS: Final = 256
"""Of a session that shares a mailbox with others for long; the oldest messages stop being recent."""
_MARK: Final = bytes(bits | RECENT for bits in range(256))


def added(spans: Spans, first: int, until: int) -> Spans:
    """With uids from ``first`` on, below ``until``, which are above all others."""
    if first >= until:
        return spans
    if spans and spans[-1][1] == first:
        return (*spans[:-1], (spans[-1][0], until))
    return (*spans, (first, until))[-KEPT_SPANS:]


def places(spans: Spans, uids: Sequence[int], count: int) -> Spans:
    """Their places among the first ``count`` of ascending ``uids``."""
    found = ((bisect_left(uids, low, 0, count), bisect_left(uids, high, 0, count)) for low, high in spans)
    return tuple((low, high) for low, high in found if low < high)


def holds(spans: Spans, number: int) -> bool:
    """Whether a number lies in one of them."""
    return any(low <= number < high for low, high in spans)


def marked(flags: Sequence[int], at: Sequence[int], spans: Spans) -> Sequence[int]:
    """Flags of messages at these places, with \\Recent where ``spans`` of places say so."""
    if isinstance(at, range) and at.step == 1:
        octets = bytearray(flags)
        for low, high in spans:
            low, high = max(low - at.start, 0), min(high, at.stop) - at.start
            if low < high:
                octets[low:high] = octets[low:high].translate(_MARK)
        return octets
    pairs = zip(flags, at, strict=True)
    return [bits | RECENT if holds(spans, place) else bits for bits, place in pairs]
