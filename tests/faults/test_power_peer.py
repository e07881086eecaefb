"""Power cuts with Postfix + Dovecot on the disk: the anchor for ours, and the proof that the harness sees."""

import pathlib

import pytest

from a3mailer.testing.faults.disk import loop_disk
from bench.peers.rig import PeerRig
from tests import peers
from tests.faults import power


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_postfix_and_dovecot_lose_nothing_when_the_power_goes(shared_folder: pathlib.Path, seed: int) -> None:
    """Slow for its dot-locks: a stale one is honoured for two minutes."""
    peers.server_prefix()
    with loop_disk(shared_folder, 400) as disk:
        server = PeerRig(folder=disk.folder)
        try:
            report = power.run(server, disk, cuts=10, seed=seed)
        finally:
            server.close()
    print(report)
    assert report.judgement.acknowledged > 0
    assert not report.judgement.lost
