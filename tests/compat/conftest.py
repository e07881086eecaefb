"""Two sizes of every run over real mails: one for CI, one for ``./run test --long``."""

import pytest

SMALL = 120
LARGE = 5_000


@pytest.fixture(scope="module", params=[SMALL, pytest.param(LARGE, marks=pytest.mark.long)])
def count(request: pytest.FixtureRequest) -> int:
    """How many mails."""
    return int(request.param)


@pytest.fixture(scope="module")
def draw_seed(request: pytest.FixtureRequest) -> int:
    """The seed by which mails are drawn, printed."""
    value = int(request.config.getoption("randomly_seed"))
    print(f"mails drawn with seed {value}")
    return value
