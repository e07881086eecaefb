"""Postfix delivers to us and takes from us; Dovecot's LMTP client delivers to us."""

import pathlib
import tempfile
import time
from collections.abc import Iterator

import pytest

from bench import mails, ports
from bench.peers.dovecot import Dovecot
from bench.peers.postfix import Postfix
from bench.peers.rig import PeerRig
from bench.server import wait_banner
from tests import peers
from tests.compat import post, readers, senders
from tests.rig import ACCOUNTS, Rig

pytestmark = pytest.mark.timeout(1800)
DRAIN_SECONDS = 600
START_SECONDS = 30
ALICE = ACCOUNTS[0]


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    """A directory that the peers' users can reach, as pytest's own cannot be."""
    with tempfile.TemporaryDirectory(prefix="a3mailer-compat-") as name:
        pathlib.Path(name).chmod(0o755)
        yield pathlib.Path(name)


@pytest.fixture
def base() -> Iterator[ports.PortBase]:
    """Ports for the peer."""
    found = ports.reserve()
    yield found
    found.release()


def wait_for(rig: Rig | PeerRig, login: tuple[str, str], count: int) -> list[bytes]:
    """Read the INBOX once it has ``count`` mails (or time is over)."""
    deadline = time.monotonic() + DRAIN_SECONDS
    found: list[bytes] = []
    while time.monotonic() < deadline:
        found = readers.imaplib_read(rig.port("imap"), login)
        if len(found) >= count:
            break
        time.sleep(0.5)
    return found


@pytest.mark.parametrize("tls", ["none", "may"])
def test_postfix_delivers_to_us(
    tmp_path: pathlib.Path, folder: pathlib.Path, base: ports.PortBase, count: int, draw_seed: int, tls: str
) -> None:
    prefix = peers.server_prefix()
    posts = [p for p in post.draw(count, draw_seed) if post.postfix_keeps(p)]
    with Rig(tmp_path, workers=2) as rig:
        postfix = Postfix(
            prefix,
            folder,
            smtp_port=base.port("smtp"),
            transport=f"smtp:[127.0.0.1]:{rig.port('smtp')}",
            settings={"smtp_tls_security_level": tls},
        )
        postfix.start()
        try:
            wait_banner(base.port("smtp"), time.monotonic() + START_SECONDS)
            senders.smtplib_starttls(base.port("smtp"), posts, ALICE[0], tls=False)
            found = wait_for(rig, ALICE, len(posts))
        finally:
            postfix.stop()
    assert not post.differences(posts, found)


def test_postfix_takes_from_us(tmp_path: pathlib.Path, seed: int) -> None:
    peers.server_prefix()
    posts = post.marked(mails.generated(100, seed, ALICE[0]))
    login = ("carol@far.test", "secret-c")
    with (
        PeerRig(accounts=(login,), domain="far.test") as peer,
        Rig(tmp_path, extra=["--relay", f"127.0.0.1:{peer.port('smtp')}"]) as rig,
    ):
        senders.smtplib_submissions(rig.port("submissions"), posts, ALICE, login[0])
        found = wait_for(peer, login, len(posts))
    assert not post.differences(posts, found)


def test_dovecot_lmtp_proxy_delivers_to_us(
    tmp_path: pathlib.Path, folder: pathlib.Path, base: ports.PortBase, count: int, draw_seed: int
) -> None:
    prefix = peers.server_prefix()
    posts = post.draw(count, draw_seed)
    with Rig(tmp_path, workers=2) as rig:
        dovecot = Dovecot(
            prefix,
            folder,
            imap_port=base.port("imap"),
            lmtp_port=base.port("lmtp"),
            passdb=f"proxy=y host=127.0.0.1 port={rig.port('lmtp')} protocol=lmtp nopassword=y",
            extra="lmtp_proxy = yes",
        )
        dovecot.start()
        try:
            wait_banner(base.port("lmtp"), time.monotonic() + START_SECONDS)
            senders.lmtp(base.port("lmtp"), posts, ALICE[0])
            found = wait_for(rig, ALICE, len(posts))
        finally:
            dovecot.stop()
    assert not post.differences(posts, found)
