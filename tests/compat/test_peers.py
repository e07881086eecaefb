"""The clients and the peers among themselves: what they change, and that the comparison sees it."""

import pathlib

import pytest

from tests import peers
from tests.compat import post, readers, senders

MAILS = 60
LOGIN = ("alice@example.test", "secret-a")


def test_every_way_in_and_out_of_postfix_and_dovecot_keeps_each_octet(
    tmp_path: pathlib.Path, seed: int
) -> None:
    posts = [p for p in post.draw(MAILS, seed) if post.postfix_keeps(p) and post.dovecot_keeps(p)]
    first = [p for p in posts[: MAILS // 3] if senders.takes_smtp_source(p)]
    second = posts[MAILS // 3 : MAILS * 2 // 3]
    third = posts[MAILS * 2 // 3 :] + [p for p in posts[: MAILS // 3] if p not in first]
    with peers.peer() as server:
        sent = senders.smtp_source(server.port("smtp"), first, LOGIN[0], tmp_path)
        senders.swaks(server.port("smtp"), second, LOGIN[0], tmp_path, tls=False)
        senders.smtplib_starttls(server.port("smtp"), third, LOGIN[0], tls=False)
        server.drain()
        sent += second + third
        port = server.port("imap")
        assert not post.differences(sent, readers.imaplib_read(port, LOGIN))
        mbsync = readers.mbsync_read(port, LOGIN, tmp_path / "mbsync")
        assert not post.differences(sent, mbsync, readers.MBSYNC_ALLOWANCE)
        neomutt = readers.neomutt_read(port, LOGIN, tmp_path / "neomutt")
        assert not post.differences(sent, neomutt, readers.NEOMUTT_ALLOWANCE)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], "mail 0 (x) is missing"),
        ([b"X-Compat: 0\r\na: b\r\n\r\nbody\r\n"] * 2, "mail 0 is there twice"),
        ([b"X-Compat: 0\r\na: b\r\n\r\nbodY\r\n"], "mail 0 (x) changed at octet 24 of 27"),
        ([b"X-Compat: 0\r\na: b\r\n\r\nbody\n"], "mail 0 (x) changed at octet 25 of 27"),
        ([b"Subject: hello\r\n\r\n"], "a mail nobody sent"),
    ],
)
def test_the_comparison_sees_every_change(found: list[bytes], told: str) -> None:
    sent = post.marked([("x", b"a: b\r\n\r\nbody\r\n")])
    assert any(told in wrong for wrong in post.differences(sent, found))


def test_the_comparison_allows_trace_headers_on_top_and_nothing_else() -> None:
    sent = post.marked([("x", b"a: b\r\n\r\nbody\r\n")])
    assert not post.differences(sent, [b"Received: by us\r\n" + sent[0].octets])
    assert post.differences(sent, [b"Received: by us\r\n" + sent[0].octets + b"\r\n"])
