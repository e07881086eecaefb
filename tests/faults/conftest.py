"""What the fault tests share."""

import pathlib
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture
def shared_folder() -> Iterator[pathlib.Path]:
    """A directory that the peers' users can reach, as pytest's own cannot be."""
    with tempfile.TemporaryDirectory(prefix="a3mailer-faults-") as name:
        pathlib.Path(name).chmod(0o755)
        yield pathlib.Path(name)
