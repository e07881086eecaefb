"""Programs that keep a Maildir in step with us: both sides change, and both sides end up the same."""

from __future__ import annotations

import os
import pathlib
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Final

import pytest

from bench import mails
from bench.peers.dovecot import MAIL_USER, Dovecot
from tests import peers
from tests.compat.mailboxes import Far, Held, Near
from tests.compat.post import Post, marked, unix, without
from tests.rig import Rig

PROGRAM_SECONDS: Final = 120
MBSYNC: Final = """
IMAPStore far
Host 127.0.0.1
Port {port}
User "{user}"
Pass "{password}"
AuthMechs LOGIN
SSLType None

MaildirStore near
Path {folder}/
Inbox {folder}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Sync All
Create Both
Expunge Both
SyncState *
"""
OFFLINEIMAP: Final = """
[general]
accounts = all
metadata = {folder}
[Account all]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {folder}/mail
filename_use_mail_timestamp = no
[Repository far]
type = IMAP
remotehost = 127.0.0.1
remoteport = {port}
remoteuser = {user}
remotepass = {password}
ssl = no
starttls = no
auth_mechanisms = LOGIN
folderfilter = lambda name: name in ("INBOX", "Archive")
"""
IMAPC: Final = """
mail_uid = {user}
mail_gid = {user}
imapc_host = 127.0.0.1
imapc_port = {port}
imapc_user = {login[0]}
imapc_password = {login[1]}
imapc_features = rfc822.size fetch-headers
"""
NAMES: Final = ("mbsync", "offline", "dovecot", "imapc")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One server; each test has an account of its own."""
    accounts = [(f"{name}@example.test", f"secret-{name}") for name in NAMES]
    with Rig(tmp_path_factory.mktemp("sync"), accounts=accounts) as rig:
        yield rig


@dataclass(frozen=True, slots=True)
class Pair:
    """Both sides, what brings them together, and what it is known to add."""

    far: Far
    near: Near
    sync: Callable[[], object]
    allowance: Callable[[bytes], bytes]

    def both(self) -> Held:
        """What both sides hold, which has to be the same."""
        far, near = self.far.held(allowance=self.allowance), self.near.held(self.allowance)
        assert far.keys() == near.keys()
        assert not {number: (far[number], near[number]) for number in far if far[number] != near[number]}
        return far


@contextmanager
def mbsync(rig: Rig, folder: pathlib.Path) -> Iterator[Pair]:
    login = rig.credentials(NAMES.index("mbsync"))
    program, env = peers.client("mbsync")
    folder.mkdir()
    config = folder / "mbsyncrc"
    config.write_text(
        MBSYNC.format(port=rig.port("imap"), user=login[0], password=login[1], folder=folder / "mail")
    )
    (folder / "mail").mkdir()
    config.chmod(0o600)

    def sync() -> None:
        subprocess.run(
            [program, "-q", "-c", str(config), "all"],
            check=True,
            env={**os.environ, **env, "HOME": str(folder)},
            timeout=PROGRAM_SECONDS,
        )

    # QUIRK: mbsync writes an X-TUID field into what it pulls
    with Far(rig.port("imap"), login) as far:
        yield Pair(far, Near(folder / "mail/INBOX"), sync, without(b"X-TUID"))


def settled(pair: Pair) -> None:
    """Once more: nothing is left to do."""
    before, names = pair.far.modseq(), sorted(path.name for path in pair.near.paths().values())
    pair.sync()
    assert pair.far.modseq() == before
    assert sorted(path.name for path in pair.near.paths().values()) == names


def both_sides_change(pair: Pair, posts: list[Post], new: list[Post], rng: random.Random) -> None:
    """Flags and deletions here and there, new mails here and there, the same mail changed on both sides."""
    wanted = {post.number: ("", pair.allowance(post.octets)) for post in posts}
    here, there = numbers(wanted, rng, 10), numbers(wanted, rng, 10)
    gone_here, gone_there = numbers(wanted, rng, 20), numbers(wanted, rng, 20)
    both = numbers(wanted, rng, 20)
    kept = wanted.keys() - gone_here - gone_there
    flags = {number: rng.choice(("F", "S", "RS", "FRS", "DS")) for number in here | there}
    pair.near.change({number: flags[number] for number in here - there})
    pair.far.change({number: flags[number] for number in there})
    pair.near.change(dict.fromkeys(both - here - there, "S"))
    pair.far.change(dict.fromkeys(both - here - there, "F"))
    pair.near.change(dict.fromkeys(gone_here, ""), remove=True)
    pair.far.change(dict.fromkeys(gone_there, "T"), expunge=True)
    added = [("S", post.octets) for post in new]
    pair.near.add((letters, unix(mail)) for letters, mail in added[::2])
    pair.far.fill(added[1::2])
    pair.sync()
    result = {number: (flags.get(number, ""), wanted[number][1]) for number in kept}
    result |= {number: ("FS", wanted[number][1]) for number in (both - here - there) & kept}
    result |= {post.number: ("S", pair.allowance(post.octets)) for post in new}
    found = pair.both()
    assert found.keys() == result.keys()
    assert not {n: (found[n], result[n]) for n in found if found[n] != result[n]}


def numbers(held: Held, rng: random.Random, part: int) -> set[int]:
    return set(rng.sample(sorted(held), len(held) // part))


def two_way(pair: Pair, count: int, seed: int) -> None:
    """First from there to here, then both change, then nothing does."""
    posts = marked(mails.generated(count + count // 10, seed))
    posts, new = posts[:count], posts[count:]
    pair.far.fill(("", post.octets) for post in posts)
    pair.sync()
    assert pair.both() == {post.number: ("", pair.allowance(post.octets)) for post in posts}
    settled(pair)
    both_sides_change(pair, posts, new, random.Random(seed))
    settled(pair)


def test_mbsync_syncs_a_thousand_mails_both_ways(rig: Rig, tmp_path: pathlib.Path, seed: int) -> None:
    with mbsync(rig, tmp_path / "mbsync") as pair:
        two_way(pair, 1000, seed)


@contextmanager
def offlineimap(rig: Rig, folder: pathlib.Path) -> Iterator[Pair]:
    login = rig.credentials(NAMES.index("offline"))
    program, env = peers.client("offlineimap")
    folder.mkdir()
    config = folder / "rc"
    config.write_text(
        OFFLINEIMAP.format(port=rig.port("imap"), user=login[0], password=login[1], folder=folder)
    )

    def sync() -> None:
        subprocess.run(
            [program, "-o", "-u", "quiet", "-c", str(config)],
            check=True,
            env={**os.environ, **env, "HOME": str(folder)},
            timeout=PROGRAM_SECONDS,
        )

    with Far(rig.port("imap"), login) as far:
        yield Pair(far, Near(folder / "mail/INBOX"), sync, unix)


def test_offlineimap_syncs_both_ways(rig: Rig, tmp_path: pathlib.Path, seed: int) -> None:
    with offlineimap(rig, tmp_path / "offlineimap") as pair:
        two_way(pair, 100, seed)


def test_dovecot_moves_here_over_imapc(rig: Rig, seed: int) -> None:
    """No server of it runs: ``doveadm`` is the client, over its storage ``imapc``.

    It follows what changed there, deletions too; two-way it cannot, since IMAP has no GUID of a mail."""
    login = rig.credentials(NAMES.index("dovecot"))
    posts = marked(mails.generated(220, seed))
    with TemporaryDirectory() as place, Far(rig.port("imap"), login) as far:
        folder = pathlib.Path(place)
        folder.chmod(0o755)  # another user than ours has to go there
        there = dovecot(rig, folder)
        near = Near(folder / "homes/Maildir")
        pair = Pair(far, near, lambda: there("backup", "-R", "imapc:"), unix)
        far.fill(("", post.octets) for post in posts[:200])
        pair.sync()
        assert pair.both() == {post.number: ("", unix(post.octets)) for post in posts[:200]}
        far.change(dict.fromkeys(range(0, 40, 4), "FS"))
        far.change(dict.fromkeys(range(100, 120), "T"), expunge=True)
        far.fill(("RS", post.octets) for post in posts[200:])
        pair.sync()
        gone = range(100, 120)
        letters = dict.fromkeys(range(0, 40, 4), "FS") | dict.fromkeys(range(200, 220), "RS")
        wanted = {
            post.number: (letters.get(post.number, ""), unix(post.octets))
            for post in posts
            if post.number not in gone
        }
        assert pair.both() == wanted


def test_doveadm_works_in_a_mailbox_over_imapc(rig: Rig, seed: int) -> None:
    """Saves, flags, searches, fetches, moves and expunges in our mailboxes as if they were its own."""
    login = rig.credentials(NAMES.index("imapc"))
    one, two, three = marked(mails.generated(3, seed))
    with TemporaryDirectory() as place, Far(rig.port("imap"), login) as far:
        folder = pathlib.Path(place)
        folder.chmod(0o755)
        there = dovecot(rig, folder, "imapc", "-o", "mail_location=imapc:~/imapc")
        for post in (one, two, three):
            (folder / "mail").write_bytes(post.octets)
            there("save", "-m", "INBOX", str(folder / "mail"))
        there("flags", "add", "\\Seen \\Flagged", "mailbox", "INBOX", "uid", "1")
        found = there("fetch", "uid flags", "mailbox", "INBOX", "header", "X-Compat", "0")
        assert found == b"uid: 1\nflags: \\Flagged \\Seen \\Recent\n"  # which it says by itself
        assert there("fetch", "text", "mailbox", "INBOX", "uid", "2") == b"text:\n" + two.octets
        there("mailbox", "create", "Work/2026")
        there("move", "Work/2026", "mailbox", "INBOX", "uid", "2")
        there("expunge", "mailbox", "INBOX", "uid", "3")
        assert far.held() == {one.number: ("FS", one.octets)}
        assert far.held(b"Work/2026") == {two.number: ("", two.octets)}
        assert there("mailbox", "status", "messages", "INBOX") == b"INBOX messages=1\n"


def dovecot(rig: Rig, folder: pathlib.Path, name: str = "dovecot", *options: str) -> Callable[..., bytes]:
    """doveadm with our server as its imapc."""
    extra = IMAPC.format(user=MAIL_USER, port=rig.port("imap"), login=rig.credentials(NAMES.index(name)))
    made = Dovecot(peers.server_prefix(), folder, imap_port=1, lmtp_port=1, extra=extra)
    return lambda *words: made.doveadm(*options, *words, USER="near", HOME=str(folder / "homes"))
