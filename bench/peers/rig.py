"""Postfix -> LMTP -> Dovecot as one server, with the same verbs as ``tests.rig.Rig``."""

import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Mapping
from typing import Final, Self

from bench import ports, processes
from bench.peers import packages
from bench.peers.dovecot import Dovecot
from bench.peers.postfix import Postfix
from bench.server import wait_banner

ACCOUNTS: Final = (("alice@example.test", "secret-a"), ("bob@example.test", "secret-a"))
FLUSH_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.02


class PeerRig:
    """The peer; every address of example.test exists, all with one static password."""

    def __init__(
        self,
        *,
        storage: str = "maildir",
        accounts: tuple[tuple[str, str], ...] = ACCOUNTS,
        domain: str = "example.test",
        log: bool = False,
        folder: pathlib.Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """``settings`` are Postfix's."""
        self.name = f"postfix+dovecot {storage}"
        self.accounts = accounts
        prefix = packages.prefix()
        prefix.check_inside()
        self._ports = ports.reserve()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="a3mailer-peer-", dir=folder))
        self.directory.chmod(0o755)
        self.dovecot = Dovecot(
            prefix,
            self.directory,
            imap_port=self.port("imap"),
            lmtp_port=self.port("lmtp"),
            storage=storage,
            passdb=f"password={accounts[0][1]}",
        )
        self.postfix = Postfix(
            prefix,
            self.directory,
            smtp_port=self.port("smtp"),
            transport=f"lmtp:inet:127.0.0.1:{self.port('lmtp')}",
            log=log,
            settings={"virtual_mailbox_domains": domain, **(settings or {})},
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def port(self, listener: str) -> int:
        """The port of ``smtp``, ``lmtp`` or ``imap``."""
        return self._ports.port(listener)

    def start(self, timeout: float = 30) -> float:
        """Start both and wait for their greetings; what an earlier life left over is killed first."""
        self.kill()
        begun = time.monotonic()
        self.dovecot.start()
        self.postfix.start()
        for listener in ("imap", "smtp"):
            wait_banner(self.port(listener), begun + timeout)
        return time.monotonic() - begun

    def running(self) -> bool:
        """True while both masters live."""
        return self.dovecot.running() and self.postfix.running()

    def pids(self) -> list[int]:
        """All processes of both."""
        return [*self.postfix.pids(), *self.dovecot.pids()]

    def kill(self, pid: int | None = None) -> None:
        """SIGKILL to one process or to all."""
        victims = self.pids() if pid is None else [pid]
        processes.kill(victims)
        processes.wait_gone(victims)
        for part in (self.dovecot, self.postfix):
            part.reap()

    def stop(self, timeout: float = 20) -> None:
        """End both cleanly."""
        self.postfix.stop()
        self.dovecot.stop()

    def close(self) -> None:
        """Kill what still runs and remove all of it."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
        self._ports.release()

    def cpu_seconds(self) -> float:
        """CPU of all processes of both."""
        return self.postfix.cpu_seconds() + self.dovecot.cpu_seconds()

    def queued(self) -> int:
        """Mails in Postfix's queue."""
        return self.postfix.queued()

    def drain(self, timeout: float = 180) -> None:
        """Wait until the queue is empty; deferred mails are tried again now and then."""
        begun = time.monotonic()
        flushed = begun
        while left := self.queued():
            now = time.monotonic()
            if now - begun > timeout:
                raise TimeoutError(f"{left} mails still queued")
            if now - flushed > FLUSH_SECONDS:
                self.postfix.flush()
                flushed = now
            time.sleep(POLL_SECONDS)

    def delivered(self) -> int:
        """Mails in the maildirs (``mdbox`` keeps several in a file and cannot be counted so)."""
        homes = self.directory / "homes"
        return sum(len(files) for box in homes.glob("*/Maildir/new") for _, _, files in os.walk(box))
