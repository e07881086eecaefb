"""Web Push: the example of RFC 8291 section 5, and tokens that verify."""

import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from a3mailer.wire.webpush.encrypt import MAX_PAYLOAD, base64url, encrypt, subscriber_keys, unbase64
from a3mailer.wire.webpush.vapid import authorization, private_key, public_key

P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
OURS = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
MESSAGE = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6"
    "cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def test_the_example() -> None:
    theirs, auth = subscriber_keys(P256DH, AUTH)
    ours = ec.derive_private_key(int.from_bytes(unbase64(OURS), "big"), ec.SECP256R1())
    made = encrypt(b"When I grow up, I want to be a watermelon", theirs, auth, ours, unbase64(SALT))
    assert base64url(made) == MESSAGE
    with pytest.raises(ValueError, match="payload"):
        encrypt(b"x" * (MAX_PAYLOAD + 1), theirs, auth, ours, unbase64(SALT))


@pytest.mark.parametrize(
    ("point", "secret"),
    [
        ("", AUTH),
        (P256DH, ""),
        (P256DH[:-4], AUTH),
        ("B" + "A" * 86, AUTH),
        ("!" + P256DH[1:], AUTH),
        (P256DH, AUTH * 2),
    ],
)
def test_keys_that_are_none(point: str, secret: str) -> None:
    with pytest.raises(ValueError):
        subscriber_keys(point, secret)


def test_a_token_names_whom_it_is_for_and_verifies() -> None:
    key = private_key(b"s" * 32)
    field = authorization(key, "https://push.test", "mailto:postmaster@a.test", 1000)
    scheme, _, rest = field.partition(" ")
    token, named = rest.removeprefix("t=").split(", k=")
    assert scheme == "vapid" and named == public_key(key) and len(unbase64(named)) == 65
    head, claims, signature = token.split(".")
    assert json.loads(unbase64(head)) == {"typ": "JWT", "alg": "ES256"}
    assert json.loads(unbase64(claims)) == {
        "aud": "https://push.test", "exp": 44200, "sub": "mailto:postmaster@a.test",
    }  # fmt: skip
    octets = unbase64(signature)
    pair = encode_dss_signature(int.from_bytes(octets[:32], "big"), int.from_bytes(octets[32:], "big"))
    key.public_key().verify(pair, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    assert public_key(private_key(b"s" * 32)) == public_key(key) != public_key(private_key(b"t" * 32))
