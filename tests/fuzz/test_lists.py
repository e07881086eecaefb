"""Fuzz target of mailing lists: whatever a mail looks like, members get one that names the list."""

from __future__ import annotations

from a3mailer.mail.message import headers
from a3mailer.transfer.lists.mail import Face, author_of, has_been_here, is_automatic, made_of, personal
from tests.fuzz import mutate

HOST = "mail.a.test"
FACES = (Face("news@a.test", "News"), Face("news@a.test", "", tag="[n]"))
FOUND = (
    b"Authentication-Results: mail.a.test; dkim=none; dmarc=pass header.from=b.test policy.dmarc=reject\r\n"
)
SEEDS = (
    FOUND + b"Received: x\r\nFrom: =?utf-8?q?C=C3=A4?= <c@b.test>\r\nSubject: =?utf-8?b?w6Q=?=\r\n\r\nx\r\n",
    b'Received: x\r\nFrom: "a, b" <"c d"@b.test>\r\nList-Id: x\r\n <news.a.test>\r\nReply-To: z\r\n\r\nx\r\n',
    b"From: a@b.test\nSubject: x\n\tfolded\nAuto-Submitted: no; x\n\nx\n",
)
TOKENS = (
    b"From: ", b"\r\nSubject: ", b"\r\nList-Id: ", b"\r\n ", b"\r", b"\n", b"<", b">", b"@", b'"',
    b"=?utf-8?b?", b"\0", b"\xed\xa0\x80", b"\xff", FOUND, b"; dmarc=fail",
)  # fmt: skip


def target(octets: bytes) -> None:
    author = author_of(octets, HOST)
    assert author.address == author.address.lower() and " " not in author.address
    author.address.encode()
    is_automatic(octets)
    for face in FACES[len(octets) % 2 :][:1]:
        made = made_of(octets, face, author)
        assert has_been_here(made, face), "a circle is always known"
        end = headers.header_end(made, 0, len(made))
        names = [name for name, _, _ in headers.fields(made, 0, end)]
        assert names.count(b"list-id") == names.count(b"list-post") == 1
        assert made.endswith(octets[headers.header_end(octets, 0, len(octets)) :])
        own = personal(made, "https://x/y", "c@a.test")
        again = headers.header_end(own, 0, len(own))
        names = [name for name, _, _ in headers.fields(own, 0, again)]
        assert names.count(b"list-unsubscribe") == names.count(b"list-unsubscribe-post") == 1


@mutate.CASES
def test_any_mail_can_be_sent_to_a_list(count: int, seed: int) -> None:
    mutate.run(target, SEEDS, count=count, seed=seed, tokens=TOKENS)
