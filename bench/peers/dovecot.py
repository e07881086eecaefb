"""Dovecot on loopback high ports: LMTP in, IMAP out, static password, no TLS unless asked.

Runs unmodified out of the unpacked prefix, with all state in one directory.  Needs root, as Dovecot's
master does to switch users; the users are those every Debian has.
"""

import grp
import os
import pathlib
import pwd
import signal
import subprocess
from typing import Final

from bench import processes
from bench.peers.packages import Prefix

LOGIN_USER: Final = "games"
INTERNAL_USER: Final = "list"
MAIL_USER: Final = "backup"
STORAGES: Final = {"maildir": "maildir:~/Maildir", "mdbox": "mdbox:~/mdbox"}

CONFIG: Final = """
base_dir = {run}
state_dir = {state}
log_path = {log}
instance_name = {name}
protocols = imap lmtp {protocols}
listen = 127.0.0.1
default_login_user = {login_user}
default_internal_user = {internal_user}
default_internal_group = {internal_group}
default_process_limit = 2000
default_client_limit = 20000
first_valid_uid = 1
first_valid_gid = 1
mail_location = {location}
mail_fsync = {fsync}
mail_max_userip_connections = 10000
imap_idle_notify_interval = 29 mins
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_cache_size = 0
ssl = {ssl}
{certificate}
stats_writer_socket_path =
passdb {{
  driver = static
  args = {passdb}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={homes}/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  process_min_avail = 1
  service_count = {login_service_count}
  client_limit = 4000
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 2000
  service_count = 200
  process_min_avail = 1
}}
service lmtp {{
  process_min_avail = 2
  inet_listener lmtp {{
    port = {lmtp_port}
  }}
}}
protocol lmtp {{
  {lmtp_extra}
}}
{extra}
"""


class Dovecot:
    """One Dovecot; ``directory`` must be reachable by users other than root."""

    name = "dovecot"

    def __init__(
        self,
        prefix: Prefix,
        directory: pathlib.Path,
        *,
        imap_port: int,
        lmtp_port: int,
        imaps_port: int = 0,
        storage: str = "maildir",
        passdb: str = "password=secret-a",
        fsync: str = "optimized",
        certificate: tuple[pathlib.Path, pathlib.Path] | None = None,
        protocols: str = "",
        lmtp_extra: str = "",
        extra: str = "",
    ) -> None:
        self.prefix = prefix
        self.directory = directory
        self.log = directory / "dovecot.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._session = 0
        user = pwd.getpwnam(MAIL_USER)
        for name in ("run", "state", "homes"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / "run").chmod(0o755)
        os.chown(directory / "homes", user.pw_uid, user.pw_gid)
        keys = "" if certificate is None else f"ssl_cert = <{certificate[0]}\nssl_key = <{certificate[1]}"
        self.config = directory / "dovecot.conf"
        self.config.write_text(
            CONFIG.format(
                run=directory / "run",
                state=directory / "state",
                homes=directory / "homes",
                log=self.log,
                name=directory.name,
                login_user=LOGIN_USER,
                internal_user=INTERNAL_USER,
                internal_group=grp.getgrgid(pwd.getpwnam(INTERNAL_USER).pw_gid).gr_name,
                location=STORAGES[storage],
                fsync=fsync,
                passdb=passdb,
                uid=user.pw_uid,
                gid=user.pw_gid,
                login_service_count=0,
                imap_port=imap_port,
                imaps_port=imaps_port,
                lmtp_port=lmtp_port,
                ssl="no" if certificate is None else "yes",
                certificate=keys,
                protocols=protocols,
                lmtp_extra=lmtp_extra,
                extra=extra,
            )
        )

    def start(self) -> None:
        """Start in the foreground of a child; sockets are open a moment later."""
        config = str(self.config)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.prefix.inside("/usr/sbin/dovecot", "-F", "-c", config),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            self._session = self._process.pid

    def doveadm(self, *arguments: str, **env: str) -> bytes:
        """Run doveadm on this instance; the environment says whose mail it is where no master runs."""
        command = self.prefix.inside("/usr/bin/doveadm", "-c", str(self.config), *arguments)
        return subprocess.run(command, check=True, capture_output=True, env={**os.environ, **env}).stdout

    def stop(self) -> None:
        """SIGTERM, wait."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(20)
            self._process = None

    def running(self) -> bool:
        """True while the master lives."""
        return self._process is not None and self._process.poll() is None

    def pids(self) -> list[int]:
        """The master first when it lives, then its children, orphans included."""
        return processes.tree(self._session) if self._session else []

    def reap(self) -> None:
        """Collect the master if it was killed."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None

    def cpu_seconds(self) -> float:
        """CPU of all its processes, the ended ones included."""
        return processes.cpu_seconds(self.pids())
