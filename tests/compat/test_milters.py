"""A whole server with Debian's opendkim and rspamd as its filters."""

from __future__ import annotations

import base64
import pathlib
import shutil
import smtplib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.rig import Rig

WITHIN = 60.0
BODY = "".join(f"line {n} with trailing blanks   \r\n" for n in range(200)) + "\r\n\r\n"
MAIL = f"From: <alice@example.test>\r\nTo: bob@example.test\r\nSubject: signed\r\n by a filter\r\n\r\n.{BODY}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def signing_key(folder: pathlib.Path, domain: str) -> tuple[pathlib.Path, pathlib.Path]:
    """A key for opendkim, made once, and its record as ``NAME v=DKIM1...``."""
    key, public = folder / "key.pem", folder / "public"
    if not key.exists():
        made = rsa.generate_private_key(65537, 2048)
        pem, pkcs8, none = (
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        key.write_bytes(made.private_bytes(pem, pkcs8, none))
        der = made.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        public.write_text(f"s1._domainkey.{domain} v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}\n")
        key.chmod(0o600)
    return key, public


@contextmanager
def opendkim(folder: pathlib.Path, mode: str, where: str, domain: str = "example.test") -> Iterator[None]:
    """opendkim in one mode at ``where`` (its own notation), with a key for the domain; it knows the records
    in ``folder / "public"`` alone."""
    program = shutil.which("opendkim") or shutil.which("/usr/sbin/opendkim")
    if program is None:
        pytest.skip("absent: opendkim")
    key, public = signing_key(folder, domain)
    conf = folder / f"{mode}.conf"
    conf.write_text(
        f"Mode {mode}\nSocket {where}\nDomain {domain}\nSelector s1\nKeyFile {key}\n"
        f"TestPublicKeys {public}\n"
        "Canonicalization simple/simple\nRequireSafeKeys no\nSyslog no\nAlwaysAddARHeader yes\n"
        f"AuthservID verifier.test\nInternalHosts {'192.0.2.99' if mode == 'v' else '127.0.0.1'}\n"
    )
    with subprocess.Popen([program, "-f", "-x", str(conf)], stderr=subprocess.PIPE) as process:
        try:
            _wait(where)
            yield
        finally:
            process.terminate()


def _wait(where: str, seconds: float = WITHIN) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if where.startswith("local:"):
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(where[6:])
            else:
                port = int(where.removeprefix("inet:").partition("@")[0])
                socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nobody answers at {where}"
            time.sleep(0.05)
        else:
            return


def stored(rig: Rig, folder: pathlib.Path, address: str) -> list[bytes]:
    rig.verb("export", str(folder), address)
    return [f.read_bytes() for f in folder.rglob("*") if f.is_file() and f.parent.name in {"cur", "new"}]


def test_what_opendkim_signs_by_us_it_verifies_by_us(tmp_path: pathlib.Path) -> None:
    port, path = free_port(), tmp_path / "verifier.sock"
    with ExitStack() as stack:
        stack.enter_context(opendkim(tmp_path, "s", f"inet:{port}@127.0.0.1"))
        stack.enter_context(opendkim(tmp_path, "v", f"local:{path}"))
        (tmp_path / "one").mkdir()
        (tmp_path / "two").mkdir()
        signer = stack.enter_context(
            Rig(tmp_path / "one", settings=(f"milter.servers=127.0.0.1:{port}", "milter.doors=submission"))
        )
        with smtplib.SMTP("127.0.0.1", signer.port("submission")) as client:
            client.login("alice@example.test", "secret-a")
            client.sendmail("alice@example.test", ["bob@example.test"], MAIL)
        (signed,) = stored(signer, tmp_path / "signed", "bob@example.test")
        assert signed.count(b"DKIM-Signature: ") == 1 and b"d=example.test; s=s1" in signed
        assert signed.index(b"Received: ") < signed.index(b"DKIM-Signature: ")

        verifier = stack.enter_context(
            Rig(tmp_path / "two", settings=(f"milter.servers=unix:{path}", "milter.doors=smtp"))
        )
        outside = signed[signed.index(b"Received: ") :]
        with smtplib.SMTP("127.0.0.1", verifier.port("smtp")) as client:  # one session of the filter, too
            client.sendmail("alice@example.test", ["bob@example.test"], outside)
            client.ehlo()
            client.mail("nobody@example.test")
            client.rcpt("bob@example.test")
            client.rset()
            altered = outside.replace(b"line 7 ", b"line 8 ")
            client.sendmail("alice@example.test", ["bob@example.test"], altered)
        results = stored(verifier, tmp_path / "verified", "bob@example.test")
        words = sorted(
            word
            for mail in results
            for word in (b"dkim=pass", b"dkim=fail")
            if b"verifier.test;" in mail and word in mail
        )
        assert words == [b"dkim=fail", b"dkim=pass"]


RSPAMD: dict[str, str] = {
    "override.d/worker-proxy.inc": """bind_socket = "127.0.0.1:{port}"; milter = yes; count = 1;
        upstream "local" {{ default = yes; self_scan = yes; }}""",
    "override.d/worker-normal.inc": "enabled = false;",
    "override.d/worker-controller.inc": "enabled = false;",
    "override.d/worker-fuzzy.inc": "enabled = false;",
    "override.d/logging.inc": """type = "console"; level = "error";""",
    "override.d/options.inc": """dns {{ timeout = 0.1s; retransmits = 1; nameserver = ["127.0.0.1:9"]; }}
        local_addrs = ["192.0.2.99/32"]; control_socket = "{folder}/control.sock";
        url_tld = "{folder}/suffixes";""",
    "local.d/milter_headers.conf": "skip_local = false; extended_spam_headers = true;",
}
"""Its Debian configuration, alone on one port and without questions to the network. Of the public suffixes it
knows two: compiling all of them took it 16 of its 17 seconds."""
ASKS_THE_NETWORK = (
    "rbl",
    "surbl",
    "phishing",
    "fuzzy_check",
    "neural",
    "mx_check",
    "asn",
    "greylist",
    "ratelimit",
)
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


@contextmanager
def rspamd(folder: pathlib.Path, port: int, seconds: float = WITHIN) -> Iterator[None]:
    program, debian = shutil.which("rspamd"), pathlib.Path("/etc/rspamd")
    if program is None or not debian.exists():
        pytest.skip("absent: rspamd")
    conf = folder / "conf"
    shutil.copytree(debian, conf)
    (folder / "suffixes").write_text("test\ncom\n")
    for name, text in RSPAMD.items():
        (conf / name).parent.mkdir(exist_ok=True)
        (conf / name).write_text(text.format(port=port, folder=folder))
    for module in ASKS_THE_NETWORK:
        (conf / "override.d" / f"{module}.conf").write_text("enabled = false;")
    command = [program, "-f", "-i", "-c", str(conf / "rspamd.conf")]
    for name, value in (
        ("CONFDIR", conf),
        ("LOCAL_CONFDIR", conf),
        ("DBDIR", folder),
        ("RUNDIR", folder),
        ("LOGDIR", folder),
    ):
        command += ["--var", f"{name}={value}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(f"inet:{port}", seconds)
            yield
        finally:
            process.terminate()


def test_rspamd_refuses_marks_and_is_missed_when_it_is_gone(tmp_path: pathlib.Path) -> None:
    port = free_port()
    (tmp_path / "rspamd").mkdir()
    head = "From: <carol@b.test>\r\nTo: alice@example.test\r\nSubject: x\r\nMessage-ID: <1@b.test>\r\n\r\n"
    with Rig(tmp_path, settings=(f"milter.servers=127.0.0.1:{port}",)) as rig:

        def send(body: str) -> None:
            with smtplib.SMTP("127.0.0.1", rig.port("smtp"), local_hostname="mx.b.test") as client:
                client.sendmail("carol@b.test", ["alice@example.test"], head + body + "\r\n")

        with rspamd(tmp_path / "rspamd", port):
            send("hello")
            with pytest.raises(smtplib.SMTPDataError) as refused:
                send(GTUBE)
            assert refused.value.smtp_code == 550 and b"5.7.1 Gtube pattern" in refused.value.smtp_error  # type: ignore[operator]
        with pytest.raises(smtplib.SMTPDataError) as later:
            send("nobody looks")
        assert later.value.smtp_code == 451
        (mail,) = stored(rig, tmp_path / "out", "alice@example.test")
        assert b"\r\nX-Spamd-Result: default: False [" in mail and mail.endswith(b"\r\n\r\nhello\r\n")
