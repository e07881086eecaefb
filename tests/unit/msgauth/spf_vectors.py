"""The openspf.org test suite: its cases, and its zones as a name server serves them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.message
import yaml

from a3mailer.testing.nameserver import NameServer
from tests.tree import ROOT

SHARED = ROOT.parent / "shared" / "vectors" / "spf"
KEPT = ROOT / "tests" / "vectors" / "spf"
SUITE = "rfc7208-tests.yml"
OLD_SUITE = "rfc4408-tests.yml"


@dataclass(frozen=True)
class Case:
    """One test: what comes in, and every result that is right."""

    name: str
    zone: dict[str, list[Any]]
    ip: str
    helo: str
    mail_from: str
    results: tuple[str, ...]
    explanation: str | None
    """None: not looked at; "DEFAULT": the domain gives none."""


def load(path: Path) -> list[Case]:
    cases = []
    for section in yaml.safe_load_all(path.read_text("utf-8")):
        for name, test in section["tests"].items():
            result = test["result"]
            cases.append(
                Case(
                    name,
                    section["zonedata"],
                    test["host"],
                    test["helo"],
                    test["mailfrom"],
                    tuple(result) if isinstance(result, list) else (result,),
                    test.get("explanation"),
                )
            )
    return cases


def current() -> list[Case]:
    """The suite of RFC 7208, from beside the checkout or from the copy in it."""
    return load((SHARED if (SHARED / SUITE).exists() else KEPT) / SUITE)


def contradictions(old: Iterable[Case], new: Iterable[Case]) -> set[str]:
    """Cases of the suite of RFC 4408 that RFC 7208 decides in another way."""
    decided = {case.name: case for case in new}
    return {c.name for c in old if c.name not in decided or set(c.results) != set(decided[c.name].results)}


def _octets(text: str) -> str:
    """A character-string in master-file form."""
    return '"' + "".join(f"\\{c:03d}" if not 35 <= c < 92 else chr(c) for c in text.encode("latin-1")) + '"'


def _name(text: str) -> str:
    """An absolute name in master-file form."""
    shown = "".join(c if c.isalnum() or c in "-_." else f"\\{ord(c):03d}" for c in text)
    return shown.rstrip(".") + "."


def _rdata(kind: str, value: Any) -> str:
    if kind == "TXT":
        strings = value if isinstance(value, list) else [value]
        return " ".join(_octets(s) for s in strings) or '""'
    if kind == "MX":
        return f"{value[0]} {_name(value[1])}"
    return _name(value) if kind in ("PTR", "CNAME") else str(value)


def _records(entries: list[Any]) -> Iterable[tuple[str, Any]]:
    """SPF records stand for TXT records where a name has none of its own ("NONE": on purpose)."""
    pairs = [pair for entry in entries if isinstance(entry, dict) for pair in entry.items()]
    own = any(kind == "TXT" for kind, _ in pairs)
    for kind, value in pairs:
        if kind == "SPF":
            if not own:
                yield "TXT", value
        elif value != "NONE":
            yield kind, value


def serve(server: NameServer, zone: dict[str, list[Any]]) -> None:
    """Fill a name server; what times out in the suite is not answered at all."""
    silent: set[str] = set()
    for name, entries in zone.items():
        if "TIMEOUT" in entries:
            silent.add(_name(name).lower())
        for kind, value in _records(entries):
            server.put(f"{_name(name)} 300 IN {kind} {_rdata(kind, value)}")

    def twist(query: dns.message.Message, response: dns.message.Message) -> list[bytes]:
        asked = query.question[0].name.to_text().lower()
        return [] if asked in silent and not response.answer else [response.to_wire(max_size=65535)]

    server.twist = twist
