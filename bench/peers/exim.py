"""Exim out of unpacked Debian packages: its own domain's mail into maildirs, the rest by MX, DANE, DKIM.

It takes its configuration from ``exim.conf`` of its directory alone and needs root; its user is one that it
finds in a passwd file of its own.
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

PACKAGES: Final = ("exim4-daemon-heavy",)
USER: Final = "news"
"""Whose ids Exim's own user has here."""
CONF: Final = """
primary_hostname = {hostname}
domainlist local_domains = {domains}
hostlist relay_from_hosts = 127.0.0.1
exim_user = {user}
exim_group = {user}
never_users =
keep_environment =
spool_directory = {place}/spool
log_file_path = {place}/%slog
pid_file_path = {place}/exim.pid
local_interfaces = {listen}
daemon_smtp_ports = 25
log_selector = +tls_cipher +tls_certificate_verified +tls_peerdn +dkim_verbose +smtp_connection
dns_dnssec_ok = 1
dkim_verify_signers = $dkim_signers
acl_smtp_rcpt = rcpt
acl_smtp_dkim = accept
acl_smtp_data = data
tls_advertise_hosts = *
tls_certificate = {place}/chain.pem
qualify_domain = {first}
timeout_frozen_after = 1d
begin acl
rcpt:
  accept domains = +local_domains
         verify = recipient
  require message = no such user here
          domains = ! +local_domains
  accept hosts = +relay_from_hosts
  deny message = no relaying
data:
  warn spf = pass : fail : softfail : none : neutral : temperror : permerror
  accept add_header = :at_start:${{authresults {{$primary_hostname}}}}
begin routers
out:
  driver = dnslookup
  domains = ! +local_domains
  transport = out
  dnssec_request_domains = *
  ignore_target_hosts = 0.0.0.0
  self = send
  no_more
local:
  driver = accept
  local_parts = {users}
  transport = maildir
begin transports
out:
  driver = smtp
  interface = {address}
  dnssec_request_domains = *
  hosts_try_dane = *
  dkim_domain = {first}
  dkim_selector = s1
  dkim_private_key = {place}/dkim.pem
  dkim_canon = relaxed
maildir:
  driver = appendfile
  directory = {place}/homes/$local_part_data
  maildir_format
  create_directory
  delivery_date_add
  envelope_to_add
  return_path_add
  user = {user}
begin retry
* * F,1h,5s
begin rewrite
begin authenticators
"""
KNOWN: Final = (
    'mount --bind "$1/resolv.conf" /etc/resolv.conf && mount --bind "$1/passwd" /etc/passwd '
    '&& mount --bind "$1/group" /etc/group && shift && exec "$@"'
)


class Exim:
    """One Exim at port 25 of ``address``; it relays for clients at 127.0.0.1."""

    def __init__(
        self,
        directory: pathlib.Path,
        *,
        address: str,
        hostname: str,
        domains: tuple[str, ...],
        users: tuple[str, ...],
        resolver: str,
        chain: bytes,
        key: bytes,
    ) -> None:
        """All users must reach ``directory``; ``resolver`` is at port 53; ``key`` signs as ``s1``."""
        self.prefix = packages.prefix(PACKAGES)
        self.directory = directory
        self.address = address
        self._session = 0
        user = pwd.getpwnam(USER)
        for name in ("spool", "homes"):
            (directory / name).mkdir()
        for name, octets in (("chain.pem", chain), ("dkim.pem", key)):
            (directory / name).write_bytes(octets)
        (directory / "passwd").write_text(
            pathlib.Path("/etc/passwd").read_text()
            + f"Debian-exim:x:{user.pw_uid}:{user.pw_gid}::/:/bin/false\n"
        )
        (directory / "group").write_text(
            pathlib.Path("/etc/group").read_text() + f"Debian-exim:x:{user.pw_gid}:\n"
        )
        (directory / "resolv.conf").write_text(f"nameserver {resolver}\noptions edns0 trust-ad\n")
        for each in (directory, *directory.iterdir()):
            os.chown(each, user.pw_uid, user.pw_gid)
        config = directory / "exim.conf"
        config.write_text(
            CONF.format(
                hostname=hostname,
                domains=" : ".join(domains),
                first=domains[0],
                user=USER,
                place=directory,
                listen=address,
                address=address,
                users=" : ".join(users),
            )
        )
        self._command = self.prefix.inside(
            "sh", "-c", KNOWN, "sh", str(directory), "/usr/sbin/exim4", "-C", str(config)
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its port is open a moment later."""
        with (self.directory / "stderr").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command, "-bdf", "-q5s"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._session = self._process.pid

    def log(self) -> str:
        """What it has said in its logs."""
        names = ("mainlog", "rejectlog", "paniclog", "stderr")
        files = [self.directory / name for name in names]
        return "".join(f.read_text("utf-8", "replace") for f in files if f.exists())

    def mails(self, user: str) -> list[bytes]:
        """Those of a mailbox."""
        return [f.read_bytes() for f in (self.directory / "homes" / user / "new").glob("*")]

    def stop(self) -> None:
        """End it and all it has started."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            victims = processes.tree(self._session)
            processes.kill(victims)
            self._process.wait(20)
            self._process = None
