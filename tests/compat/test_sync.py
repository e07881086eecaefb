"""Programs that keep a Maildir in step with us: both sides change, and both sides end up the same."""

from __future__ import annotations

import os
import pathlib
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pytest

from bench import mails
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
NAMES: Final = ("mbsync", "offline")


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
    sync: Callable[[], None]
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
