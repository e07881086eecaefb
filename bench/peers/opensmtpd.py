"""OpenSMTPD out of an unpacked Debian package: its own domain's mail into maildirs, the rest by MX.

It needs root, two users, which it finds in files of its own, and folders at fixed places, which are in
memory.
Debian 12's (6.8.0p2) offers STARTTLS and fails in every handshake as a server, since it was not made for
OpenSSL 3 (its issue 1171); as a client it speaks TLS.
"""

from __future__ import annotations

import os
import pathlib
import pwd
import signal
import subprocess
from typing import Final

from bench import processes
from bench.peers import packages

PACKAGES: Final = ("opensmtpd",)
USER: Final = "news"
"""Whose ids its users have here, and its mailboxes."""
CONF: Final = """
pki "shown" cert "{place}/cert.pem"
pki "shown" key "{place}/key.pem"
table people {{ {people} }}
listen on {address} port 25 tls pki "shown" hostname {hostname}
listen on socket
action "here" maildir "{place}/homes/%{{rcpt.user}}" virtual <people>
action "out" relay src {address} helo {hostname}
match from any for domain "{domain}" action "here"
match from src 127.0.0.1 for any action "out"
"""
AROUND: Final = (
    'place=$1 && shift && for each in spool lib; do mount -t tmpfs none "/var/$each" || exit 1; done '
    "&& mount -t tmpfs none /run && mkdir -p /var/spool/smtpd /var/lib/opensmtpd/empty "
    "&& chmod 711 /var/spool/smtpd "
    '&& resolver=$(readlink -m /etc/resolv.conf) && mkdir -p "${resolver%/*}" && : >>"$resolver" '
    '&& mount --bind "$place/resolv.conf" "$resolver" && mount --bind "$place/passwd" /etc/passwd '
    '&& mount --bind "$place/group" /etc/group && exec "$@"'
)


class OpenSmtpd:
    """One at port 25 of ``address``; it relays for clients at 127.0.0.1."""

    def __init__(
        self,
        directory: pathlib.Path,
        *,
        address: str,
        hostname: str,
        domain: str,
        users: tuple[str, ...],
        resolver: str,
        certificate: bytes,
        key: bytes,
    ) -> None:
        """All users must reach ``directory``; ``resolver`` is at port 53."""
        self.directory = directory
        self.address = address
        self._session = 0
        self._process: subprocess.Popen[bytes] | None = None
        user = pwd.getpwnam(USER)
        (directory / "homes").mkdir()
        os.chown(directory / "homes", user.pw_uid, user.pw_gid)
        known = {name: pathlib.Path("/etc", name).read_text() for name in ("passwd", "group")}
        for name, number in (("opensmtpd", user.pw_uid), ("opensmtpq", user.pw_uid + 1)):
            known["passwd"] += f"{name}:x:{number}:{number}::/:/bin/false\n"
            known["group"] += f"{name}:x:{number}:\n"
        files = {
            **{name: text.encode() for name, text in known.items()},
            "resolv.conf": f"nameserver {resolver}\n".encode(),
            "cert.pem": certificate,
            "key.pem": key,
            "smtpd.conf": CONF.format(
                place=directory,
                address=address,
                hostname=hostname,
                domain=domain,
                people=", ".join(f'"{name}" = "{USER}"' for name in users),
            ).encode(),
        }
        for name, octets in files.items():
            (directory / name).write_bytes(octets)
            (directory / name).chmod(0o600 if name == "key.pem" else 0o644)
        self._command = packages.prefix(PACKAGES).inside(
            "sh", "-c", AROUND, "sh", str(directory), "/usr/sbin/smtpd", "-d", "-f",
            str(directory / "smtpd.conf"),
        )  # fmt: skip

    def start(self) -> None:
        """Start it; its port is open a moment later."""
        with (self.directory / "stderr").open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._session = self._process.pid

    def log(self) -> str:
        """What it has said."""
        return (self.directory / "stderr").read_text("utf-8", "replace")

    def mails(self, user: str) -> list[bytes]:
        """Those of a mailbox."""
        return [f.read_bytes() for f in (self.directory / "homes" / user / "new").glob("*")]

    def stop(self) -> None:
        """End it and all it has started."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            processes.kill(processes.tree(self._session))
            self._process.wait(20)
            self._process = None
