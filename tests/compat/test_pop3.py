"""POP3 clients end to end: poplib, fetchmail, getmail, mpop and curl get the octets that came in."""

from __future__ import annotations

import pathlib
import poplib
from collections.abc import Iterator
from typing import Final

import pytest

from bench import mails
from tests import peers
from tests.compat.mailboxes import Far
from tests.compat.post import Post, differences, marked, unix
from tests.compat.senders import anyone
from tests.compat.test_fetchers import NO_MAIL, getmail_allowance, keeper, run
from tests.rig import Rig

COUNT: Final = 30
NAMES: Final = ("poplib", "secured", "fetchmail", "getmail", "mpop", "curl")
GETMAIL: Final = """
[retriever]
type = SimplePOP3SSLRetriever
server = 127.0.0.1
port = {port}
username = {user}
password = {password}
[destination]
type = MDA_external
path = {folder}/mda
unixfrom = false
allow_root_commands = true
[options]
delete = false
read_all = false
delivered_to = false
received = false
verbose = 0
"""
MPOP: Final = """
account default
host 127.0.0.1
port {port}
auth plain
user {user}
password {password}
tls on
tls_starttls on
tls_certcheck off
uidls_file {folder}/uidls
keep {keep}
delivery mda {folder}/mda
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One server of two workers; each test has an account of its own."""
    accounts = [(f"{name}@example.test", f"secret-{name}") for name in NAMES]
    with Rig(tmp_path_factory.mktemp("pop3"), accounts=accounts, workers=2) as rig:
        yield rig


def login(rig: Rig, name: str) -> tuple[str, str]:
    return rig.credentials(NAMES.index(name))


def filled(far: Far, seed: int, count: int = COUNT) -> list[Post]:
    posts = marked(list(mails.generated(count, seed)))
    far.fill(("", post.octets) for post in posts)
    return posts


def taken(client: poplib.POP3, number: int) -> bytes:
    return b"\r\n".join([*client.retr(number)[1], b""])


def test_poplib_reads_and_deletes(rig: Rig, seed: int) -> None:
    user, password = login(rig, "poplib")
    with Far(rig.port("imap"), (user, password)) as far:
        posts = filled(far, seed)
        client = poplib.POP3("127.0.0.1", rig.port("pop3"))
        assert {"UIDL", "TOP", "PIPELINING", "STLS", "USER", "SASL"} <= client.capa().keys()
        client.user(user)
        client.pass_(password)
        assert client.stat() == (COUNT, sum(len(post.octets) for post in posts))
        sizes = [int(line.split()[1]) for line in client.list()[1]]
        assert sizes == [len(post.octets) for post in posts]
        for number, post in enumerate(posts, 1):
            assert taken(client, number) == post.octets
            header, _, body = post.octets.partition(b"\r\n\r\n")
            top = [*header.split(b"\r\n"), b"", *body.split(b"\r\n")[:2]]
            assert client.top(number, 2)[1][: len(top)] == top[: len(client.top(number, 2)[1])]
        before = client.uidl()[1]
        with pytest.raises(poplib.error_proto, match="IN-USE"):
            other = poplib.POP3("127.0.0.1", rig.port("pop3"))
            other.user(user)
            other.pass_(password)
        other.close()
        client.dele(1)
        client.dele(3)
        client.quit()
        gone = {posts[0].number, posts[2].number}
        assert far.held() == {post.number: ("", post.octets) for post in posts if post.number not in gone}
        client = poplib.POP3("127.0.0.1", rig.port("pop3"))
        client.user(user)
        client.pass_(password)
        ids = [line.split()[1] for line in before]
        assert [line.split()[1] for line in client.uidl()[1]] == [ids[1], *ids[3:]]
        client.quit()


def test_poplib_under_tls_and_after_a_restart(rig: Rig, seed: int) -> None:
    user, password = login(rig, "secured")
    with Far(rig.port("imap"), (user, password)) as far:
        posts = filled(far, seed, 3)
    client = poplib.POP3("127.0.0.1", rig.port("pop3"))
    client.stls(anyone())
    client.user(user)
    client.pass_(password)
    before = client.uidl()[1]
    client.quit()
    rig.stop()
    rig.start()
    client = poplib.POP3_SSL("127.0.0.1", rig.port("pop3s"), context=anyone())
    client.user(user)
    client.pass_(password)
    assert client.uidl()[1] == before
    assert [taken(client, number) for number in (1, 2, 3)] == [post.octets for post in posts]
    client.quit()


def test_fetchmail_knows_what_it_has(rig: Rig, tmp_path: pathlib.Path, seed: int) -> None:
    program, env = peers.client("fetchmail")
    user, password = login(rig, "fetchmail")
    config = tmp_path / "fetchmailrc"
    config.write_text(
        f'poll 127.0.0.1 proto POP3 service {rig.port("pop3s")} uidl user "{user}" pass "{password}" '
        f'ssl no sslcertck keep no rewrite no mimedecode pass8bits mda "{keeper(tmp_path)}"\n'
    )
    config.chmod(0o600)
    command = [program, "-f", str(config), "-i", str(tmp_path / "ids"), "--pidfile", str(tmp_path / "pid")]
    command += ["--invisible", "--nosyslog"]
    with Far(rig.port("imap"), (user, password)) as far:
        posts = filled(far, seed)
        assert run(command, env, tmp_path, codes=(0, NO_MAIL)).returncode == 0
        found = [path.read_bytes() for path in (tmp_path / "got").iterdir()]
        assert not differences(posts, found, unix)
        assert run(command, env, tmp_path, codes=(0, NO_MAIL)).returncode == NO_MAIL
        assert len(far.held()) == COUNT


def test_getmail_knows_what_it_has(rig: Rig, tmp_path: pathlib.Path, seed: int) -> None:
    program, env = peers.client("getmail")
    user, password = login(rig, "getmail")
    keeper(tmp_path)
    config = tmp_path / "getmailrc"
    config.write_text(GETMAIL.format(port=rig.port("pop3s"), user=user, password=password, folder=tmp_path))
    command = [program, "-g", str(tmp_path), "-r", str(config)]
    with Far(rig.port("imap"), (user, password)) as far:
        posts = filled(far, seed)
        run(command, env, tmp_path)
        got = tmp_path / "got"
        assert not differences(posts, [path.read_bytes() for path in got.iterdir()], getmail_allowance)
        run(command, env, tmp_path)
        assert len(list(got.iterdir())) == COUNT


def test_mpop_takes_all_away(rig: Rig, tmp_path: pathlib.Path, seed: int) -> None:
    """It pipelines; its lines end in LF."""
    program, env = peers.client("mpop")
    user, password = login(rig, "mpop")
    keeper(tmp_path)
    config = tmp_path / "mpoprc"
    with Far(rig.port("imap"), (user, password)) as far:
        posts = filled(far, seed)
        for keep in ("on", "off"):
            config.write_text(
                MPOP.format(port=rig.port("pop3"), user=user, password=password, folder=tmp_path, keep=keep)
            )
            config.chmod(0o600)
            run([program, "-C", str(config), "-q"], env, tmp_path)
            found = [path.read_bytes() for path in (tmp_path / "got").iterdir()]
            assert not differences(posts, found, without_received)
            assert len(far.held()) == (COUNT if keep == "on" else 0)


def without_received(mail: bytes) -> bytes:
    """QUIRK: mpop puts a Received field of its own before what it got."""
    lines = unix(mail).split(b"\n")
    if lines[0].startswith(b"Received: from 127.0.0.1"):
        del lines[0]
        while lines[0][:1] in {b" ", b"\t"}:
            del lines[0]
    return b"\n".join(lines)


def test_curl_lists_and_reads(rig: Rig, tmp_path: pathlib.Path, seed: int) -> None:
    program, env = peers.client("curl")
    user, password = login(rig, "curl")
    place = f"pop3://127.0.0.1:{rig.port('pop3')}"

    def curl(*arguments: str) -> bytes:
        return run([program, "-sS", "-k", "-u", f"{user}:{password}", *arguments], env, tmp_path).stdout

    with Far(rig.port("imap"), (user, password)) as far:
        posts = filled(far, seed, 5)
        listed = [int(line.split()[1]) for line in curl(f"{place}/").splitlines()]
        assert listed == [len(post.octets) for post in posts]
        assert curl(f"{place}/2") == posts[1].octets
        assert curl("--ssl-reqd", "--login-options", "AUTH=PLAIN", f"{place}/3") == posts[2].octets
        assert curl("--sasl-ir", f"pop3s://127.0.0.1:{rig.port('pop3s')}/4") == posts[3].octets
        curl("-I", "-X", "DELE", f"{place}/5")
        assert far.held().keys() == {post.number for post in posts[:4]}
