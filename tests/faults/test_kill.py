"""kill -9 of one process or all under load: nothing acknowledged is lost, nothing is there twice.

The doctor looks at the store after every kill, under load, and finds nothing.
"""

import pathlib

import pytest

from tests.faults import kill
from tests.faults.checkup import Checkup
from tests.rig import Rig


def run(tmp_path: pathlib.Path, kills: int, mails: int, seed: int) -> None:
    rig = Rig(tmp_path, workers=2)
    checkup = Checkup(rig.directory)
    try:
        report = kill.run(rig, kills=kills, mails=mails, seed=seed, checkup=checkup)
    finally:
        rig.close()
    print(report)
    assert report.judgement.faultless, str(report)
    assert not report.judgement.deferred_kept, str(report)  # the writer always came back
    assert (report.orphans, report.stuck) == (0, 0), str(report)
    assert report.judgement.acknowledged >= mails
    assert checkup.looks == min(kills, kill.LOOKS) + 1
    assert not checkup.findings


def test_kill_9_ten_times(tmp_path: pathlib.Path, seed: int) -> None:
    run(tmp_path, kills=10, mails=500, seed=seed)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_kill_9_three_hundred_times(tmp_path: pathlib.Path, seed: int) -> None:
    run(tmp_path, kills=300, mails=30_000, seed=seed)
