"""The SMTP door, its real policy, directory and logins over a directory in memory; mails end in a list."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Collection
from pathlib import Path

import msgspec

from a3mailer.config.scripts import STAGES
from a3mailer.config.tree import Auth, Limits, Queue, Server, Settings, Smtp
from a3mailer.config.tree import Policy as PolicySettings
from a3mailer.edge.lmtp.profile import LMTP
from a3mailer.edge.smtp.profiles import MX, SUBMISSION, SUBMISSIONS
from a3mailer.edge.smtp.session import SmtpDoor
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.credentials import hash_password
from a3mailer.identity.directory import Directory
from a3mailer.identity.tokens import digest
from a3mailer.mail import errors
from a3mailer.mail.errors import MailError
from a3mailer.runtime.shared import SharedTable
from a3mailer.store.operations import PutToken
from a3mailer.telemetry.events import Secret
from a3mailer.testing.memory_connection import MemoryConnection
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.policy.judge import NOBODY, Judges
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.policy.scripts import Scripts
from a3mailer.transfer.policy.stages import Stages
from tests.tree import ROOT
from tests.unit.identity.directory_rows import Rows
from tests.unit.identity.world import Audit, Clock

PROFILES = {"mx": MX, "submission": SUBMISSION, "submissions": SUBMISSIONS, "lmtp": LMTP}
TRACE = "0123456789abcdef"
STORED = hash_password(Secret("secret-a"))


class Kept:
    """Stands where ``transfer.receive`` does: keeps the arrivals; ``fail`` and some recipients fail."""

    def __init__(self, fail: str = "", judges: Judges = NOBODY) -> None:
        self.judges = judges
        self.arrivals: list[Arrival] = []
        self.octets: list[bytes] = []
        self.fail = fail
        self.doubted: list[bytes] = []

    async def doubt(self, fingerprints: Collection[bytes]) -> None:
        self.doubted += fingerprints

    async def __call__(self, arrival: Arrival) -> tuple[MailError | None, ...]:
        if self.fail:
            raise getattr(errors, self.fail)
        if self.judges.wanted(arrival):
            arrival = (await self.judges(arrival)).arrival
        self.arrivals.append(arrival)
        self.octets.append(bytes(arrival.octets[:]))
        arrival.kept(b"mail %d" % len(self.arrivals))
        return tuple(
            errors.NoSuchAccount() if str(r.address).startswith("gone") else None
            for r in arrival.envelope.recipients
        )


def example(language: str = "en") -> str:
    """The script that the documents show."""
    page = (ROOT / "docs" / language / "operate.md").read_text("utf-8")
    return page.partition("```sieve\n")[2].partition("```")[0]


def directory_rows() -> Rows:
    rows = Rows()
    rows.put_domain("example.test")
    rows.put_domain("xn--bcher-kva.test")
    alice = rows.put_account("alice@example.test", secret=STORED)
    for name in ("bob", "gone", "o'neil", "postmaster"):
        rows.put_account(f"{name}@example.test", secret=STORED)
    rows.put_account("grüße@example.test")
    rows.put_account("bob@xn--bcher-kva.test")
    full = rows.put_account("full@example.test")
    rows.change(full.id, quota=10, used_octets=11)
    rows.put_alias("sales@example.test", "alice@example.test")
    rows.put_alias("board@example.test", "alice@example.test")
    rows.put_account("scanner@example.test", secret=STORED)
    rows.put_token(PutToken(alice.id, digest(Secret("a3_transcript")), "x", "smtp", 0, 0))
    assert alice.id == 1
    return rows


class SmtpWorld:
    """One server; ``options`` are a transcript's (README in this folder)."""

    def __init__(self, spool: Path, options: dict[str, str] | None = None) -> None:
        options = options or {}
        smtp = {k[5:]: float(v) if "." in v else int(v) for k, v in options.items() if k.startswith("smtp.")}
        self.settings = Settings(
            server=Server(hostname="mx.example.test", domain="example.test"),
            smtp=msgspec.convert(smtp, Smtp),
            queue=Queue(
                priority_trusted=tuple(options.get("trusted", "").split()),
                hold_seconds=int(options.get("hold", "2592000")),
            ),
            auth=Auth(plaintext="plaintext" in options, scram="scram" in options),
            limits=Limits(tarpit_seconds=0.0),
        )
        self.rows = directory_rows()
        self.clock = Clock()
        directory = Directory(self.rows, self.settings)
        self.authenticator = Authenticator(
            self.rows, self.settings, self.clock, Audit(), b"k" * 32, self._sleep
        )
        stages, judges = self._scripted(spool / "scripts") if "scripts" in options else (None, NOBODY)
        self.kept = Kept(options.get("fail", ""), judges)
        self.profile = PROFILES[options.get("profile", "mx")]
        self.secure = "secure" in options or options.get("profile") == "submissions"
        self.loopback = "loopback" in options
        self.certified = tuple(options.get("certified", "").split())
        self.peer = options.get("peer", "192.0.2.1")
        self.door = SmtpDoor(
            Policy(self.rows, directory, self.settings, stages=stages),
            self.kept,  # type: ignore[arg-type]
            self.authenticator,
            lambda: self.settings,
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            spool,
            clock=self.clock,
        )

    def _scripted(self, folder: Path) -> tuple[Stages, Judges]:
        """The example of the documents at every stage."""
        folder.mkdir()
        (folder / "policy.sieve").write_bytes(example().replace("example.org", "example.test").encode())
        texts = tuple(f"{stage}=policy.sieve" for stage in STAGES)
        self.settings = msgspec.structs.replace(self.settings, policy=PolicySettings(scripts=texts))
        scripts = Scripts(folder, self.settings)
        shutil.rmtree(folder)
        tables = SharedTable(8, 1.0), SharedTable(8, 1.0)
        stages = Stages(scripts.checks(), FakeResolver(), self.clock, *tables, self.settings)
        return stages, Judges({"scripts": scripts})

    async def _sleep(self, seconds: float) -> None:
        self.clock.time += seconds

    def connect(self, number: int) -> MemoryConnection:
        peer = self.peer
        local = "127.0.0.1" if self.loopback else "192.0.2.25"
        connection = MemoryConnection((peer, 40000 + number), (local, 25), secure=self.secure)
        connection.names = self.certified
        return connection

    async def serve(self, connection: MemoryConnection) -> None:
        await self.door.serve(connection, self.profile, TRACE)
