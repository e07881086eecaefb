"""All of the steps or none: whatever fails, wherever."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from a3mailer.app.cli.exits import Failed
from a3mailer.app.cli.steps import NotUndone, Step, perform


def fails(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    "error", [OSError("disk"), Failed(1, "no"), KeyboardInterrupt(), ZeroDivisionError()]
)
@pytest.mark.parametrize("at", range(3))
def test_what_was_begun_is_undone_the_last_first(at: int, error: BaseException) -> None:
    said: list[str] = []

    def step(number: int) -> Step:
        act = fails(error) if number == at else lambda: said.append(f"do {number}")
        return Step(str(number), act, lambda: said.append(f"undo {number}"))

    with pytest.raises(type(error)):
        perform([step(number) for number in range(3)])
    assert said == [f"do {n}" for n in range(at)] + [f"undo {n}" for n in range(at, -1, -1)]


def test_an_undo_that_fails_stops_no_other_and_is_told() -> None:
    said: list[str] = []
    steps = (
        Step("first", lambda: None, lambda: said.append("undone")),
        Step("second", lambda: None, fails(OSError("stuck"))),
        Step("third", fails(Failed(1, "broken"))),
    )
    with pytest.raises(NotUndone, match=r"broken; not undone: second \(stuck\)"):
        perform(steps)
    assert said == ["undone"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_undoes_and_does_not_stop_the_undoing(number: signal.Signals) -> None:
    said: list[str] = []
    before = signal.getsignal(number)

    def undo() -> None:
        signal.raise_signal(number)
        said.append("undone")

    with pytest.raises(KeyboardInterrupt):
        perform([Step("one", lambda: None, undo), Step("two", lambda: signal.raise_signal(number), undo)])
    assert said == ["undone", "undone"] and signal.getsignal(number) is before
    assert not signal.sigpending()
