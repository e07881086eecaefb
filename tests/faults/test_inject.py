"""Every N-th system call of one delivery fails or kills: nothing acknowledged is lost or there twice.

The doctor looks at the store after every fault and finds nothing.
"""

import pathlib

import pytest

from a3mailer.testing.faults.strace import require_strace
from tests.faults import inject
from tests.rig import Rig

FAULTS = pytest.mark.parametrize("fault", inject.FAULTS)


def run(
    folder: pathlib.Path, roles: tuple[str, ...], calls: tuple[str, ...], fault: str, most: int, *, cold: bool
) -> None:
    require_strace()
    with Rig(folder, workers=1) as rig:
        injection = inject.Injection(rig, folder)
        judgement = injection.run(roles, calls, (fault,), most, cold=cold)
    print(f"{len(injection.hits)} faults happened: {injection.hits}")
    print(f"{judgement}; not recovered after: {injection.stuck}; started again after: {injection.ended}")
    assert injection.hits
    assert judgement.faultless, str(judgement)
    assert not judgement.deferred_kept, str(judgement)
    assert not injection.stuck
    assert not injection.ended
    assert injection.checkup.looks >= len(injection.hits)
    assert not injection.checkup.findings


@FAULTS
def test_the_first_syncs_and_writes_fail(tmp_path: pathlib.Path, fault: str) -> None:
    run(tmp_path, ("writer", "worker"), ("fdatasync", "pwrite64", "pwritev2"), fault, 2, cold=False)


@FAULTS
def test_the_supervisor_replaces_a_worker_while_writes_fail(tmp_path: pathlib.Path, fault: str) -> None:
    run(tmp_path, ("supervisor",), ("write", "rename"), fault, 2, cold=False)


def test_a_send_between_processes_fails(tmp_path: pathlib.Path) -> None:
    """ENOBUFS on a sound connection once left both sides waiting for each other for ever.

    When it meets the 250 itself the client repeats a mail that the server knows as told (RFC 1047)."""
    require_strace()
    with Rig(tmp_path, workers=1) as rig:
        injection = inject.Injection(rig, tmp_path)
        judgement = injection.run(("writer", "worker"), ("sendto",), ("error=ENOBUFS",), 20)
    print(f"{injection.hits}; {judgement}")
    assert not injection.stuck
    assert not judgement.lost
    assert not [name for name in judgement.duplicated if "writer" in name]
    assert len(judgement.duplicated) <= 1, str(judgement)
    assert not injection.checkup.findings


@FAULTS
@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
def test_every_call_of_a_delivery_fails(tmp_path: pathlib.Path, fault: str, cold: bool) -> None:
    sends = inject.SENDS if fault.startswith("signal") else ()  # no kernel says EIO or ENOSPC there
    run(tmp_path, inject.ROLES, inject.CALLS + sends, fault, inject.MOST, cold=cold)
