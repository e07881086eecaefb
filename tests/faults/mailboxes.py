"""Reads back what the accounts of a server hold, over IMAP, for the ledger's judgement."""

import contextlib
import dataclasses
import time
from typing import Final

from bench.imap_client import Failed, Imap
from bench.server import Server
from tests.faults import ledger

RECOVERY_SECONDS: Final = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Contents:
    """Every account's INBOX."""

    stored: tuple[ledger.Stored, ...]
    uids: dict[str, list[int]]
    uid_validity: dict[str, int]


def read_all(server: Server) -> Contents:
    """Fetch every mail of every account's INBOX."""
    stored: list[ledger.Stored] = []
    uids: dict[str, list[int]] = {}
    validity: dict[str, int] = {}
    for address, password in server.accounts:
        with contextlib.closing(_logged_in(server, address, password)) as client:
            state = client.select()
            validity[address] = state["uid_validity"]
            uids[address] = []
            for uid, mail in client.fetch_bodies(state["exists"]):
                uids[address].append(uid)
                if (known := ledger.digest(mail)) is not None:
                    stored.append(ledger.Stored(address, uid, *known))
    return Contents(tuple(stored), uids, validity)


def _logged_in(server: Server, address: str, password: str) -> Imap:
    """A connection; a server that has just lost a process may close it or say UNAVAILABLE for a moment."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while True:
        try:
            return _log_in(server, address, password)
        except (Failed, OSError) as error:
            passing = isinstance(error, ConnectionError) or "UNAVAILABLE" in str(error)
            if not passing or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _log_in(server: Server, address: str, password: str) -> Imap:
    client = Imap(server.port("imap"))
    try:
        client.login(address, password)
    except BaseException:
        client.close()
        raise
    return client


def judge(server: Server, book: ledger.Ledger) -> ledger.Judgement:
    """Read all mailboxes and compare them with the ledger."""
    found = read_all(server)
    return ledger.judge(book.attempts(), found.stored, found.uids)
