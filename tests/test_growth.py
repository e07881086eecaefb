"""The measure itself: it passes what is linear and fails what is not."""

import pytest

from tests.growth import assert_linear


def quadratic(n: int) -> int:
    found = 0
    for i in range(n):
        found += sum(range(i))
    return found


def test_linear_work_passes() -> None:
    assert_linear(int, lambda n: sum(range(n)), 1000)


def test_work_that_a_limit_bounds_passes() -> None:
    assert_linear(int, lambda n: sum(range(min(n, 100))), 1000)


def test_quadratic_work_fails() -> None:
    with pytest.raises(AssertionError, match="time"):
        assert_linear(int, quadratic, 500)
