"""What a reply of another server is about: by its provider's words, its enhanced code, any words, its code.

A table and no more: phrases are looked for as they stand, nothing of a stranger's text is a pattern. What is
found steers pace, pauses and metrics; whether a mail has failed is said by the code alone (RFC 5321 section
4.2.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from a3mailer.mail.answers import Answer
from a3mailer.transfer.relay.destinations.providers import SAYINGS
from a3mailer.wire.smtp.remote import RemoteReply

CODES: Final[dict[str, Answer]] = {
    "1.1": Answer.NO_SUCH_USER,
    "1.6": Answer.NO_SUCH_USER,
    "2.1": Answer.NO_SUCH_USER,
    "2.2": Answer.FULL,
    "4.5": Answer.THROTTLED,
    "7.28": Answer.THROTTLED,
}
"""Subject and detail of an enhanced code that says it all (RFC 3463; 7.28 by the IANA's registry)."""

PHRASES: Final[tuple[tuple[Answer, tuple[str, ...]], ...]] = (
    (Answer.GREYLISTED, ("greylist", "graylist", "grey-list", "gray-list", "grey list", "gray list")),
    (
        Answer.FULL,
        ("mailbox full", "mailbox is full", "inbox is full", "over quota", "overquota", "quota exceeded",
         "exceeded storage", "out of storage", "storage quota", "disk quota"),
    ),
    (
        Answer.THROTTLED,
        ("rate limit", "rate-limit", "ratelimit", "throttl", "too many connections", "too many concurrent",
         "too many messages", "too many mails", "too much mail", "slow down", "too fast", "too quickly",
         "connection limit", "frequency limit", "sending limit", "exceeded the rate", "unexpected volume"),
    ),
    (
        Answer.BLOCKED,
        ("blacklist", "black list", "blocklist", "block list", "block-list", "denylist", "reputation",
         "spamhaus", "spamcop", "barracudacentral", "dnsbl", " rbl", "banned", "is blocked"),
    ),
    (
        Answer.NO_SUCH_USER,
        ("user unknown", "unknown user", "no such user", "user not found", "no such recipient",
         "unknown recipient", "recipient unknown", "recipient not found", "invalid recipient",
         "no such mailbox", "unknown mailbox", "mailbox not found", "invalid mailbox", "no mailbox",
         "mailbox unavailable", "mailbox disabled", "account disabled", "account is disabled"),
    ),
    (
        Answer.POLICY,
        ("spam", "policy", "dmarc", "dkim", "spf ", "reverse dns", "ptr record", "virus", "content rejected",
         "unauthenticated", "denied", "not allowed", "relay"),
    ),
)  # fmt: skip
"""In anybody's reply; the first row with a phrase that is found counts."""


def classify(reply: RemoteReply, provider: str = "") -> Answer:
    """What a reply is about; ``provider`` as ``destinations.providers`` names them."""
    if reply.kind == 2:
        return Answer.ACCEPTED
    if not reply.code:
        return Answer.PERMANENT if reply.enhanced.startswith("5") else Answer.UNREACHABLE
    permanent = reply.kind == 5
    undecided = Answer.PERMANENT if permanent else Answer.TEMPORARY
    impossible = Answer.GREYLISTED if permanent else Answer.NO_SUCH_USER
    for answer in _found(reply, provider):
        if answer is Answer.TEMPORARY:
            return undecided
        if answer is not impossible:
            return answer
    return undecided


def _found(reply: RemoteReply, provider: str) -> Iterator[Answer]:
    """What speaks for which answer, the surest first."""
    text = reply.text.lower()
    for phrase, answer in SAYINGS.get(provider, ()):
        if phrase in text:
            yield answer
    subject = reply.enhanced.partition(".")[2]
    if subject in CODES:
        yield CODES[subject]
    for answer, phrases in PHRASES:
        if any(phrase in text for phrase in phrases):
            yield answer
    if subject.startswith("7."):
        yield Answer.POLICY
