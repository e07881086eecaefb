"""DMARC records: those of RFC 9989, RFC 9091 and RFC 7489, and everything that is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.msgauth import dmarc_record as dr
from a3mailer.msgauth.dmarc_record import DmarcRecord, parse
from tests.growth import assert_linear


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"v=DMARC1; p=none", DmarcRecord("none")),
        (b"v=DMARC1;p=reject;", DmarcRecord("reject")),
        (b"V = DMARC1 ; P = Reject ; ; ", DmarcRecord("reject")),
        (b"v=DMARC1; p=reject; sp=quarantine; np=none", DmarcRecord("reject", "quarantine", "none")),
        (
            b"v=DMARC1; p=quarantine; adkim=s; aspf=S; psd=Y; t=y",
            DmarcRecord("quarantine", strict_dkim=True, strict_spf=True, psd="y", testing=True),
        ),
        (b"v=DMARC1; p=reject; psd=n; t=n", DmarcRecord("reject", psd="n")),
        (b"v=DMARC1; p=reject; psd=x; adkim=x; t=maybe; new=1", DmarcRecord("reject")),
        # RFC 7489
        (b"v=DMARC1; p=reject; pct=50; rf=afrf; ri=86400", DmarcRecord("reject", testing=True)),
        (b"v=DMARC1; p=reject; pct=100", DmarcRecord("reject")),
        (b"v=DMARC1; p=reject; pct=0; t=n", DmarcRecord("reject")),
        (b"v=DMARC1; p=reject; pct=many", DmarcRecord("reject")),
        (
            b"v=DMARC1; p=none; rua=mailto:a@b.example!10m, https://c.example/x ,nonsense; "
            b"ruf=mailto:d@e.example; fo=1:d:z",
            DmarcRecord(
                "none",
                aggregate=("mailto:a@b.example", "https://c.example/x"),
                failure=("mailto:d@e.example",),
                failure_options="1:d",
                limits=(("mailto:a@b.example", 10 << 20),),
            ),
        ),
        # without a policy: reports make it p=none
        (b"v=DMARC1", DmarcRecord("")),
        (b"v=DMARC1; p=destroy", DmarcRecord("")),
        (b"v=DMARC1; p=reject; sp=destroy", DmarcRecord("")),
        (b"v=DMARC1; p=reject; np=", DmarcRecord("reject")),
        (b"v=DMARC1; rua=mailto:a@b.example", DmarcRecord("none", aggregate=("mailto:a@b.example",))),
        (b"v=DMARC1; rua=nonsense", DmarcRecord("")),
        # the first of a repeated tag holds
        (b"v=DMARC1; p=none; p=reject", DmarcRecord("none")),
        # other versions and other texts
        (b"v=dmarc1; p=none", None),
        (b"v=DMARC2; p=none", None),
        (b"v=DMARC1 p=none", None),
        (b"p=none; v=DMARC1", None),
        (b" v=spf1 -all", None),
        (b"", None),
        (b"v=DMARC1\0; p=none", None),
        (b"v=DMARC1;" + b" " * dr.MAX_RECORD, None),
    ],
)
def test_a_record(text: bytes, found: DmarcRecord | None) -> None:
    assert parse(text) == found


@given(st.binary(max_size=200))
def test_any_octets_are_a_record_or_none(text: bytes) -> None:
    for each in (text, b"v=DMARC1;" + text):
        found = parse(each)
        assert found is None or found.policy in ("", *dr.POLICIES)


@given(
    st.sampled_from(dr.POLICIES),
    st.sampled_from(("", *dr.POLICIES)),
    st.booleans(),
    st.sampled_from("yn"),
    st.permutations(range(4)),
)
def test_the_order_of_tags_means_nothing(
    policy: str, subdomain: str, strict: bool, psd: str, order: list[int]
) -> None:
    tags = [f"p={policy}", f"psd={psd}", f"sp={subdomain}" if subdomain else "x=1", f"aspf={'rs'[strict]}"]
    text = "; ".join(["v=DMARC1", *(tags[i] for i in order)])
    assert parse(text.encode()) == DmarcRecord(policy, subdomain, strict_spf=strict, psd=psd)


@pytest.mark.parametrize("piece", [b";", b"a=b;", b"rua=a,", b"=", b"fo=0:", b" "])
def test_a_record_costs_in_step_with_its_size(piece: bytes) -> None:
    assert_linear(lambda n: b"v=DMARC1;p=none;" + piece * n, dr._parse, 2000)


@pytest.mark.parametrize(
    ("text", "octets"),
    [("10m", 10 << 20), ("7", 7), ("2K", 2048), ("1g", 1 << 30), ("1t", 1 << 40)]
    + [(wrong, None) for wrong in ("", "m", "-1", "1x", "1 m", "\xb2", "9" * 13 + "m", "0", "0m")],
)
def test_the_size_of_a_report(text: str, octets: int | None) -> None:
    found = parse(f"v=DMARC1; p=none; rua=mailto:a@b.example!{text}".encode())
    assert found is not None
    assert found.aggregate == ("mailto:a@b.example",)
    assert found.limits == ((("mailto:a@b.example", octets),) if octets else ())


def test_long_records_are_not_kept() -> None:
    before = dr._remembered.cache_info().currsize
    record = dr.parse(b"v=DMARC1; p=none; x=" + b"x" * dr.REMEMBERED_OCTETS)
    assert record is not None and record.policy == dr.NONE
    assert dr._remembered.cache_info().currsize == before
