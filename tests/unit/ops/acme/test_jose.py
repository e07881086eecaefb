"""Keys and signatures of ACME, against the examples of RFC 7638 and RFC 8555 and by cryptography itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.ops.acme.jose import AccountKey, base64url, from_base64url, is_token

URL = "https://acme.test/new"


def decoded(text: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def public(jwk: dict[str, str]) -> ec.EllipticCurvePublicKey:
    x, y = (int.from_bytes(from_base64url(jwk[name]), "big") for name in "xy")
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


@pytest.mark.parametrize("account", ["", "https://acme.test/account/1"])
@pytest.mark.parametrize("payload", [None, {}, {"identifiers": [{"type": "dns", "value": "a.test"}]}])
def test_a_signed_request(account: str, payload: object) -> None:
    key = AccountKey.generate()
    body = json.loads(key.sign(URL, "abc", payload, account))
    protected = decoded(body["protected"])
    assert (protected["alg"], protected["nonce"], protected["url"]) == ("ES256", "abc", URL)
    assert ("kid" in protected, "jwk" in protected) == (bool(account), not account)
    assert body["payload"] == "" if payload is None else decoded(body["payload"]) == payload
    signature = from_base64url(body["signature"])
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    signed = f"{body['protected']}.{body['payload']}".encode()
    verify = public(key.jwk).verify
    verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        verify(encode_dss_signature(r, s), signed + b"x", ec.ECDSA(hashes.SHA256()))


def test_the_thumbprint_is_of_the_members_in_order() -> None:
    """RFC 7638 section 3: required members, lexicographically, no white space."""
    key = AccountKey.generate()
    text = f'{{"crv":"P-256","kty":"EC","x":"{key.jwk["x"]}","y":"{key.jwk["y"]}"}}'
    assert key.thumbprint == base64url(hashlib.sha256(text.encode()).digest())
    assert key.authorization("token") == f"token.{key.thumbprint}"


def test_the_binding_of_an_external_account() -> None:
    key = AccountKey.generate()
    bound = key.bind(URL, "kid-1", b"secret")
    assert decoded(bound["protected"]) == {"alg": "HS256", "kid": "kid-1", "url": URL}
    assert decoded(bound["payload"]) == key.jwk
    mac = hmac.digest(b"secret", f"{bound['protected']}.{bound['payload']}".encode(), "sha256")
    assert from_base64url(bound["signature"]) == mac


def test_a_key_survives_its_file() -> None:
    key = AccountKey.generate()
    assert AccountKey.from_pem(key.pem()).thumbprint == key.thumbprint


@pytest.mark.parametrize("curve", [ec.SECP384R1(), None])
def test_other_keys_are_no_account_keys(curve: ec.EllipticCurve | None) -> None:
    pem = b"-----BEGIN NOTHING-----\n-----END NOTHING-----\n"
    if curve is not None:
        made = ec.generate_private_key(curve)
        pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError):
        AccountKey.from_pem(pem)


@given(st.binary(max_size=70))
def test_base64url_comes_back(octets: bytes) -> None:
    text = base64url(octets)
    assert "=" not in text
    assert from_base64url(text) == octets == from_base64url(base64.b64encode(octets).decode())


@given(st.text(max_size=40))
def test_any_text_is_base64url_or_not(text: str) -> None:
    try:
        from_base64url(text)
    except ValueError:
        return


@pytest.mark.parametrize(
    "text", ["", "x" * 21, "x" * 129, "x" * 22 + "/", "../" * 10, "x" * 22 + "\n", "ä" * 30, "x" * 22 + "="]
)
def test_what_is_no_token(text: str) -> None:
    assert not is_token(text) and is_token("x" * 22) and is_token("-_" * 64)
