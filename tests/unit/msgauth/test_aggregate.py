"""Aggregate reports: what is written is read back, others' ways of writing are read, bombs are refused."""

import gzip
import io
import random
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.msgauth import aggregate, packed
from a3mailer.msgauth.aggregate import (
    MAX_TEXT,
    Aggregate,
    DkimAuth,
    Published,
    Reason,
    Row,
    SpfAuth,
    encode,
    file_name,
    parse,
)
from a3mailer.msgauth.packed import Unreadable, unpack
from tests.growth import assert_linear

# The example of RFC 7489 appendix C in the way most makers write it: no namespace, no version.
WITHOUT_NAMESPACE = b"""<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <report_metadata>
    <org_name>big.example</org_name>
    <email>noreply@big.example</email>
    <extra_contact_info>https://big.example/dmarc</extra_contact_info>
    <report_id>17205544938312</report_id>
    <date_range><begin>1700000000</begin><end>1700086399</end></date_range>
  </report_metadata>
  <policy_published>
    <domain>Example.ORG</domain><adkim>r</adkim><aspf>s</aspf><p>none</p><sp>none</sp><pct>100</pct>
  </policy_published>
  <record>
    <row>
      <source_ip>192.0.2.7</source_ip><count>412</count>
      <policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated>
    </row>
    <identifiers><header_from>example.org</header_from></identifiers>
    <auth_results><spf><domain>other.example</domain><result>softfail</result></spf></auth_results>
  </record>
  <record>
    <row>
      <source_ip>2001:DB8:0::1</source_ip><count>3</count>
      <policy_evaluated>
        <disposition>quarantine</disposition><dkim>pass</dkim><spf>fail</spf>
        <reason><type>forwarded</type><comment>a list &amp; more</comment></reason>
      </policy_evaluated>
    </row>
    <identifiers><envelope_from/><header_from>example.org.</header_from></identifiers>
    <auth_results>
      <dkim><domain>example.org</domain><result>pass</result><selector>s1</selector></dkim>
      <dkim><domain>other.example</domain><selector>x</selector><result>fail</result></dkim>
      <spf><domain>other.example</domain><scope>mfrom</scope><result>fail</result></spf>
    </auth_results>
  </record>
</feedback>
"""
WORDS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, categories=["L", "N", "P", "S"]), max_size=20
)
NAMES = st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9]{1,8}){0,3}", fullmatch=True)
NUMBERS = st.integers(0, 1 << 30)
RESULTS = st.sampled_from(("pass", "fail", "none", "softfail", "temperror"))
ROWS = st.builds(
    Row,
    st.ip_addresses().map(str),
    NUMBERS,
    st.sampled_from(aggregate.DISPOSITIONS),
    RESULTS,
    RESULTS,
    NAMES,
    NAMES,
    NAMES,
    st.lists(st.builds(Reason, NAMES, WORDS), max_size=3).map(tuple),
    st.lists(st.builds(DkimAuth, NAMES, NAMES, RESULTS), max_size=3).map(tuple),
    st.lists(st.builds(SpfAuth, NAMES, st.sampled_from(("mfrom", "helo")), RESULTS), max_size=2).map(tuple),
)
REPORTS = st.builds(
    Aggregate,
    WORDS,
    NAMES,
    NAMES,
    NUMBERS,
    NUMBERS,
    st.builds(Published, NAMES, NAMES, NAMES, NAMES, st.just("r"), st.just("s"), st.booleans(), NAMES),
    st.lists(ROWS, max_size=4).map(tuple),
    WORDS,
    st.lists(WORDS.filter(bool), max_size=1).map(tuple),
)


def zipped(octets: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in (("report.xml", octets), ("second.xml", b"never looked at")):
            file.writestr(zipfile.ZipInfo(name), content, method)  # of 1980: the same octets every time
    return out.getvalue()


@given(REPORTS)
def test_what_is_written_is_read_back(report: Aggregate) -> None:
    assert parse(encode(report)) == report


def test_a_report_as_most_write_it() -> None:
    found = parse(WITHOUT_NAMESPACE)
    assert (found.organization, found.email, found.report_id) == (
        "big.example",
        "noreply@big.example",
        "17205544938312",
    )
    assert (found.begins, found.ends) == (1_700_000_000, 1_700_086_399)
    assert found.published == Published("example.org", "none", "none", "", "r", "s")
    first, second = found.rows
    assert first == Row(
        "192.0.2.7", 412, "none", "fail", "fail", "example.org",
        spf_auth=(SpfAuth("other.example", "", "softfail"),),
    )  # fmt: skip
    assert (second.source_ip, second.disposition, second.header_from) == (
        "2001:db8::1",
        "quarantine",
        "example.org",
    )
    assert second.reasons == (Reason("forwarded", "a list & more"),)
    assert second.dkim_auth == (DkimAuth("example.org", "s1", "pass"), DkimAuth("other.example", "x", "fail"))


def test_a_prefix_a_byte_order_mark_and_another_encoding() -> None:
    prefixed = WITHOUT_NAMESPACE.replace(b"<feedback>", b'<n:feedback xmlns:n="urn:x">').replace(
        b"</feedback>", b"</n:feedback>"
    )
    assert (
        parse(b"\xef\xbb\xbf" + prefixed.partition(b"?>")[2].lstrip()).rows == parse(WITHOUT_NAMESPACE).rows
    )
    latin = WITHOUT_NAMESPACE.replace(b"UTF-8", b"ISO-8859-1").replace(b"big.example</org", b"b\xfcg</org")
    assert parse(latin).organization == "büg"


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"hello",
        b"<feedback>",
        b"<html><body/></html>",
        b"<feedback><report_metadata/></feedback>",
        b"<feedback><report_metadata/><policy_published/></feedback>",
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><feedback/>',
        b'<!DOCTYPE a [<!ENTITY b "c">]><feedback>&b;</feedback>',
        b'<!DOCTYPE a [<!ENTITY % b SYSTEM "http://127.0.0.1/">%b;]><feedback/>',
        b"<feedback>&undefined;</feedback>",
        b"<feedback>" * 1000,
        b"<feedback>" + b"<record><row><source_ip>192.0.2.1</source_ip></row></record>" * 50_001,
    ],
)
def test_what_is_no_report_is_refused(octets: bytes) -> None:
    with pytest.raises(Unreadable):
        parse(octets)


def test_billion_laughs_cost_nothing() -> None:
    laughs = b"".join(b'<!ENTITY l%d "&l%d;&l%d;">' % (n + 1, n, n) for n in range(60))
    with pytest.raises(Unreadable, match="document type"):
        parse(b'<!DOCTYPE a [<!ENTITY l0 "lol">%b]><feedback>&l60;</feedback>' % laughs)


def test_values_are_bounded_and_printable() -> None:
    long = WITHOUT_NAMESPACE.replace(b"17205544938312", b"a\tb\n" + b"x" * 100_000)
    found = parse(long)
    assert len(found.report_id) == MAX_TEXT
    assert found.report_id.startswith("a b x")
    assert parse(WITHOUT_NAMESPACE.replace(b">412<", b">" + b"9" * 5000 + b"<")).rows[0].count == 0
    assert parse(WITHOUT_NAMESPACE.replace(b"192.0.2.7", b"192.0.2.777")).rows[0].source_ip == "2001:db8::1"


def test_elements_nobody_knows_are_not_kept() -> None:
    more = b"".join(b"<x%d>%b</x%d>" % (n, b"y" * 100, n) for n in range(1000))
    found = parse(WITHOUT_NAMESPACE.replace(b"<report_metadata>", more + b"<report_metadata>"))
    assert found == parse(WITHOUT_NAMESPACE)


def test_reading_is_linear() -> None:
    record = WITHOUT_NAMESPACE[WITHOUT_NAMESPACE.index(b"<record>") : WITHOUT_NAMESPACE.index(b"</feedback>")]
    head = WITHOUT_NAMESPACE[: WITHOUT_NAMESPACE.index(b"<record>")]
    assert_linear(lambda n: head + record * n + b"</feedback>", parse, 200)


# --- packed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pack", [gzip.compress, zipped, lambda o: zipped(o, zipfile.ZIP_STORED), lambda o: o], ids="gzss"
)
def test_packed_in_every_way(pack: object) -> None:
    assert unpack(pack(WITHOUT_NAMESPACE)) == WITHOUT_NAMESPACE  # type: ignore[operator]


@pytest.mark.parametrize("pack", [gzip.compress, zipped], ids=["gzip", "zip"])
def test_bombs_end_early(pack: object) -> None:
    with pytest.raises(Unreadable, match="more than"):
        unpack(pack(bytes(40 << 20)))  # type: ignore[operator]
    noise = random.Random(7).randbytes(20 << 20)
    with pytest.raises(Unreadable, match="more than"):
        unpack(pack(noise))  # type: ignore[operator]


@pytest.mark.parametrize(
    "octets",
    [
        gzip.compress(WITHOUT_NAMESPACE)[:-20],
        zipped(WITHOUT_NAMESPACE)[:100],
        b"PK\x03\x04",
        b"\x1f\x8b",
        b"PK\x03\x04" + b"\x01" * 40,
        bytes(packed.MAX_UNPACKED + 1),
    ],
)
def test_what_is_packed_wrongly_is_refused(octets: bytes) -> None:
    with pytest.raises(Unreadable):
        unpack(octets)


def test_the_name_of_the_file() -> None:
    assert file_name("r.test", "example.org", 1, 2, "id") == "r.test!example.org!1!2!id.xml.gz"
