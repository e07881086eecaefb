"""kill -9 of a server that relays to another one of ours: all arrives there, nothing twice.

Between the moment the next server has a mail and the moment our queue has recorded it lies the window of RFC
1047: a relay that dies in it sends the mail again. The other server knows it by its octets (ADR 0010); how
many came in the window is printed.
"""

import dataclasses
import pathlib
import random
import time
from typing import Final

import pytest

from bench.scrape import scrape
from tests.faults import kill, ledger, mailboxes
from tests.faults.senders import Senders
from tests.rig import Rig

DRAIN_SECONDS: Final = 120.0
TAKEN: Final = 'a3_smtp_mails_total{answer="accepted"}'


class Way:
    """What the senders see: the relay's port, and its aliases of the mailboxes behind it."""

    name = "relay"

    def __init__(self, relay: Rig, behind: Rig) -> None:
        self._relay = relay
        self.accounts = tuple((alias_of(address), password) for address, password in behind.accounts)

    def port(self, listener: str) -> int:
        return self._relay.port(listener)


def alias_of(address: str) -> str:
    return address.replace("@example.test", "@here.test")


def drained(relay: Rig) -> None:
    end = time.monotonic() + DRAIN_SECONDS
    while left := relay.verb("queue", "list"):
        assert time.monotonic() < end, left[:3]
        time.sleep(0.2)


def run(tmp_path: pathlib.Path, kills: int, mails: int, seed: int) -> None:
    behind_folder, relay_folder = tmp_path / "behind", tmp_path / "relay"
    behind_folder.mkdir()
    relay_folder.mkdir()
    draw, book = random.Random(seed), ledger.Ledger()
    with Rig(behind_folder, workers=1) as behind:
        relay = Rig(
            relay_folder, hostname="mx.here.test", domain="here.test", workers=2,
            accounts=(("x@here.test", "secret-x"),),
            settings=("limits.profile=off", "queue.retry=1", f"queue.relay=127.0.0.1:{behind.port('smtp')}"),
        )  # fmt: skip
        try:
            relay.start()
            for address, _ in behind.accounts:
                relay.verb("alias", "add", alias_of(address), address)
            senders = Senders(Way(relay, behind), book, seed)  # type: ignore[arg-type]
            senders.start()
            try:
                for _ in range(kills):
                    kill._wait_for(book, book.acknowledged + draw.randrange(1, 2 * mails // kills))
                    pids = relay.pids()
                    kill._kill_once(relay, None if draw.random() < kill.ALL_AT_ONCE else draw.choice(pids))
                    assert kill._ready_after(relay) is not None, relay.log_tail()
                kill._wait_for(book, max(mails, book.acknowledged + 1))
            finally:
                senders.stop()
            drained(relay)
        finally:
            relay.close()
        there = ledger.Ledger()
        for attempt in book.attempts():
            recipient = attempt.recipient.replace("@here.test", "@example.test")
            there.write(dataclasses.replace(attempt, recipient=recipient))
        judgement = mailboxes.judge(behind, there)
        taken = int(scrape(behind.port("metrics"))[TAKEN])
    again = taken - judgement.acknowledged - judgement.unknown_kept
    print(f"seed {seed}: {kills} kills of the relay, {again} mails sent on once more and known; {judgement}")
    assert judgement.faultless, str(judgement)
    assert judgement.acknowledged >= mails


def test_kill_9_of_a_relay_five_times(tmp_path: pathlib.Path, seed: int) -> None:
    run(tmp_path, kills=5, mails=250, seed=seed)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_kill_9_of_a_relay_a_hundred_times(tmp_path: pathlib.Path, seed: int) -> None:
    run(tmp_path, kills=100, mails=10_000, seed=seed)
