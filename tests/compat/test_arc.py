"""ARC against dkimpy as Debian packages it (python3-dkim): it takes our chains and we take its."""

from __future__ import annotations

import base64
import json
import pathlib
import random
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from a3mailer.mail.authresults import FAIL, PASS
from a3mailer.msgauth.fields import read
from bench.mails import crlf, generated
from tests.unit.msgauth.test_arc import MAIL, key, sealed, validate, zone

PYTHON: Final = pathlib.Path("/usr/bin/python3")
MAILS: Final = 30
OTHER: Final = """
import base64, dkim, json, sys
asked = json.load(sys.stdin)
records = {name.encode(): text.encode() for name, text in asked["records"].items()}
dns = lambda name, timeout=5: records.get(name.rstrip(b"."))
out = []
for octets in map(base64.b64decode, asked["mails"]):
    if asked["seal"]:
        key = asked["key"].encode()
        lines = dkim.arc_sign(octets, b"s1", b"peer.test", key, b"mx.peer.test", timestamp=1)
        out.append(base64.b64encode(b"".join(lines) + octets).decode())
    else:
        try:
            out.append(dkim.arc_verify(octets, dnsfunc=dns, minkey=1024)[0].decode())
        except dkim.MessageFormatError:
            out.append("fail")
json.dump(out, sys.stdout)
"""


def ask(mails: Sequence[bytes], *, records: Mapping[str, bytes] | None = None, pem: bytes = b"") -> list[str]:
    """What dkimpy says of the mails (pass, fail, none), or with a key: the mails as it seals them."""
    if (
        not PYTHON.exists()
        or subprocess.run([PYTHON, "-c", "import dkim, authres"], capture_output=True).returncode
    ):
        pytest.skip("absent: Debian's python3-dkim and python3-authres")
    question: dict[str, Any] = {
        "mails": [base64.b64encode(mail).decode() for mail in mails],
        "records": {name: text.decode() for name, text in (records or {}).items()},
        "seal": bool(pem),
        "key": pem.decode(),
    }
    done = subprocess.run(
        [PYTHON, "-c", OTHER],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def published(*domains: str) -> dict[str, bytes]:
    found = zone(*domains).zone
    return {name + ".": records[0] for (name, _), records in found.items() if isinstance(records, list)} | {
        name: records[0] for (name, _), records in found.items() if isinstance(records, list)
    }


def drawn(seed: int) -> list[bytes]:
    mails = [MAIL, *(crlf(mail) for _, mail in generated(MAILS, seed))]
    return [mail for mail in mails if len(read(mail).all(b"from")) == 1]


def test_dkimpy_takes_the_chains_we_make(seed: int) -> None:
    resolver = zone("a.test", "b.test")
    once = [sealed(mail, "a.test", resolver) for mail in drawn(seed)]
    twice = [sealed(b"Received: by b\r\n" + mail, "b.test", resolver) for mail in once]
    records = published("a.test", "b.test")
    assert set(ask(once + twice, records=records)) == {PASS}
    broken = [mail.replace(b"From: ", b"From: x", 1) for mail in twice]
    assert set(ask(broken, records=records)) == {FAIL}


def test_we_take_the_chains_dkimpy_makes_and_go_on_from_them(seed: int) -> None:
    resolver = zone("peer.test", "a.test")
    pem = key("peer.test").private.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    said = b"Authentication-Results: mx.peer.test; spf=pass smtp.mailfrom=alice@example.org\r\n"
    theirs = [base64.b64decode(text) for text in ask([said + mail for mail in drawn(seed)], pem=pem)]
    for mail in theirs:
        chain = validate(mail, resolver)
        assert (chain.result, chain.reason) == (PASS, "")
        assert chain.sets[0].sealer == "peer.test"
    ours = [sealed(mail, "a.test", resolver) for mail in theirs]
    assert set(ask(ours, records=published("peer.test", "a.test"))) == {PASS}
    rng = random.Random(seed)
    at = [rng.randrange(len(mail)) for mail in ours]
    flipped = [mail[:n] + bytes([mail[n] ^ 1]) + mail[n + 1 :] for mail, n in zip(ours, at, strict=True)]
    theirs_say = ask(flipped, records=published("peer.test", "a.test"))
    for mail, said in zip(flipped, theirs_say, strict=True):  # we are never the more lenient one
        assert validate(mail, resolver).result in (said, FAIL)
