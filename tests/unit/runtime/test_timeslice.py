"""The length of a thread's turn, asked of the kernel that keeps it."""

import ctypes
import os
import platform
import threading
from typing import Final

import pytest

from a3mailer.runtime import timeslice

SCHED_GETATTR: Final = {"x86_64": 315, "aarch64": 275}


def _turn() -> float:
    """How long a turn of this thread is, in seconds; 0 where the kernel does not say."""
    size = timeslice._ATTRIBUTES.size
    found = ctypes.create_string_buffer(size)
    assert ctypes.CDLL(None).syscall(SCHED_GETATTR[os.uname().machine], 0, found, size, 0) == 0
    return float(timeslice._ATTRIBUTES.unpack(found.raw)[5]) / 1e9


def _since_6_12() -> bool:
    major, minor = platform.release().split(".")[:2]
    return (int(major), int("".join(filter(str.isdigit, minor)) or 0)) >= (6, 12)


def _in_a_thread(found: list[tuple[float, bool, float, int, int]]) -> None:
    before = _turn()
    done = timeslice.shorten(0.0005)
    found.append(
        (
            before,
            done,
            _turn(),
            os.sched_getscheduler(0),
            os.getpriority(os.PRIO_PROCESS, threading.get_native_id()),
        )
    )


KNOWN: Final = pytest.mark.skipif(
    platform.machine() not in timeslice._CALLS, reason="no number of the call is known here"
)


@KNOWN
def test_a_thread_shortens_its_own_turns_and_nothing_else() -> None:
    others, nice = _turn(), os.getpriority(os.PRIO_PROCESS, 0)
    found: list[tuple[float, bool, float, int, int]] = []
    thread = threading.Thread(target=_in_a_thread, args=(found,))
    thread.start()
    thread.join()
    ((before, done, after, policy, nice_after),) = found
    assert done
    assert (policy, nice_after) == (os.SCHED_OTHER, nice)
    assert _turn() == others == before
    if _since_6_12():
        assert after == 0.0005


def test_where_the_call_is_not_known_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    assert not timeslice.shorten(0.0005)


@KNOWN
def test_another_policy_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getscheduler", lambda _pid: os.SCHED_FIFO)
    before = _turn()
    assert not timeslice.shorten(0.0007)
    assert _turn() == before
