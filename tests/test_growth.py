"""The measure itself: it passes what is linear and fails what is not."""

import pytest

from tests.growth import MODERATE, SIZES, assert_linear


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


def test_quick_work_is_repeated_and_not_grown_beyond_a_moderate_size() -> None:
    sizes: list[int] = []

    def make(n: int) -> bytes:
        sizes.append(n)
        return bytes(n)

    assert_linear(make, lambda octets: octets.count(1), 1000)
    assert max(sizes) <= 2 * MODERATE * max(SIZES)


def test_quick_work_that_is_quadratic_fails() -> None:
    """Too quick to be measured once at the moderate size: it fails by being done many times over."""
    with pytest.raises(AssertionError, match="time"):
        assert_linear(int, lambda n: sum(range(n * n >> 16)), 1000)
