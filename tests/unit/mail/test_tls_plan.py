"""What is demanded of a session out: plans are equal when their demands are."""

import pytest

from a3mailer.mail.tls import Association, TlsLevel, TlsPlan


def test_plans_with_the_same_demand_are_equal_whatever_their_reason() -> None:
    one = TlsPlan(TlsLevel.MUST, reason="the operator", policy_domain="a.test")
    other = TlsPlan(TlsLevel.MUST, reason="unusable TLSA records", policy_domain="b.test")
    assert one == other
    assert hash(one) == hash(other)


def test_another_name_or_association_is_another_plan() -> None:
    plan = TlsPlan(TlsLevel.DANE, ("mx.test",), (Association(3, 1, 1, b"a"),))
    assert plan != TlsPlan(TlsLevel.DANE, ("my.test",), (Association(3, 1, 1, b"a"),))
    assert plan != TlsPlan(TlsLevel.DANE, ("mx.test",), (Association(3, 1, 1, b"b"),))


@pytest.mark.parametrize(
    ("level", "in_clear"),
    [("never", True), ("may", True), ("must", False), ("sts", False), ("dane", False)],
)
def test_what_may_go_in_clear(level: str, in_clear: bool) -> None:
    assert TlsPlan(TlsLevel(level)).in_clear is in_clear


def test_an_association_is_shown_as_in_a_zone_file() -> None:
    assert str(Association(3, 1, 1, b"\xab\x01")) == "3 1 1 AB01"
