"""The kill harness on Postfix + Dovecot: the anchor for ours, and the proof that the harness sees."""

import pytest

from tests import peers
from tests.faults import kill


def anchor(kills: int, mails: int, seed: int) -> None:
    with peers.peer() as server:
        report = kill.run(server, kills=kills, mails=mails, seed=seed)
    print(report)
    assert report.kills == kills
    assert report.judgement.acknowledged >= mails
    assert not report.judgement.lost
    assert not report.judgement.damaged


def test_postfix_and_dovecot_lose_nothing_when_killed(seed: int) -> None:
    anchor(kills=3, mails=150, seed=seed)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_postfix_and_dovecot_lose_nothing_in_a_hundred_kills(seed: int) -> None:
    anchor(kills=100, mails=10_000, seed=seed)
