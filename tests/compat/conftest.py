"""Two sizes of every run over real mails: one for CI, one for ``./run test --long``; and a day of mail."""

from collections.abc import Iterator

import pytest

from tests.compat.day import EXIM, ONE, POST, TWO, World, world

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


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of a module's own."""
    with world(tmp_path_factory.mktemp("day")) as made:
        for name, domain in (("two", TWO), ("post", POST), ("exim", EXIM)):
            made.one.verb("alias", "add", f"to-{name}@{ONE}", f"bob@{domain}")
            made.one.verb("alias", "add", f"lost-{name}@{ONE}", f"nobody@{domain}")
        yield made
