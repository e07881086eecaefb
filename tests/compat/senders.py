"""Ways in: Postfix's smtp-source, swaks, the standard library's smtplib over TLS."""

import dataclasses
import os
import pathlib
import smtplib
import ssl
import subprocess
from collections.abc import Sequence
from typing import Final

from tests import peers
from tests.compat.post import Post, unix

SENDER: Final = "sender@load.test"
PROGRAM_SECONDS: Final = 60


def anyone() -> ssl.SSLContext:
    """A client's context that takes the rig's self-signed certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def smtp_source(port: int, posts: Sequence[Post], recipient: str, folder: pathlib.Path) -> list[Post]:
    """One run a mail; it takes a Unix file, makes CRLF and dot-stuffs.  Returns what it sends.

    QUIRK: it ends the last line itself, whether it is ended or not: one empty line more.
    """
    found = peers.prefix()
    env = found.env()
    env["LD_LIBRARY_PATH"] += f":{found.root}/usr/lib/postfix"
    path = folder / "smtp-source.eml"
    for post in posts:
        path.write_bytes(unix(post.octets))
        command = [found.program("smtp-source"), "-F", str(path), "-f", SENDER, "-t", recipient]
        subprocess.run(
            [*command, f"127.0.0.1:{port}"], check=True, env=env, capture_output=True, timeout=PROGRAM_SECONDS
        )
    return [dataclasses.replace(post, octets=post.octets + b"\r\n") for post in posts]


def takes_smtp_source(post: Post) -> bool:
    """QUIRK: smtp-source handles lines as C strings: a NUL would end the line."""
    return b"\0" not in post.octets


def swaks(
    port: int, posts: Sequence[Post], recipient: str, folder: pathlib.Path, *, tls: bool = True
) -> None:
    """One run a mail, with STARTTLS; ``--no-data-fixup``: the file is DATA exactly as it goes out."""
    program, env = peers.client("swaks")
    path = folder / "swaks.eml"
    for post in posts:
        path.write_bytes(post.dotted)
        command = [program, "--server", f"127.0.0.1:{port}", "--from", SENDER, "--to", recipient]
        command += ["--no-data-fixup", "--data", f"@{path}", "--silent", "1", *(["-tls"] if tls else [])]
        subprocess.run(
            command, check=True, env={**os.environ, **env}, capture_output=True, timeout=PROGRAM_SECONDS
        )


def smtplib_starttls(port: int, posts: Sequence[Post], recipient: str, *, tls: bool = True) -> None:
    """All on one connection, after STARTTLS."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        if tls:
            client.starttls(context=anyone())
        for post in posts:
            refused = client.sendmail(SENDER, [recipient], post.octets)
            assert not refused


def smtplib_submissions(port: int, posts: Sequence[Post], login: tuple[str, str], recipient: str) -> None:
    """All on one connection, implicit TLS, authenticated."""
    with smtplib.SMTP_SSL("127.0.0.1", port, timeout=60, context=anyone()) as client:
        client.login(*login)
        for post in posts:
            refused = client.sendmail(login[0], [recipient], post.octets)
            assert not refused


def lmtp(port: int, posts: Sequence[Post], recipient: str) -> None:
    """All on one LMTP connection."""
    with smtplib.LMTP("127.0.0.1", port) as client:
        for post in posts:
            refused = client.sendmail(SENDER, [recipient], post.octets)
            assert not refused
