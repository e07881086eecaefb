"""The states of DKIM keys: none signs before its record was seen, and none is deleted while it is needed."""

from __future__ import annotations

import pathlib
import random

import pytest

from a3mailer.keys import selectors
from a3mailer.keys.selectors import (
    PREPARED,
    PUBLISHED,
    REMOVED,
    RETIRED,
    RETIRED_SECONDS,
    SETTLE_SECONDS,
    SIGNING,
    BadStates,
    Selector,
    advance,
)
from tests.unit.msgauth.signed import pem

NOW = 1_800_000_000
OLD = (Selector("old", "rsa", SIGNING), Selector("ed", "ed25519", SIGNING))


def states(found: tuple[Selector, ...]) -> dict[str, str]:
    return {each.name: each.state for each in found}


def test_a_rotation_from_the_first_look_to_the_last() -> None:
    keys = (*OLD, Selector("new", "rsa", PREPARED, NOW))
    assert advance(keys, {}, NOW) == keys == advance(keys, {"new": False}, NOW + 10 * RETIRED_SECONDS)
    keys = advance(keys, {"new": True}, NOW)
    assert states(keys) == {"old": SIGNING, "ed": SIGNING, "new": PUBLISHED}
    assert advance(keys, {"new": True}, NOW + SETTLE_SECONDS - 1) == keys
    assert states(advance(keys, {"new": False}, NOW + SETTLE_SECONDS))["new"] == PREPARED
    assert advance(keys, {}, NOW + SETTLE_SECONDS) == keys  # the name server is silent: not seen, not signing
    keys = advance(keys, {"new": True}, NOW + SETTLE_SECONDS)
    assert states(keys) == {"old": RETIRED, "ed": SIGNING, "new": SIGNING}  # of its own kind only
    later = NOW + SETTLE_SECONDS + RETIRED_SECONDS
    assert advance(keys, {"old": True}, later - 1) == keys
    keys = advance(keys, {"old": True}, later)
    assert states(keys) == {"old": REMOVED, "ed": SIGNING, "new": SIGNING}
    assert advance(keys, {}, later) == keys == advance(keys, {"old": True}, later)
    assert states(advance(keys, {"old": False}, later)) == {"ed": SIGNING, "new": SIGNING}


def test_at_once_is_without_the_wait_and_not_without_the_look() -> None:
    keys = (*OLD, Selector("new", "rsa", PREPARED, NOW))
    assert advance(keys, {"new": False}, NOW, 0) == keys == advance(keys, {}, NOW, 0)
    found = states(advance(keys, {"new": True}, NOW, 0))
    assert found == {"old": RETIRED, "ed": SIGNING, "new": SIGNING}


def test_no_order_of_looks_signs_with_an_unseen_key_or_leaves_none() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    for _ in range(200):
        keys, now = (*OLD, Selector("new", "rsa", PREPARED, NOW)), NOW
        for _ in range(12):
            now += dice.choice((0, 60, SETTLE_SECONDS, RETIRED_SECONDS))
            seen = {n: dice.random() < 0.5 for n in ("old", "ed", "new") if dice.random() < 0.7}
            before, keys = states(keys), advance(keys, seen, now, dice.choice((0, SETTLE_SECONDS)))
            begun = [s.name for s in keys if s.state == SIGNING != before[s.name]]
            assert all(seen.get(name) for name in begun), (seed, before, keys)
            assert {s.kind for s in keys if s.state == SIGNING} == {"rsa", "ed25519"}, (seed, before, keys)


def test_only_signing_keys_sign_and_removed_ones_are_deleted(tmp_path: pathlib.Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.pem").write_bytes(pem("ed"))
    assert [path.stem for path in selectors.signing(tmp_path)] == ["c", "b", "a"]
    assert states(selectors.read(tmp_path)) == dict.fromkeys("abc", SIGNING)
    before = tmp_path.stat().st_mtime_ns
    selectors.write(tmp_path, (Selector("a", "ed25519", PREPARED, 5), Selector("b", "ed25519", REMOVED, 6)))
    assert tmp_path.stat().st_mtime_ns > before and selectors.is_turning(tmp_path)
    assert [path.stem for path in selectors.signing(tmp_path)] == ["c"]
    assert not (tmp_path / "b.pem").exists()
    assert selectors.read(tmp_path) == (
        Selector("a", "ed25519", PREPARED, 5),
        Selector("c", "ed25519", SIGNING),
        Selector("b", "ed25519", REMOVED, 6),
    )


@pytest.mark.parametrize(
    "octets", [b"", b"[]", b"{", b'{"a": 1}', b'{"a": {"kind": "rsa", "state": "new", "since": 1}}']
)
def test_states_that_cannot_be_read_are_no_states(tmp_path: pathlib.Path, octets: bytes) -> None:
    (tmp_path / selectors.STATES).write_bytes(octets)
    for ask in (selectors.states, selectors.signing, selectors.read, selectors.is_turning):
        with pytest.raises(BadStates):
            ask(tmp_path)


def test_names_are_of_the_day_and_never_taken_twice() -> None:
    assert selectors.next_name("rsa", (), NOW) == "a3-rsa-20270115"
    assert selectors.next_name("rsa", ("a3-rsa-20270115", "a3-rsa-20270115-2"), NOW) == "a3-rsa-20270115-3"
