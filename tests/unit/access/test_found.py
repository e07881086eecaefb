"""Elements of ENVELOPE are found the quick way as they are the careful way."""

import random

import pytest

from a3mailer.mail.message import index
from a3mailer.mail.message.enveloped import envelope_fields, strings
from a3mailer.mail.message.wire import skip

PIECES = [
    '"', "\\", "(", ")", "NIL", " ", "{", "}", "a", "ä", "<x@y>", ",", "g: b@c;", "=?utf-8?q?=C3=A4?=",
    "\r\n ",
]  # fmt: skip


def careful(fragment: bytes) -> list[bytes]:
    """The elements, token by token."""
    found, start, at, depth = [], 1, 1, 0
    while at < len(fragment) - 1:
        after = skip(fragment, at)
        token = fragment[at:after]
        if token == b" " and depth == 0:
            found.append(fragment[start:at])
            start = after
        depth += (token == b"(") - (token == b")")
        at = after
    return [*found, fragment[start:at]]


@pytest.mark.parametrize("seed", random.sample(range(1 << 30), 3))
def test_elements_of_any_envelope(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(500):
        lines = [
            f"{name}: {''.join(chance.choice(PIECES) for _ in range(chance.randint(0, 12)))}"
            for name in ("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "Sender")
        ]
        envelope = index("\r\n".join([*lines, "", ""]).encode()).envelope
        fields = envelope_fields(envelope)
        assert fields == careful(envelope)
        assert len(fields) == 10
        for field in fields[2:8]:
            assert len(list(strings(field))) % 4 == (1 if field == b"NIL" else 0)
