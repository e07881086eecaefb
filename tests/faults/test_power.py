"""Power cuts on a loop-mounted ext4: no acknowledgement without data, nothing twice, no UID for two mails."""

import pathlib

import pytest

from a3mailer.testing.faults.disk import loop_disk
from tests.faults import power
from tests.faults.checkup import Checkup
from tests.rig import Rig


def run(folder: pathlib.Path, cuts: int, seed: int) -> None:
    with loop_disk(folder, 1500) as disk:
        rig = Rig(disk.folder, workers=2)
        checkup = Checkup(rig.directory)
        try:
            report = power.run(rig, disk, cuts=cuts, seed=seed, checkup=checkup)
        finally:
            rig.close()
    print(report)
    assert report.judgement.acknowledged > cuts
    assert report.judgement.faultless, str(report)
    assert not report.judgement.deferred_kept, str(report)
    assert not report.reused, str(report)
    assert checkup.looks == cuts + 1
    assert not checkup.findings


def test_three_power_cuts(shared_folder: pathlib.Path, seed: int) -> None:
    run(shared_folder, 3, seed)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_hundred_power_cuts(shared_folder: pathlib.Path, seed: int) -> None:
    run(shared_folder, 100, seed)
