"""Header fields changed by the operator's rules (``policy.header_rules``), the last judge of a mail.

A rule says whose mail, which field, what to look for in its value and what to put there; a value that becomes
empty takes the field away. Patterns are RE2 (linear in the text, without back-references), so neither an
operator's slip nor a stranger's field costs more than its length. What no rule changes keeps its octets.
Mail of users is signed after this, mail from outside has been authenticated before.
"""

from __future__ import annotations

from typing import Final

from a3mailer.config.headers import HeaderRule, parse_header_rule
from a3mailer.config.tree import Settings
from a3mailer.mail.message.headers import header_end
from a3mailer.telemetry.events import emit
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.policy.judge import Judged
from a3mailer.transfer.policy.rewrite import field, split

MAX_HEADER: Final = 1 << 20
"""Octets of a header that rules look at; a larger one is left as it is, loudly."""
MAX_LINE: Final = 998
"""Octets a new value may have (RFC 5322 section 2.1.1); one that would be longer is not put in."""


class HeaderRules:
    """The judge."""

    __slots__ = ("_rules",)

    def __init__(self, settings: Settings) -> None:
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        wanted = settings.policy.header_rules if settings.server.profile != "plain" else ()
        self._rules = tuple(parse_header_rule(text) for text in wanted)

    def wants(self, arrival: Arrival) -> bool:
        """Is there a rule for what comes by this door?"""
        return bool(self._rules) and bool(self._of(arrival))

    async def judge(self, mail: Judged, seconds: float) -> Judged:
        """The mail as the rules leave it; it refuses nothing."""
        octets = mail.arrival.octets
        end = header_end(octets, 0, len(octets))
        if end > MAX_HEADER:
            emit("header_rules.skipped", level="warning", trace=mail.arrival.trace, octets=end)
            return mail
        header = bytes(octets[:end])
        new = rewritten(header, self._of(mail.arrival))
        if new == header:
            return mail
        emit("header_rules.changed", trace=mail.arrival.trace)
        return mail.with_octets(new + bytes(octets[end:]))

    def _of(self, arrival: Arrival) -> tuple[HeaderRule, ...]:
        door = arrival.client.protocol.lower()
        return tuple(rule for rule in self._rules if rule.door in ("any", door))


def rewritten(header: bytes, rules: tuple[HeaderRule, ...]) -> bytes:
    """A header block, its empty line included, after all rules in their order."""
    fields, empty, _ = split(header)
    return b"".join([*(_one(each, rules) for each in fields), empty])


def _one(octets: bytes, rules: tuple[HeaderRule, ...]) -> bytes:
    name, colon, raw = octets.partition(b":")
    spelled = name.rstrip(b" \t").lower().decode("latin-1")
    wanted = [rule for rule in rules if rule.field == spelled] if colon else []
    value = before = raw.replace(b"\r", b"").replace(b"\n", b"").strip(b" \t") if wanted else b""
    for rule in wanted:
        new = rule.pattern.sub(rule.replacement, value).strip(b" \t")
        if len(name) + len(new) + 2 <= MAX_LINE and b"\n" not in new and b"\r" not in new:
            value = new
        if not value:
            return b""
    return octets if value == before else field(name.rstrip(b" \t"), value, leading_space=False)
