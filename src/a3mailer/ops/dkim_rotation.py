"""Rotation of DKIM keys: what the DNS says of each selector, and what follows (``keys/selectors.py``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from a3mailer.keys import selectors
from a3mailer.keys.selectors import SETTLE_SECONDS, Selector
from a3mailer.msgauth import domainkeys
from a3mailer.ops.domain_records import DomainRecord, quoted
from a3mailer.ops.record_state import PUBLISHED, judge
from a3mailer.runtime.resolver import Resolver, ResolverFailure
from a3mailer.telemetry.events import emit

GONE: Final = "gone"
"""Of a selector whose record has left the DNS too: it is forgotten."""
Key = tuple[Selector, str]
"""With the text of its record; empty where the key is deleted."""


def keys(folder: Path) -> tuple[Key, ...]:
    """Every key of a domain. Errors: OSError, ValueError."""
    return tuple((each, _text(folder, each)) for each in selectors.read(folder))


def _text(folder: Path, selector: Selector) -> str:
    if selector.state == selectors.REMOVED:
        return ""
    return selectors.key_text((folder / f"{selector.name}{selectors.SUFFIX}").read_bytes())


def record_of(domain: str, selector: str, text: str) -> DomainRecord:
    """The record a key needs."""
    why = "the public key signatures are checked with"
    return DomainRecord("dkim", f"{selector}._domainkey.{domain}", "TXT", quoted(text), why)


async def look(domain: str, found: Sequence[tuple[str, str]], resolver: Resolver) -> dict[str, bool]:
    """Which of the (selector, text) have their record in the DNS; without a text: have any that is not
    revoked. Those the name server says nothing of are left out."""
    async with asyncio.TaskGroup() as tasks:
        asked = [(name, tasks.create_task(_look(domain, name, text, resolver))) for name, text in found]
    return {name: seen for name, task in asked if (seen := task.result()) is not None}


async def _look(domain: str, name: str, text: str, resolver: Resolver) -> bool | None:
    wanted = record_of(domain, name, text)
    try:
        answer = await resolver.lookup(wanted.name, wanted.kind)
    except ResolverFailure:
        return None
    if text:
        return judge(wanted, answer).state == PUBLISHED
    return any(isinstance(domainkeys.load(each), domainkeys.DomainKey) for each in answer.texts)


def step(
    domain: str, folder: Path, seen: Mapping[str, bool], now: int, settle: int = SETTLE_SECONDS
) -> tuple[tuple[str, str], ...]:
    """Let the states follow what was seen; (selector, its new state) of those that changed.

    Errors: OSError, ValueError."""
    with selectors.locked(folder):
        before = selectors.read(folder)
        after = selectors.advance(before, seen, now, settle)
        if after == before:
            return ()
        selectors.write(folder, after)
    new = {each.name: each.state for each in after}
    changed = tuple((s.name, new.get(s.name, GONE)) for s in before if new.get(s.name) != s.state)
    for name, state in changed:
        emit("dkim.key.changed", domain=domain, selector=name, state=state)
    return changed


async def turn(domain: str, folder: Path, resolver: Resolver, now: Callable[[], float]) -> int:
    """One look at a domain, where its keys are being rotated; how many changed.

    Errors: OSError, ValueError."""
    if not await asyncio.to_thread(selectors.is_turning, folder):
        return 0
    found = await asyncio.to_thread(keys, folder)
    seen = await look(domain, [(each.name, text) for each, text in found], resolver)
    return len(await asyncio.to_thread(partial(step, domain, folder, seen, int(now()))))
