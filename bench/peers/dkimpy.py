"""Debian's python3-dkim, with nothing else of the folder where it lies."""

import importlib.util
import pathlib
import sys
from types import ModuleType
from typing import Final

from bench.peers.packages import Absent

PLACE: Final = pathlib.Path("/usr/lib/python3/dist-packages/dkim")


def dkimpy() -> ModuleType:
    """The module ``dkim``; ``Absent`` where it is not installed."""
    if "dkim" not in sys.modules:
        if not PLACE.exists():
            raise Absent("python3-dkim is not installed")
        spec = importlib.util.spec_from_file_location(
            "dkim", PLACE / "__init__.py", submodule_search_locations=[str(PLACE)]
        )
        assert spec is not None and spec.loader is not None
        module = sys.modules["dkim"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["dkim"]
