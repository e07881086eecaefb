"""Tokens of mailing lists: what was made is known again, what was changed is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.mail.address import Address
from a3mailer.mail.ids import AccountId
from a3mailer.transfer.lists.tokens import BadToken, confirmations, leaving, left, wish_of

KEYS = (b"n" * 32, b"o" * 32)
LOCAL = st.text("abcdefghijklmnopqrstuvwxyz0123456789+-._=", min_size=1, max_size=60)
ACCOUNT = st.integers(1, 2**31).map(AccountId)


@given(ACCOUNT, LOCAL, st.integers(0, 1))
def test_a_link_is_known_again(account: AccountId, local_part: str, which: int) -> None:
    assert left(KEYS, leaving(KEYS[which], account, f"{local_part}@b.test")) == (
        account,
        f"{local_part}@b.test",
    )


@given(ACCOUNT, LOCAL, st.integers(min_value=0), st.characters(codec="utf-8"))
def test_a_link_with_another_character_is_nobodys(
    account: AccountId, local: str, at: int, other: str
) -> None:
    token = leaving(KEYS[0], account, f"{local}@b.test")
    at %= len(token)
    changed = token[:at] + other + token[at + 1 :]
    try:
        found = left(KEYS, changed)
    except BadToken:
        return
    assert found == (account, f"{local}@b.test"), "the same octets in another spelling"


@given(st.text(max_size=700))
def test_any_text_is_no_link(token: str) -> None:
    with pytest.raises(BadToken):
        left(KEYS, token)


@given(st.sampled_from(["join", "leave"]), st.integers(1, 10**9), LOCAL, st.integers(0, 2**31))
def test_a_wish_is_known_again(word: str, account: int, local_part: str, now: int) -> None:
    confirm = confirmations(KEYS)
    made = confirm.encode(f"{word}.{account}", Address(local_part, "b.test"), "a.test", now)
    assert made is not None
    assert wish_of(confirm, made, now) == (word, AccountId(account), f"{local_part}@b.test")
    shouted = Address(made.local_part.upper(), "a.test")
    assert wish_of(confirm, shouted, now)[:2] == (word, AccountId(account)), "some servers change the case"


@given(st.text(max_size=300))
def test_any_local_part_is_no_wish(rest: str) -> None:
    with pytest.raises(BadToken):
        wish_of(confirmations(KEYS), Address("CONFIRM=" + rest, "a.test"), 0.0)
