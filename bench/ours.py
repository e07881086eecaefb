"""Our server as the benchmarks start it."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Final

from tests.rig import Rig

# no index of texts: the peers have none; bench/search.py measures it
PLAIN: Final = ("profile=plain", "limits.profile=off", "store.text_index=false")
# what the peer does not do either: switched off for a comparison of the same functions
OFF: Final = (*PLAIN, "store.encryption=off", "store.compression=off")
ON: Final = PLAIN
BOTH: Final = (("off", OFF), ("on", ON))


@contextlib.contextmanager
def instance(
    directory: pathlib.Path,
    settings: tuple[str, ...],
    accounts: tuple[tuple[str, str], ...],
    workers: int | None = None,
) -> Iterator[Rig]:
    """An instance under ``directory``, its data removed afterwards."""
    with (
        tempfile.TemporaryDirectory(dir=directory, prefix="a3mailer-bench-") as name,
        Rig(pathlib.Path(name), accounts=accounts, settings=settings, workers=workers) as rig,
    ):
        yield rig
