"""Programs that fetch mail away: fetchmail, getmail and curl, each of which gets the octets that came in."""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from bench import mails
from tests import peers
from tests.compat.mailboxes import Far, number_of
from tests.compat.post import Post, differences, marked, unix
from tests.rig import Rig

COUNT: Final = 40
PROGRAM_SECONDS: Final = 120
NO_MAIL: Final = 1
NAMES: Final = (
    "fetchmail", "handing", "handed", "popped", "dropped", "getmail", "getmail-deletes", "curl"
)  # fmt: skip
GETMAIL: Final = """
[retriever]
type = SimpleIMAPSSLRetriever
server = 127.0.0.1
port = {port}
username = {user}
password = {password}
mailboxes = ("INBOX", "Junk")
[destination]
type = MDA_external
path = {folder}/mda
unixfrom = false
allow_root_commands = true
[options]
delete = {delete}
read_all = false
delivered_to = false
received = false
verbose = 0
"""

GETMAIL_PROGRAM: Final = """
import os, runpy, sys
from getmailcore.baseclasses import ForkingBase
ForkingBase._prepare_child = lambda self: None
ForkingBase._wait_for_child = lambda self, child: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""QUIRK: getmail forks for each mail and asks for SIGCHLD only afterwards: a child that was faster is waited
for until a timeout of 180 s, once in some hundred mails on a busy machine. So it waits as others do."""


def getmail_allowance(mail: bytes) -> bytes:
    """QUIRK: getmail makes the header anew, by Python's email package: what is below it stays."""
    return b"%d\n" % number_of(mail) + unix(mail).partition(b"\n\n")[2]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One server; each test has an account of its own."""
    accounts = [(f"{name}@example.test", f"secret-{name}") for name in NAMES]
    with Rig(tmp_path_factory.mktemp("fetchers"), accounts=accounts) as rig:
        yield rig


def login(rig: Rig, name: str) -> tuple[str, str]:
    return rig.credentials(NAMES.index(name))


def filled(far: Far, seed: int, mailbox: bytes = b"INBOX", first: int = 0) -> list[Post]:
    """Mails that are there to be fetched; every third was seen."""
    posts = marked([*mails.generated(first, seed), *mails.generated(COUNT, seed + 1)])[first:]
    far.fill((("S" if post.number % 3 == 0 else "", post.octets) for post in posts), mailbox)
    return posts


def run(
    command: Sequence[str], env: dict[str, str], folder: pathlib.Path, codes: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess[bytes]:
    """To its end, with an exit status that is expected."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **env, "HOME": str(folder), "LC_ALL": "C"},
        timeout=PROGRAM_SECONDS,
    )
    assert done.returncode in codes, (done.stdout, done.stderr)
    return done


def keeper(folder: pathlib.Path) -> str:
    """A program that keeps the mails it is given."""
    (folder / "got").mkdir()
    (folder / "mda").write_text(f"#!/bin/sh\nexec cat > {shlex.quote(str(folder))}/got/$$\n")
    (folder / "mda").chmod(0o755)
    return str(folder / "mda")


def getmail(folder: pathlib.Path, config: str) -> None:
    """One run, to its end."""
    program, env = peers.client("getmail")
    (folder / "getmailrc").write_text(config)
    command = ["/usr/bin/python3", "-c", GETMAIL_PROGRAM, program, "-g", str(folder), "-r"]
    run([*command, str(folder / "getmailrc")], env, folder)


def fetchmail(
    rig: Rig, folder: pathlib.Path, name: str, port: int, options: str, protocol: str = "IMAP"
) -> int:
    program, env = peers.client("fetchmail")
    user, password = login(rig, name)
    config = folder / "fetchmailrc"
    config.write_text(
        f'poll 127.0.0.1 proto {protocol} service {port} user "{user}" pass "{password}" '
        f"no rewrite no mimedecode pass8bits {options}\n"
    )
    config.chmod(0o600)
    command = [program, "-f", str(config), "-i", str(folder / "ids"), "--pidfile", str(folder / "pid")]
    return run([*command, "--invisible", "--nosyslog"], env, folder, codes=(0, NO_MAIL)).returncode


def test_fetchmail_takes_the_unseen_away(rig: Rig, tmp_path: pathlib.Path, seed: int) -> None:
    port, secured = rig.port("imaps"), f'ssl no sslcertck mda "{keeper(tmp_path)}"'
    with Far(rig.port("imap"), login(rig, "fetchmail")) as far:
        posts = filled(far, seed)
        seen = {post.number for post in posts if post.number % 3 == 0}
        assert fetchmail(rig, tmp_path, "fetchmail", port, secured) == 0
        found = [path.read_bytes() for path in (tmp_path / "got").iterdir()]
        assert not differences([post for post in posts if post.number not in seen], found, unix)
        assert far.held() == {post.number: ("S", post.octets) for post in posts if post.number in seen}
        assert fetchmail(rig, tmp_path, "fetchmail", port, secured) == NO_MAIL


def test_fetchmail_hands_mail_on_by_smtp(rig: Rig, tmp_path: pathlib.Path, seed: int) -> None:
    """From one account into another of the same server; what was fetched stays, and is seen."""
    to, port = login(rig, "handed")[0], rig.port("imap")
    onward = f'smtphost "127.0.0.1/{rig.port("smtp")}" smtpname "{to}"'
    plain = f'sslproto "" folder "Archive" fetchall keep {onward}'
    with Far(port, login(rig, "handed")) as there, Far(port, login(rig, "handing")) as far:
        posts = filled(far, seed, b"Archive")
        assert fetchmail(rig, tmp_path, "handing", port, plain) == 0
        assert far.held(b"Archive") == {post.number: ("S", post.octets) for post in posts}
        assert not differences(posts, [mail for _, mail in there.held().values()])


def test_fetchmail_knows_by_uidl_what_it_has(rig: Rig, tmp_path: pathlib.Path, seed: int) -> None:
    """POP3 over TLS: what is new is fetched, and everything stays."""
    port, options = rig.port("pop3s"), f'ssl no sslcertck keep mda "{keeper(tmp_path)}"'
    with Far(rig.port("imap"), login(rig, "popped")) as far:
        posts = filled(far, seed)
        assert fetchmail(rig, tmp_path, "popped", port, options, "POP3 uidl") == 0
        assert fetchmail(rig, tmp_path, "popped", port, options, "POP3 uidl") == NO_MAIL
        posts += filled(far, seed, first=COUNT)
        assert fetchmail(rig, tmp_path, "popped", port, options, "POP3 uidl") == 0
        found = [path.read_bytes() for path in (tmp_path / "got").iterdir()]
        assert not differences(posts, found, unix)
        assert len(far.held()) == len(posts)


def test_getmail_empties_a_maildrop_by_pop3(rig: Rig, tmp_path: pathlib.Path, seed: int) -> None:
    user, password = login(rig, "dropped")
    keeper(tmp_path)
    text = GETMAIL.format(port=rig.port("pop3s"), user=user, password=password, folder=tmp_path, delete=True)
    text = text.replace("SimpleIMAPSSLRetriever", "SimplePOP3SSLRetriever")
    with Far(rig.port("imap"), (user, password)) as far:
        posts = filled(far, seed)
        getmail(tmp_path, text.replace('mailboxes = ("INBOX", "Junk")\n', ""))
        found = [path.read_bytes() for path in (tmp_path / "got").iterdir()]
        assert not differences(posts, found, getmail_allowance)
        assert far.held() == {}


@pytest.mark.parametrize("delete", [False, True], ids=["keep", "delete"])
def test_getmail_knows_what_it_has(rig: Rig, tmp_path: pathlib.Path, seed: int, delete: bool) -> None:
    """By UIDVALIDITY and UID, in two mailboxes; the second run gets only what is new."""
    name = "getmail-deletes" if delete else "getmail"
    user, password = login(rig, name)
    keeper(tmp_path)
    port = rig.port("imaps")
    config = GETMAIL.format(port=port, user=user, password=password, folder=tmp_path, delete=delete)
    with Far(rig.port("imap"), (user, password)) as far:
        posts = filled(far, seed) + filled(far, seed, b"Junk", first=COUNT)
        getmail(tmp_path, config)
        new = tmp_path / "got"
        assert not differences(posts, [path.read_bytes() for path in new.iterdir()], getmail_allowance)
        left = sum(map(len, (far.held(), far.held(b"Junk"))))
        assert left == (0 if delete else len(posts))
        before = set(new.iterdir())
        more = filled(far, seed, first=2 * COUNT)
        getmail(tmp_path, config)
        got = [path.read_bytes() for path in set(new.iterdir()) - before]
        assert not differences(more, got, getmail_allowance)


def test_curl_reads_searches_and_puts(rig: Rig, tmp_path: pathlib.Path, seed: int) -> None:
    program, env = peers.client("curl")
    user, password = login(rig, "curl")
    place = f"imap://127.0.0.1:{rig.port('imap')}"
    secured = f"imaps://127.0.0.1:{rig.port('imaps')}"

    def curl(*arguments: str) -> bytes:
        return run([program, "-sS", "-k", "-u", f"{user}:{password}", *arguments], env, tmp_path).stdout

    with Far(rig.port("imap"), (user, password)) as far:
        posts = filled(far, seed)
        far.imap.command(b"EXAMINE INBOX")
        uids = far.uids()
        for post in posts[:6]:
            assert curl(f"{place}/INBOX;UID={uids[post.number]}") == post.octets
        last = posts[-1]
        assert curl(f"{secured}/INBOX;MAILINDEX={len(posts)}") == last.octets
        header = curl(f"{place}/INBOX;UID={uids[last.number]};SECTION=HEADER.FIELDS%20(X-Compat)")
        assert header == b"X-Compat: %d\r\n\r\n" % last.number
        found = curl(f"{place}/INBOX?HEADER%20X-Compat%20{last.number}")
        assert found == b"* SEARCH %d\r\n" % len(posts)
        (tmp_path / "mail").write_bytes(posts[3].octets)
        curl("-T", str(tmp_path / "mail"), f"{place}/Drafts")
        assert far.held(b"Drafts") == {posts[3].number: ("S", posts[3].octets)}
        listed = curl(f"{place}/").splitlines()
        assert b'* LIST (\\HasNoChildren \\Drafts) "/" Drafts' in listed
        status = curl(f"{place}/", "-X", "STATUS INBOX (MESSAGES UNSEEN)")
        unseen = sum(post.number % 3 != 0 for post in posts[6:])  # curl asks for BODY[]: it has seen them
        assert status == b"* STATUS INBOX (MESSAGES %d UNSEEN %d)\r\n" % (len(posts), unseen)
