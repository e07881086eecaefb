"""Does work grow in step with its input?  A ratio of CPU times, never a time.

``assert_linear`` measures a target on inputs of size n and 2n in turn and takes the best of each, so that
other work on the machine cannot make a linear target look worse than it is.  A ratio that is too large is
measured again at other sizes, since a cache that is just outgrown looks like growth at one size; a quadratic
target (ratio 4) fails at every size.  A target too quick to be measured is given larger inputs up to a
moderate size, and from there on is done several times over: an input that outgrows the processor's caches,
which other work shares, says more about them than about the target.
"""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LIMIT = 2.3
SIZES = (1.0, 0.5, 2.0, 0.7, 1.4, 1.0)
REPEATS = 5
MEASURABLE = 0.004
MODERATE = 1 << 14
MOST_TIMES = 1 << 10


def _cpu(target: Callable[[T], object], value: T, times: int) -> float:
    before = time.process_time()
    for _ in range(times):
        target(value)
    return time.process_time() - before


def growth(make: Callable[[int], T], target: Callable[[T], object], n: int, times: int = 1) -> float:
    """The ratio time(2n)/time(n) of so many calls each, 0 when both are too short to be measured."""
    one, two = make(n), make(2 * n)
    measured = [(_cpu(target, one, times), _cpu(target, two, times)) for _ in range(REPEATS)]
    longer = min(time_of_two for _, time_of_two in measured)
    return 0.0 if longer < MEASURABLE else longer / min(time_of_one for time_of_one, _ in measured)


def _measurable(make: Callable[[int], T], target: Callable[[T], object], n: int) -> tuple[int, int]:
    """The size, and how many times over, at which the work takes long enough to be measured."""
    times = 1
    while min(_cpu(target, value, times) for value in [make(n)] * 3) < MEASURABLE:
        if 2 * n <= MODERATE:
            n *= 2
        elif times < MOST_TIMES:
            times *= 2
        else:
            break
    return n, times


def assert_linear(make: Callable[[int], T], target: Callable[[T], object], n: int) -> None:
    """Fail when the work grows faster than its input at every one of several sizes around n.

    n is raised first until the work can be measured; a target that a limit of its own keeps from ever doing
    so passes.
    """
    n, times = _measurable(make, target, n)
    ratios: list[float] = []
    for size in SIZES:
        ratio = growth(make, target, int(n * size), times)
        if ratio < LIMIT:
            return
        ratios.append(ratio)
    raise AssertionError(f"time(2n)/time(n) around n = {n} was {', '.join(f'{r:.2f}' for r in ratios)}")
