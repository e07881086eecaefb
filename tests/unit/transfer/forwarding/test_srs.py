"""SRS: what a forwarded mail's reverse-path becomes, and who may use it (attack rows 6, 8 and 9)."""

from __future__ import annotations

import pytest

from a3mailer.mail.address import Address
from a3mailer.transfer.forwarding.srs import DAYS_VALID, BadSrs, Srs
from tests.unit.transfer.world import address

NOW = 1_790_000_000.0
DAY = 86400
OURS = Srs("a.test", (b"k" * 32,))
THEIRS = Srs("b.test", (b"t" * 32,))


def made(sender: Address, srs: Srs = OURS, now: float = NOW) -> Address:
    found = srs.forward(sender, now)
    assert found is not None
    return found


def test_a_sender_is_wrapped_and_comes_back() -> None:
    wrapped = made(address("carol@c.test"))
    assert wrapped.domain == "a.test"
    assert wrapped.local_part.startswith("SRS0=")
    assert wrapped.local_part.endswith("=c.test=carol")
    assert OURS.holds(wrapped)
    assert OURS.reverse(wrapped, NOW) == address("carol@c.test")


@pytest.mark.parametrize(
    "sender",
    [
        Address("a=b=c", "c.test"),
        Address("prvs=123=carol", "c.test"),
        Address("two words", "c.test"),
        Address("jürgen", "c.test"),
        Address("SRS0x", "c.test"),
        Address("srs0", "c.test"),
        Address("SRS1=x", "c.test"),
        Address("carol", "[192.0.2.1]"),
        Address("carol", "[IPv6:2001:db8::1]"),
    ],
)
def test_odd_senders_come_back_as_they_were(sender: Address) -> None:
    assert OURS.reverse(made(sender), NOW) == sender


def test_what_another_forwarder_made_is_not_wrapped_again() -> None:
    first = made(address("carol@c.test"), THEIRS)
    second = made(first)
    assert second.local_part.startswith("SRS1=")
    assert "=b.test==" in second.local_part
    assert OURS.reverse(second, NOW) == first
    third = made(second, Srs("d.test", (b"d" * 32,)))
    assert third.local_part.endswith(second.local_part[14:])  # the first forwarder is kept, the hash is ours
    assert len(third.local_part) == len(second.local_part)
    back = Srs("d.test", (b"d" * 32,)).reverse(third, NOW)
    assert THEIRS.reverse(back, NOW) == address("carol@c.test")


def test_servers_that_change_the_case_break_nothing() -> None:
    wrapped = made(address("carol@c.test"))
    for text in (wrapped.local_part.lower(), wrapped.local_part.upper()):
        found = OURS.reverse(Address(text, "a.test"), NOW)
        assert (found.local_part.lower(), found.domain) == ("carol", "c.test")


def test_an_address_ends_after_some_weeks() -> None:
    wrapped = made(address("carol@c.test"))
    for days in (0, 1, DAYS_VALID, -1):
        assert OURS.reverse(wrapped, NOW + days * DAY)
    for days in (DAYS_VALID + 1, 100, 1000, -2):
        with pytest.raises(BadSrs):
            OURS.reverse(wrapped, NOW + days * DAY)


def test_row_6_no_change_of_an_address_leads_anywhere() -> None:
    """Each character in turn becomes every other one: only the case of letters may differ."""
    wrapped = made(address("carol@c.test"))
    text = wrapped.local_part
    for at in range(5, len(text)):
        for other in "=aZ2@+-.x":
            if other.lower() == text[at].lower():
                continue
            with pytest.raises(BadSrs):
                OURS.reverse(Address(text[:at] + other + text[at + 1 :], "a.test"), NOW)


@pytest.mark.parametrize(
    "local_part",
    [
        "SRS0=",
        "SRS0==",
        "SRS0=AAAAAAAA=AA=victim.test=x",
        "SRS0=AAAAAAAA",
        "SRS1=AAAAAAAA=victim.test==x",
        "SRS1=",
        "SRS1====",
        "SRS0=\ud800=AA=c.test=x",
        "SRS0=" + "=" * 200,
    ],
)
def test_row_6_what_we_did_not_make_leads_nowhere(local_part: str) -> None:
    assert OURS.holds(Address(local_part, "a.test"))
    with pytest.raises(BadSrs):
        OURS.reverse(Address(local_part, "a.test"), NOW)


def test_row_6_a_hash_of_one_kind_or_domain_is_none_of_another() -> None:
    wrapped = made(address("carol@c.test"))
    for bad in (
        Address("SRS1" + wrapped.local_part[4:], "a.test"),
        made(address("carol@c.test"), Srs("e.test", (b"k" * 32,))),
    ):
        with pytest.raises(BadSrs):
            OURS.reverse(Address(bad.local_part, "a.test"), NOW)


def test_others_addresses_are_not_ours() -> None:
    for other in (
        Address("carol", "a.test"),
        Address("SRS0+x", "a.test"),
        Address("srs", "a.test"),
        made(address("c@d.test"), THEIRS),
    ):
        assert not OURS.holds(other)


def test_a_key_may_be_replaced() -> None:
    wrapped = made(address("carol@c.test"))
    newer = Srs("a.test", (b"n" * 32, b"k" * 32))
    assert newer.reverse(wrapped, NOW) == address("carol@c.test")
    assert newer.reverse(made(address("carol@c.test"), newer), NOW) == address("carol@c.test")
    with pytest.raises(BadSrs):
        Srs("a.test", (b"n" * 32,)).reverse(wrapped, NOW)


def test_an_address_too_long_for_smtp_is_not_made() -> None:
    assert OURS.forward(Address("x" * 230, "c.test"), NOW) is None
    assert Srs("o" * 60 + ".test", OURS.secrets).forward(Address("x" * 200, "c.test"), NOW) is None
    assert OURS.forward(Address("x" * 150, "c.test"), NOW) is not None
