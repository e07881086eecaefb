"""Postfix on loopback high ports, relaying everything to one next hop: LMTP to Dovecot, or SMTP to us.

Tuned for a fair race (no DNS, no TLS unless asked, no milters, no chroot, no delays).  Runs unmodified out
of the unpacked prefix; needs root, as its master does; the users are those every Debian has.
"""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping
from typing import Final

from bench import processes
from bench.peers.packages import Prefix

MAIL_OWNER: Final = "news"
SETGID_GROUP: Final = "uucp"
OWNED: Final = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private")
OWNED_TOO: Final = ("saved", "trace")
QUEUES: Final = ("incoming", "active", "deferred", "maildrop")

MAIN: Final = {
    "compatibility_level": "3.6",
    "mail_owner": MAIL_OWNER,
    "setgid_group": SETGID_GROUP,
    "myhostname": "mx.peer.test",
    "mydestination": "",
    "mynetworks": "127.0.0.0/8",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "smtp_dns_support_level": "disabled",
    "smtpd_peername_lookup": "no",
    "smtpd_relay_restrictions": "permit_mynetworks, reject",
    "smtpd_recipient_restrictions": "",
    "smtpd_client_connection_count_limit": "0",
    "smtpd_client_connection_rate_limit": "0",
    "in_flow_delay": "0",
    "alias_maps": "",
    "alias_database": "",
    "local_recipient_maps": "",
    "local_header_rewrite_clients": "",
    "message_drop_headers": "",
    "header_size_limit": "52428800",
    "smtp_line_length_limit": "0",
    "lmtp_line_length_limit": "0",
    "virtual_mailbox_maps": "static:all",
    "virtual_mailbox_domains": "example.test",
    "lmtp_destination_concurrency_limit": "20",
    "lmtp_destination_recipient_limit": "1",
    "lmtp_connection_cache_on_demand": "yes",
    "default_process_limit": "100",
    "message_size_limit": "52428800",
    "mailbox_size_limit": "0",
    "service_throttle_time": "1s",  # a killed daemon is replaced at once, as ours is
    "transport_retry_time": "1s",
    "biff": "no",
    "minimal_backoff_time": "5s",
    "maximal_backoff_time": "20s",
    "queue_run_delay": "5s",
}

RESOLVING: Final = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'

MASTER: Final = """
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
local     unix  - n n - - local
virtual   unix  - n n - - virtual
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """One Postfix; ``directory`` must be reachable by users other than root."""

    name = "postfix"

    def __init__(
        self,
        prefix: Prefix,
        directory: pathlib.Path,
        *,
        smtp_port: int,
        transport: str,
        log: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """``transport`` in Postfix's words: ``lmtp:inet:HOST:PORT``, ``smtp:[HOST]:PORT``, ``discard:``."""
        self.prefix = prefix
        self.directory = directory
        self.log = directory / "postfix.log"
        self.queue = directory / "queue"
        self.config = directory / "postfix"
        self.resolver = ""
        """The address of a name server (port 53) to ask and believe in place of the machine's."""
        self._process: subprocess.Popen[bytes] | None = None
        self._session = 0
        self._lay_out()
        main = {
            **MAIN,
            "queue_directory": str(self.queue),
            "data_directory": str(directory / "data"),
            "virtual_transport": transport,
            "default_transport": transport,
            "relay_transport": transport,
            **({"maillog_file": str(self.log), "maillog_file_prefixes": str(directory)} if log else {}),
            **(settings or {}),
        }
        (self.config / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in main.items()))
        (self.config / "master.cf").write_text(MASTER.format(port=smtp_port))

    def _lay_out(self) -> None:
        owner = pwd.getpwnam(MAIL_OWNER).pw_uid
        for folder in (self.config, self.queue, self.queue / "pid", self.directory / "data"):
            folder.mkdir(parents=True, exist_ok=True)
        os.chown(self.directory / "data", owner, -1)
        for name in (*OWNED, *OWNED_TOO):
            (self.queue / name).mkdir(mode=0o700, exist_ok=True)
            os.chown(self.queue / name, owner, -1)
        for name, mode in (("maildrop", 0o730), ("public", 0o710)):
            (self.queue / name).mkdir(exist_ok=True)
            shutil.chown(self.queue / name, MAIL_OWNER, SETGID_GROUP)
            (self.queue / name).chmod(mode)

    def start(self) -> None:
        """Start the master as a child that stays in the foreground; the port is open a moment later."""
        command = ["/usr/lib/postfix/sbin/master", "-c", str(self.config), "-d"]
        if self.resolver:
            names = self.directory / "resolv.conf"
            names.write_text(f"nameserver {self.resolver}\noptions edns0 trust-ad\n")
            command = ["sh", "-c", RESOLVING, "sh", str(names), *command]
        self._process = subprocess.Popen(
            self.prefix.inside(*command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._session = self._process.pid

    def queued(self) -> int:
        """Mails accepted and not yet delivered; a file without the x bit is one never acknowledged."""
        count = 0
        for folder, _, files in (walked for name in QUEUES for walked in os.walk(self.queue / name)):
            for name in files:
                with contextlib.suppress(FileNotFoundError):
                    count += bool(pathlib.Path(folder, name).stat().st_mode & stat.S_IXUSR)
        return count

    def flush(self) -> None:
        """Try every deferred mail now."""
        command = self.prefix.inside("/usr/sbin/postqueue", "-c", str(self.config), "-f")
        subprocess.run(command, check=True, capture_output=True)

    def stop(self) -> None:
        """SIGTERM the master and its children, wait."""
        if self._process is not None:
            for pid in processes.tree(self._process.pid)[1:]:
                processes.signal_gently(pid, signal.SIGTERM)
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
