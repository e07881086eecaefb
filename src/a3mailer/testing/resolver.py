"""A resolver that knows what it was told, and fails where it was told to."""

from __future__ import annotations

from collections.abc import Mapping

from a3mailer.runtime.resolver import Answer, Mx, Record, ResolverFailure

FAILS = object()
"""As a value of ``zone``: asking for it is a ResolverFailure."""


class FakeResolver:
    """Satisfies ``runtime.resolver.Resolver``. A name that has any record exists; the others are NXDOMAIN.

    ``FakeResolver({("mx.example.test", "A"): ["192.0.2.1"]})``
    """

    def __init__(self, zone: Mapping[tuple[str, str], object] | None = None) -> None:
        self.zone: dict[tuple[str, str], object] = dict(zone or {})
        self.asked: list[tuple[str, str]] = []
        self.signed: set[str] = set()
        """Zones whose answers are authentic."""
        self.aliases: dict[str, str] = {}
        """Names that stand for others, for every type but CNAME."""
        self.warm = False
        """Everything has been asked for before."""

    def put(self, name: str, kind: str, *records: Record) -> None:
        """Set the records of a name and type; none of them: the name exists without this type."""
        self.zone[name.lower(), kind] = list(records)

    def fail(self, name: str, kind: str) -> None:
        """Let a question fail."""
        self.zone[name.lower(), kind] = FAILS

    def mail_host(self, domain: str, *addresses: str, preference: int = 10) -> str:
        """Give ``domain`` one MX with these addresses; returns the exchange's name."""
        exchange = f"mx{preference}.{domain}"
        known = self.zone.setdefault((domain, "MX"), [])
        if isinstance(known, list):
            known.append(Mx(preference, exchange))
        self.put(exchange, "A", *(a for a in addresses if ":" not in a))
        self.put(exchange, "AAAA", *(a for a in addresses if ":" in a))
        return exchange

    async def lookup(self, name: str, kind: str) -> Answer:
        return self._answer(name, kind)

    def known(self, name: str, kind: str) -> Answer | None:
        return self._answer(name, kind) if self.warm else None

    def _answer(self, name: str, kind: str) -> Answer:
        name = name.lower().rstrip(".")
        self.asked.append((name, kind))
        canonical = "" if kind == "CNAME" else self.aliases.get(name, "")
        asked, authentic = canonical or name, self._signed(name) and self._signed(canonical or name)
        records = self.zone.get((asked, kind))
        if records is FAILS or self.zone.get((name, kind)) is FAILS:
            raise ResolverFailure(f"{kind} of {name} fails")
        if kind == "CNAME" and name in self.aliases:
            records = [self.aliases[name]]
        if isinstance(records, list):
            found = tuple(records)
            return Answer(name, kind, found, authentic=authentic, ttl=300.0, canonical=canonical)
        exists = any(known == asked for known, _ in self.zone)
        return Answer(name, kind, exists=exists, authentic=authentic, canonical=canonical)

    def _signed(self, name: str) -> bool:
        return any(name == zone or name.endswith("." + zone) for zone in self.signed)
