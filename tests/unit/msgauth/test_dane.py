"""DANE (RFC 6698, 7671, 7672): which records count, and which certificates fit them."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from a3mailer.mail.tls import Association, TlsLevel
from a3mailer.msgauth.dane import MAX_CHAIN, Verdict, key_info, plan_of, usable, verify
from a3mailer.runtime.resolver import Tlsa
from tests.certificates import DAY, NOW, Certified, authority, certified, limited
from tests.growth import assert_linear

NAME = "mx.b.test"
ROOT = authority()
MIDDLE = authority("Middle", ROOT)
LEAF = certified(NAME, MIDDLE)
CHAIN = (LEAF.der, MIDDLE.der, ROOT.der)


def record(usage: int, selector: int, matching: int, of: Certified) -> Tlsa:
    data = of.spki if selector else of.der
    if matching:
        data = {1: hashlib.sha256, 2: hashlib.sha512}[matching](data).digest()
    return Tlsa(usage, selector, matching, data)


def judge(*records: Tlsa, chain: tuple[bytes, ...] = CHAIN, names: tuple[str, ...] = (NAME,)) -> Verdict:
    return verify(plan_of(records, NAME, names), chain, NOW)


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize(("usage", "of"), [(3, LEAF), (2, MIDDLE), (2, ROOT)])
def test_a_certificate_that_fits_matches(usage: int, of: Certified, selector: int, matching: int) -> None:
    assert judge(record(usage, selector, matching, of)) is Verdict.MATCH


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("usage", [2, 3])
def test_another_certificate_does_not(usage: int, selector: int, matching: int) -> None:
    other = authority("Test authority")
    assert judge(record(usage, selector, matching, other)) is not Verdict.MATCH


def test_one_of_several_records_is_enough() -> None:
    other = certified("old")
    assert judge(record(3, 1, 1, other), record(3, 1, 1, LEAF)) is Verdict.MATCH


def test_under_dane_ee_neither_names_nor_dates_count() -> None:
    old = certified("somebody.else.test", days=-1)
    assert judge(record(3, 1, 1, old), chain=(old.der,)) is Verdict.MATCH
    assert judge(record(3, 1, 1, old), chain=(LEAF.der, old.der)) is Verdict.NO_MATCH


def test_under_dane_ta_certificates_need_no_more_than_rfc_5280_wants() -> None:
    """As ``openssl req -x509`` and ``openssl x509 -req`` make them for a private authority."""
    root = authority("plain", plain=True)
    leaf = certified(NAME, root, plain=True)
    anchor = record(2, 0, 1, root)
    assert judge(anchor, chain=(leaf.der, root.der)) is Verdict.MATCH
    assert judge(anchor, chain=(leaf.der, root.der), names=("other.test",)) is Verdict.NOT_VALID
    old = certified(NAME, root, plain=True, days=-1)
    assert judge(anchor, chain=(old.der, root.der)) is Verdict.NOT_VALID


@pytest.mark.parametrize(
    ("shown", "names", "verdict"),
    [
        ("*.b.test", ("mx.b.test",), Verdict.MATCH),
        ("MX.B.test", ("mx.b.test",), Verdict.MATCH),
        ("b.test", ("mx.b.test", "b.test"), Verdict.MATCH),
        ("*.b.test", ("b.test", "x.mx.b.test"), Verdict.NOT_VALID),
        ("mx*.b.test", ("mx1.b.test",), Verdict.NOT_VALID),
        ("*.test", ("mx.b.test",), Verdict.NOT_VALID),
        ("*.", ("test",), Verdict.NOT_VALID),
    ],
)
@pytest.mark.parametrize("alternative", [True, False])
def test_under_dane_ta_names_are_those_of_the_certificate(
    shown: str, names: tuple[str, ...], verdict: Verdict, alternative: bool
) -> None:
    leaf = certified(shown, ROOT, plain=True, alternative=alternative)
    assert judge(record(2, 0, 1, ROOT), chain=(leaf.der, ROOT.der), names=names) is verdict


def test_under_dane_ta_the_subject_counts_only_without_alternative_names() -> None:
    leaf = certified("mx.other.test", ROOT, plain=True, subject=NAME)
    assert judge(record(2, 0, 1, ROOT), chain=(leaf.der, ROOT.der)) is Verdict.NOT_VALID


def test_under_dane_ta_only_an_authority_signs() -> None:
    middle = certified("mx.c.test", MIDDLE)
    leaf = certified(NAME, middle, plain=True)
    for anchor in (record(2, 0, 1, middle), record(2, 0, 1, ROOT)):
        assert judge(anchor, chain=(leaf.der, middle.der, MIDDLE.der, ROOT.der)) is Verdict.NOT_VALID


def test_under_dane_ta_a_name_has_to_fit() -> None:
    anchor = record(2, 1, 1, ROOT)
    assert judge(anchor, names=("other.test",)) is Verdict.NOT_VALID
    assert judge(anchor, names=("other.test", NAME)) is Verdict.MATCH
    wild = certified("*.b.test", ROOT)
    assert judge(anchor, chain=(wild.der, ROOT.der)) is Verdict.MATCH
    assert judge(anchor, chain=(wild.der, ROOT.der), names=("a.mx.b.test",)) is Verdict.NOT_VALID


def test_under_dane_ta_dates_count() -> None:
    expired = certified(NAME, MIDDLE, days=-1)
    assert judge(record(2, 1, 1, ROOT), chain=(expired.der, *CHAIN[1:])) is Verdict.NOT_VALID
    plan = plan_of((record(2, 1, 1, ROOT),), NAME, (NAME,))
    assert verify(plan, CHAIN, NOW + 31 * DAY) is Verdict.NOT_VALID


def test_an_anchor_beside_the_chain_vouches_for_nobody() -> None:
    stranger = certified(NAME, authority("Stranger"))
    assert judge(record(2, 1, 1, ROOT), chain=(stranger.der, ROOT.der)) is Verdict.NOT_VALID


def test_a_certificate_that_may_not_sign_signs_for_nobody() -> None:
    forged = certified(NAME, LEAF)
    assert judge(record(2, 1, 1, ROOT), chain=(forged.der, *CHAIN)) is Verdict.NOT_VALID
    assert judge(record(2, 1, 1, LEAF), chain=(forged.der, LEAF.der)) is Verdict.NOT_VALID


def test_an_authority_for_servers_only_vouches_for_servers() -> None:
    for usage, verdict in (
        (ExtendedKeyUsageOID.SERVER_AUTH, Verdict.MATCH),
        (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, Verdict.MATCH),
        (ExtendedKeyUsageOID.CODE_SIGNING, Verdict.NOT_VALID),
    ):
        between = limited(ROOT, usage)
        chain = (certified(NAME, between).der, between.der, ROOT.der)
        assert judge(record(2, 1, 1, ROOT), chain=chain) is verdict, usage
        assert judge(record(2, 1, 1, between), chain=chain) is verdict, usage


@pytest.mark.parametrize("matching", [0, 1])
@pytest.mark.parametrize(
    ("of", "chain", "fits"),
    [
        (ROOT, (LEAF, MIDDLE), True),  # the anchor signed what is at the end of what is shown
        (MIDDLE, (LEAF,), True),  # ... or the server's own certificate
        (ROOT, (LEAF,), False),
        (ROOT, (certified(NAME, ROOT, days=-1),), False),
        (ROOT, (certified("other.test", ROOT),), False),
        (ROOT, (certified(NAME, authority("Middle", ROOT, plain=True)), MIDDLE), False),
        (authority("Test authority"), (LEAF, MIDDLE), False),
        (certified("mail.b.test"), (LEAF, MIDDLE), False),
    ],
)
def test_a_whole_key_in_the_record_is_an_anchor_of_which_no_certificate_is_shown(
    of: Certified, chain: tuple[Certified, ...], fits: bool, matching: int
) -> None:
    """RFC 7671 section 5.2.3: of 2 1 0 the key itself is known; of 2 1 1 somebody has to show it."""
    found = judge(record(2, 1, matching, of), chain=tuple(each.der for each in chain))
    assert (found is Verdict.MATCH) is (fits and matching == 0)


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_whole_key_of_another_kind_is_an_anchor(kind: str) -> None:
    key = ed25519.Ed25519PrivateKey.generate() if kind != "rsa" else rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody shows it")]))
        .public_key(LEAF.key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, None if kind != "rsa" else hashes.SHA256())
    )
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    anchor = Tlsa(2, 1, 0, key.public_key().public_bytes(*form))
    shown = (made.public_bytes(serialization.Encoding.DER),)
    assert judge(anchor, chain=shown) is Verdict.MATCH
    assert judge(anchor, chain=(LEAF.der,)) is Verdict.NO_MATCH
    assert judge(Tlsa(2, 1, 0, b"no key"), chain=shown) is Verdict.NO_MATCH


def test_a_whole_anchor_in_the_record_need_not_be_sent() -> None:
    assert judge(record(2, 0, 0, ROOT), chain=CHAIN[:2]) is Verdict.MATCH
    assert judge(record(2, 0, 1, ROOT), chain=CHAIN[:2]) is Verdict.NO_MATCH


@pytest.mark.parametrize(
    "unusable",
    [
        record(0, 1, 1, ROOT),
        record(1, 1, 1, LEAF),
        Tlsa(4, 1, 1, bytes(32)),
        Tlsa(255, 1, 1, bytes(32)),
        Tlsa(3, 2, 1, bytes(32)),
        Tlsa(3, 1, 3, bytes(32)),
        Tlsa(3, 1, 1, bytes(31)),
        Tlsa(3, 1, 2, bytes(32)),
        Tlsa(3, 1, 1, b""),
        Tlsa(3, 0, 0, b""),
        Tlsa(2, 0, 0, b"no certificate"),
    ],
)
def test_unusable_records_demand_tls_and_no_more(unusable: Tlsa) -> None:
    assert usable((unusable,)) == ()
    plan = plan_of((unusable,), NAME, (NAME,))
    assert (plan.level, plan.associations, plan.names) == (TlsLevel.MUST, (), ())
    assert plan.policy_type == "tlsa" and plan.policy_strings
    assert plan_of((unusable, record(3, 1, 1, LEAF)), NAME, (NAME,)).level is TlsLevel.DANE


def test_of_digests_the_strongest_of_each_usage_and_selector_counts() -> None:
    weak, strong = record(3, 1, 1, LEAF), record(3, 1, 2, certified("other"))
    assert [a.matching for a in usable((weak, strong))] == [2]
    assert judge(weak, strong) is Verdict.NO_MATCH
    others = (record(3, 0, 1, LEAF), record(2, 1, 1, ROOT), record(3, 1, 0, LEAF))
    assert [a.matching for a in usable((weak, strong, *others))] == [2, 1, 1, 0]


def test_what_a_plan_tells() -> None:
    plan = plan_of((record(3, 1, 1, LEAF),), NAME, (NAME, "b.test", NAME))
    assert (plan.level, plan.names, plan.server_name) == (TlsLevel.DANE, (NAME, "b.test"), NAME)
    assert plan.policy_strings == (f"3 1 1 {LEAF.key_digest.hex().upper()}",)
    assert plan.associations == (Association(3, 1, 1, LEAF.key_digest),)


@pytest.mark.parametrize("chain", [(), (b"",), (b"\x30\x80",), (b"\x30\x03\x30\x01\xa0", LEAF.der)])
def test_no_certificate_matches_nothing(chain: tuple[bytes, ...]) -> None:
    for usage, of in ((3, LEAF), (2, ROOT)):
        assert judge(record(usage, 1, 1, of), chain=chain) is not Verdict.MATCH


def test_the_key_is_taken_as_it_stands() -> None:
    assert key_info(LEAF.der) == LEAF.spki
    assert key_info(LEAF.der[:-1]) == b""
    assert key_info(b"") == b""


def test_authorities_that_all_vouch_for_one_another_are_not_a_labyrinth() -> None:
    """One name and one key, many certificates: every order of them is a chain, none has the anchor."""
    anchor, first = record(2, 0, 0, ROOT), authority("Labyrinth")
    leaf = certified(NAME, first)

    def chain(many: int) -> tuple[bytes, ...]:
        return (leaf.der, *(authority("Labyrinth", key=first.key).der for _ in range(many)))

    assert judge(anchor, chain=chain(MAX_CHAIN)) is Verdict.NOT_VALID
    assert_linear(chain, lambda shown: judge(anchor, chain=shown), 4)
