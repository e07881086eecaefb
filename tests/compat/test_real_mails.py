"""Real mails enter by smtp-source, swaks and smtplib over TLS, and are read back octet for octet."""

import dataclasses
import pathlib
from collections.abc import Iterator

import pytest

from bench import mails
from tests.compat import post, readers, senders
from tests.rig import ACCOUNTS, Rig

pytestmark = pytest.mark.timeout(3600)


@dataclasses.dataclass(frozen=True, slots=True)
class House:
    """A running instance with two workers, and what was sent to each account."""

    rig: Rig
    sent: dict[str, list[post.Post]]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, count: int, draw_seed: int) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("compat")
    with Rig(folder, workers=2) as rig:
        sent: dict[str, list[post.Post]] = {}
        posts = post.draw(count, draw_seed)
        for (address, _), share in zip(ACCOUNTS, (posts[::2], posts[1::2]), strict=True):
            sent[address] = send(rig.port("smtp"), share, address, folder)
        yield House(rig, sent)


def send(port: int, posts: list[post.Post], address: str, folder: pathlib.Path) -> list[post.Post]:
    ways: tuple[list[post.Post], list[post.Post], list[post.Post]] = ([], [], [])
    for at, one in enumerate(posts):
        way = at % 3
        ways[way if way or senders.takes_smtp_source(one) else 2].append(one)
    sent = senders.smtp_source(port, ways[0], address, folder)
    senders.swaks(port, ways[1], address, folder)
    senders.smtplib_starttls(port, ways[2], address)
    return sent + ways[1] + ways[2]


@pytest.mark.parametrize("login", ACCOUNTS, ids=["alice", "bob"])
def test_imaplib_reads_what_was_sent(house: House, login: tuple[str, str]) -> None:
    found = readers.imaplib_read(house.rig.port("imaps"), login, tls=True)
    assert not post.differences(house.sent[login[0]], found)


@pytest.mark.parametrize("login", ACCOUNTS, ids=["alice", "bob"])
def test_mbsync_reads_what_was_sent(house: House, login: tuple[str, str], tmp_path: pathlib.Path) -> None:
    found = readers.mbsync_read(house.rig.port("imaps"), login, tmp_path / "mbsync", tls=True)
    assert not post.differences(house.sent[login[0]], found, readers.MBSYNC_ALLOWANCE)


@pytest.mark.parametrize("login", ACCOUNTS, ids=["alice", "bob"])
def test_neomutt_reads_what_was_sent(house: House, login: tuple[str, str], tmp_path: pathlib.Path) -> None:
    found = readers.neomutt_read(house.rig.port("imap"), login, tmp_path / "neomutt")
    assert not post.differences(
        house.sent[login[0]], found, readers.NEOMUTT_ALLOWANCE, ends_header_early=True
    )


def test_submission_changes_nothing_in_a_complete_mail(tmp_path: pathlib.Path, seed: int) -> None:
    (sender, password), (recipient, secret) = ACCOUNTS
    posts = post.marked(mails.generated(50, seed, sender))
    with Rig(tmp_path) as rig:
        senders.smtplib_submissions(rig.port("submissions"), posts, (sender, password), recipient)
        found = readers.imaplib_read(rig.port("imaps"), (recipient, secret), tls=True)
    assert not post.differences(posts, found)
