"""Work in a process apart: it answers, or its limits end it and nobody else."""

import faulthandler
import os
import signal

import pytest

from a3mailer.runtime.apart import Allowed, apart

MIB = 1 << 20
SMALL = Allowed(seconds=1, memory=64 * MIB, answer=1000)


def test_an_answer_comes_back() -> None:
    assert apart(lambda: b"text", SMALL) == b"text"
    assert apart(lambda: b"", SMALL) == b""


def test_an_answer_is_cut() -> None:
    assert apart(lambda: bytes(5000), SMALL) == bytes(1000)


def fails() -> bytes:
    raise ValueError("of the work")


def eats() -> bytes:
    return bytes(bytearray(1 << 30))


def spins() -> bytes:
    while True:
        pass


def hangs() -> bytes:
    signal.pause()
    return b""


def dies() -> bytes:
    faulthandler.disable()  # pytest's, which would tell of it
    os.kill(os.getpid(), signal.SIGSEGV)
    return b""


def writes() -> bytes:
    with open("written", "wb") as file:
        file.write(b"x")
    return b"written"


@pytest.mark.parametrize("work", [fails, eats, spins, hangs, dies, writes])
def test_what_does_not_come_to_its_end_is_nothing(
    work: "object", tmp_path: "os.PathLike[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert callable(work)
    fork, forked = os.fork, list[int]()

    def forking() -> int:
        forked.append(fork())
        return forked[-1]

    monkeypatch.setattr(os, "fork", forking)
    assert apart(work, SMALL) is None
    with pytest.raises(ChildProcessError):
        os.waitpid(*forked, os.WNOHANG)
