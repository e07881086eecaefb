"""The DKIM keys of a domain: list them, make the next ones, take note of what the DNS shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from a3mailer.app.verbs.domain import found_domain
from a3mailer.app.verbs.office import Office, Request
from a3mailer.keys import selectors
from a3mailer.keys.selectors import SETTLE_SECONDS, Selector
from a3mailer.mail.errors import BadName, Conflict, NoSuchThing
from a3mailer.ops import dkim_rotation

Answer = TypeVar("Answer")


class NamedDomain(Request, frozen=True, kw_only=True):
    name: str


class Rotate(Request, frozen=True, kw_only=True):
    name: str
    kinds: tuple[str, ...] = ("rsa", "ed25519")
    cancel: bool = False


class Seen(Request, frozen=True, kw_only=True):
    name: str
    seen: dict[str, bool]
    """Whether the DNS has the record, by selector."""
    at_once: bool = False
    """Sign as soon as the record is seen, instead of an hour later."""


async def list_(office: Office, request: NamedDomain) -> list[dict[str, object]]:
    """Every key of a domain with its record. Errors: NoSuchDomain, BadName."""
    domain = (await found_domain(office, "domain.list", request.name)).name
    found = await _work(office, partial(dkim_rotation.keys, office.directory / selectors.FOLDER / domain))
    return [
        {
            "selector": each.name,
            "kind": each.kind,
            "state": each.state,
            "since": each.since,
            "name": f"{each.name}._domainkey.{domain}",
            "text": text,
        }
        for each, text in found
    ]


async def rotate(office: Office, request: Rotate) -> list[dict[str, object]]:
    """Make the next keys, or with ``cancel`` take back those that do not sign yet.

    Errors: NoSuchDomain, Conflict (a rotation is under way), NoSuchThing (none is), BadName."""
    domain = (await found_domain(office, "domain.keys", request.name)).name
    work = _cancel if request.cancel else partial(_prepare, request.kinds, office.now)
    changed = await _work(office, partial(work, office.directory / selectors.FOLDER / domain))
    action = "cancelled" if request.cancel else "prepared"
    names = [each.name for each in changed]
    await office.change("domain.keys", domain, step=action, selectors=names)
    return await list_(office, NamedDomain(name=domain))


def _prepare(kinds: tuple[str, ...], now: int, folder: Path) -> tuple[Selector, ...]:
    from a3mailer.app.material import make_dkim_key  # RSA only where it is used

    with selectors.locked(folder):
        found = selectors.read(folder)
        if under_way := [s.name for s in found if s.state in (selectors.PREPARED, selectors.PUBLISHED)]:
            raise Conflict(f"a rotation is under way: {', '.join(under_way)} (dkim rotate --cancel)")
        if len(found) + len(kinds) > selectors.MAX_SELECTORS:
            raise Conflict(f"there are {len(found)} keys; take the records of removed ones out of the DNS")
        taken = [each.name for each in found]
        made = tuple(Selector(selectors.next_name(k, taken, now), k, selectors.PREPARED, now) for k in kinds)
        selectors.write(folder, (*found, *made))  # first the states: no key is there that could sign
        for each in made:
            make_dkim_key(folder / f"{each.name}{selectors.SUFFIX}", each.kind)
    return made


def _cancel(folder: Path) -> tuple[Selector, ...]:
    with selectors.locked(folder):
        found = selectors.read(folder)
        gone = tuple(s for s in found if s.state in (selectors.PREPARED, selectors.PUBLISHED))
        if not gone:
            raise NoSuchThing("no rotation is under way")
        for each in gone:
            (folder / f"{each.name}{selectors.SUFFIX}").unlink(missing_ok=True)
        selectors.write(folder, (s for s in found if s not in gone))
    return gone


async def seen(office: Office, request: Seen) -> list[dict[str, object]]:
    """Take note of which records the DNS shows; what changed by that. Errors: NoSuchDomain, BadName."""
    domain = (await found_domain(office, "domain.keys", request.name)).name
    settle = 0 if request.at_once else SETTLE_SECONDS
    folder = office.directory / selectors.FOLDER / domain
    step = partial(dkim_rotation.step, domain, folder, request.seen, office.now, settle)
    changed = await _work(office, step)
    if changed:
        await office.change("domain.keys", domain, step="seen", selectors=dict(changed))
    return [{"selector": name, "state": state} for name, state in changed]


async def _work(office: Office, work: Callable[[], Answer]) -> Answer:
    try:
        return await office.pool.run(work, bounded=False)
    except FileNotFoundError as error:
        raise NoSuchThing("the domain has no keys: its folder below keys/dkim is missing") from error
    except (OSError, ValueError) as error:
        raise BadName(f"a key cannot be read: {error}") from error
