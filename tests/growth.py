"""Does work grow in step with its input?  A ratio of CPU times, never a time.

``assert_linear`` measures a target on inputs of size n and 2n in turn and takes the best of each, so that
other work on the machine cannot make a linear target look worse than it is.  A ratio that is too large is
measured again at other sizes, since a cache that is just outgrown looks like growth at one size; a quadratic
target (ratio 4) fails at every size.
"""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LIMIT = 2.3
SIZES = (1.0, 0.5, 2.0, 0.7, 1.4, 1.0)
REPEATS = 5
MEASURABLE = 0.004
LARGEST = 1 << 20


def _cpu(target: Callable[[T], object], value: T) -> float:
    before = time.process_time()
    target(value)
    return time.process_time() - before


def growth(make: Callable[[int], T], target: Callable[[T], object], n: int) -> float:
    """The ratio time(2n)/time(n), 0 when both are too short to be measured."""
    one, two = make(n), make(2 * n)
    times = [(_cpu(target, one), _cpu(target, two)) for _ in range(REPEATS)]
    longer = min(time_of_two for _, time_of_two in times)
    return 0.0 if longer < MEASURABLE else longer / min(time_of_one for time_of_one, _ in times)


def assert_linear(make: Callable[[int], T], target: Callable[[T], object], n: int) -> None:
    """Fail when the work grows faster than its input at every one of several sizes around n.

    n is raised first until the work takes long enough to be measured; a target that a limit of its own keeps
    from ever doing so passes.
    """
    while n < LARGEST and min(_cpu(target, value) for value in [make(n)] * 3) < MEASURABLE:
        n *= 2
    ratios: list[float] = []
    for size in SIZES:
        ratio = growth(make, target, int(n * size))
        if ratio < LIMIT:
            return
        ratios.append(ratio)
    raise AssertionError(f"time(2n)/time(n) around n = {n} was {', '.join(f'{r:.2f}' for r in ratios)}")
