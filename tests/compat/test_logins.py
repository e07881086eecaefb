"""Ways to log in, with programs and libraries that are not ours: gsasl, curl, and Python's clients.

SCRAM bound to TLS 1.3 (gsasl), bearer tokens (curl), client certificates (Python's and curl's TLS).
"""

from __future__ import annotations

import imaplib
import pathlib
import poplib
import smtplib
import ssl
from collections.abc import Iterator
from typing import Final

import pytest

from tests import peers
from tests.certificates import authority, of_client
from tests.compat.test_fetchers import run
from tests.rig import Rig

SCRAM: Final = ("scram@example.test", "p=nc,il")
ALICE: Final = ("alice@example.test", "secret-a")
BOB: Final = ("bob@example.test", "secret-b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("logins")


@pytest.fixture(scope="module")
def rig(folder: pathlib.Path) -> Iterator[Rig]:
    """One server that knows an authority of client certificates, and keeps SCRAM verifiers."""
    known, stranger = authority("Known"), authority("Stranger")
    for name, made in (("alice", of_client(ALICE[0], known)), ("stranger", of_client(ALICE[0], stranger))):
        (folder / f"{name}.pem").write_bytes(made.pem + made.key_pem)
    rig = Rig(folder, accounts=(ALICE, BOB))
    rig.init()
    (rig.directory / "clients.pem").write_bytes(known.pem)
    rig.verb("config", "set", "tls.client_authorities", "clients.pem")
    with rig:
        rig.verb("domain", "set", "example.test", "--scram", "on")
        rig.run(
            "account", "add", SCRAM[0], "--password-stdin", "--dir", str(rig.directory),
            stdin=SCRAM[1].encode() + b"\n",
        )  # fmt: skip
        yield rig


def tls(folder: pathlib.Path, client: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if client:
        context.load_cert_chain(folder / f"{client}.pem")
    return context


# --- SCRAM by gsasl --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("door", "mechanism", "priority"),
    [
        ("imap", "SCRAM-SHA-256-PLUS", "NORMAL"),
        ("imap", "SCRAM-SHA-256", "NORMAL --no-cb"),
        ("submission", "SCRAM-SHA-256-PLUS", "NORMAL"),
        ("submission", "PLAIN", "NORMAL"),
        ("imap", "LOGIN", "NORMAL"),
    ],
)
def test_gsasl_logs_in(rig: Rig, tmp_path: pathlib.Path, door: str, mechanism: str, priority: str) -> None:
    """Under TLS 1.3 gsasl binds by tls-exporter (RFC 9266)."""
    program, env = peers.client("gsasl")
    way = "--imap" if door == "imap" else "--smtp"
    command = [
        program,
        way,
        "--starttls",
        "--x509-ca-file=",
        *f"--priority={priority}".split(),
        "-m",
        mechanism,
    ]
    command += ["-a", SCRAM[0], "--quiet"]
    place = ["127.0.0.1", str(rig.port(door))]
    done = run([*command, "-p", SCRAM[1], *place], env, tmp_path)
    said = done.stdout + done.stderr
    assert b" OK " in said or b"235 " in said or done.returncode == 0
    run([*command, "-p", "wrong", *place], env, tmp_path, codes=(1,))


# --- bearer tokens by curl -------------------------------------------------------------------------------


def token_of(rig: Rig, address: str, *scopes: str) -> str:
    given = [word for scope in scopes for word in ("--scope", scope)]
    return str(rig.verb("token", "add", address, "--name", "x", *given)["token"])


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
@pytest.mark.parametrize("first", [(), ("--sasl-ir",)], ids=["asked", "initial"])
def test_curl_logs_in_with_a_token(
    rig: Rig, tmp_path: pathlib.Path, mechanism: str, first: tuple[str, ...]
) -> None:
    program, env = peers.client("curl")
    good = token_of(rig, ALICE[0], "mailbox", "message", "smtp")
    command = [program, "-sS", "-k", *first, "--login-options", f"AUTH={mechanism}", "-u", f"{ALICE[0]}:"]
    (tmp_path / "mail").write_bytes(b"From: alice@example.test\r\nSubject: by token\r\n\r\nx\r\n")
    sent = ["--mail-from", ALICE[0], "--mail-rcpt", ALICE[0], "-T", str(tmp_path / "mail")]
    for place, more in (
        (f"imaps://127.0.0.1:{rig.port('imaps')}/", []),
        (f"pop3s://127.0.0.1:{rig.port('pop3s')}/", []),
        (f"smtps://127.0.0.1:{rig.port('submissions')}/", sent),
    ):
        run([*command, "--oauth2-bearer", good, *more, place], env, tmp_path)
        refused = run([*command, "--oauth2-bearer", "a3_wrong", *more, place], env, tmp_path, codes=(67, 94))
        assert good.encode() not in refused.stderr
    scoped = token_of(rig, ALICE[0], "smtp")
    run(
        [*command, "--oauth2-bearer", scoped, f"pop3s://127.0.0.1:{rig.port('pop3s')}/"], env, tmp_path, (67,)
    )


# --- client certificates ---------------------------------------------------------------------------------


def test_a_certificate_logs_in_at_every_door(rig: Rig, folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    context = tls(folder, "alice")
    imap = imaplib.IMAP4_SSL("127.0.0.1", rig.port("imaps"), ssl_context=context)
    assert "AUTH=EXTERNAL" in imap.capabilities
    imap.authenticate("EXTERNAL", lambda _: b"")
    assert imap.select()[0] == "OK"
    imap.logout()
    imap = imaplib.IMAP4("127.0.0.1", rig.port("imap"))
    imap.starttls(context)
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        imap.authenticate("EXTERNAL", lambda _: b"bob@example.test")
    imap.authenticate("EXTERNAL", lambda _: b"alice@example.test")
    imap.logout()
    with smtplib.SMTP("127.0.0.1", rig.port("submission")) as smtp:
        smtp.starttls(context=context)
        smtp.ehlo()
        assert "EXTERNAL" in smtp.esmtp_features["auth"]
        assert smtp.auth("EXTERNAL", lambda _=None: "")[0] == 235
        assert smtp.mail(ALICE[0])[0] == 250
    pop3 = poplib.POP3_SSL("127.0.0.1", rig.port("pop3s"), context=context)
    assert "EXTERNAL" in pop3.capa()["SASL"]
    assert pop3._shortcmd("AUTH EXTERNAL =").startswith(b"+OK")
    pop3.quit()
    program, env = peers.client("curl")
    command = [program, "-sS", "-k", "--cert", str(folder / "alice.pem"), "--login-options", "AUTH=EXTERNAL"]
    run([*command, "-u", f"{ALICE[0]}:", f"imaps://127.0.0.1:{rig.port('imaps')}/"], env, tmp_path)


def test_without_a_certificate_all_is_as_before(rig: Rig, folder: pathlib.Path) -> None:
    imap = imaplib.IMAP4_SSL("127.0.0.1", rig.port("imaps"), ssl_context=tls(folder))
    assert "AUTH=EXTERNAL" not in imap.capabilities
    imap.login(*ALICE)
    imap.logout()


def test_a_strangers_certificate_is_no_login_and_mail_comes_in_all_the_same(
    rig: Rig, folder: pathlib.Path
) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError, imaplib.IMAP4.abort)):
        imaplib.IMAP4_SSL("127.0.0.1", rig.port("imaps"), ssl_context=tls(folder, "stranger"))
    with smtplib.SMTP("127.0.0.1", rig.port("smtp")) as smtp:  # the world's servers are not asked for theirs
        smtp.starttls(context=tls(folder, "stranger"))
        smtp.sendmail("eve@elsewhere.test", [BOB[0]], b"Subject: x\r\n\r\nx\r\n")
