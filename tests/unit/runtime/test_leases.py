"""Leases: one holder among all processes, and none that outlives its process."""

import multiprocessing
import os
import pathlib
import signal
from multiprocessing.connection import Connection

import pytest

from a3mailer.runtime.leases import Leases

FORK = multiprocessing.get_context("fork")


def holder(path: pathlib.Path, numbers: tuple[int, ...], pipe: Connection) -> None:
    leases = Leases(path)
    pipe.send([leases.take(number) for number in numbers])
    while (number := pipe.recv()) >= 0:
        leases.release(number)
        pipe.send(True)


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "leases"


def test_one_process_holds_each_number_once(path: pathlib.Path) -> None:
    leases = Leases(path)
    assert leases.take(7) and not leases.take(7) and leases.take(8)
    leases.release(7)
    leases.release(7)
    assert leases.take(7)
    leases.close()
    assert path.stat().st_size == 0 and path.stat().st_mode & 0o777 == 0o600


def test_another_process_finds_it_taken_until_it_is_released_or_dead(path: pathlib.Path) -> None:
    leases = Leases(path)
    assert leases.take(1)
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=holder, args=(path, (1, 2, 2**40), theirs))
    process.start()
    assert ours.recv() == [False, True, True]
    assert not leases.take(2) and not leases.take(2**40) and leases.take(3)
    ours.send(2)
    assert ours.recv() and leases.take(2)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert leases.take(2**40)
    leases.close()
