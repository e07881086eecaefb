"""Acts done in order; when one fails, it and all before it are undone, the last first."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from a3mailer.app.cli.exits import Failed

STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def nothing() -> None:
    """There is nothing to undo."""


@dataclass(frozen=True, slots=True)
class Step:
    """``undo`` is called also when ``do`` failed half way, and takes away what is there of it."""

    name: str
    do: Callable[[], None]
    undo: Callable[[], None] = nothing


class NotUndone(Exception):
    """The act failed, and some of it could not be taken back: the text says what is left."""


def perform(steps: Sequence[Step]) -> None:
    """All of them, or none. SIGTERM and SIGHUP stop it as Ctrl-C does (KeyboardInterrupt).

    Errors: what a step raises, NotUndone."""
    begun: list[Step] = []
    with _stopped_by_signals():
        try:
            for step in steps:
                begun.append(step)
                step.do()
        except BaseException as error:
            left = _undo(begun)
            if left:
                raise NotUndone(f"{error}; not undone: {'; '.join(left)}") from error
            raise


def _undo(begun: Sequence[Step]) -> list[str]:
    """Undo, whatever signal comes meanwhile; what could not be."""
    left = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        for step in reversed(begun):
            try:
                step.undo()
            except (OSError, subprocess.SubprocessError, Failed) as error:
                left.append(f"{step.name} ({error})")
    finally:
        while pending := signal.sigpending() & set(STOPS):  # it has been obeyed already
            signal.sigwait(pending)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return left


@contextmanager
def _stopped_by_signals() -> Generator[None, None, None]:
    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # signals are none of its business
        yield
        return
    former = {number: signal.signal(number, stop) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
