"""``./run test [--long] [pytest options and paths]``.

Runs everything but what is marked ``long``; ``--long`` runs exactly that; ``-m`` or a test named in full
(``path::name``) decides for itself.
"""

import os
import pathlib
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


def selection(arguments: list[str]) -> list[str]:
    """The arguments for pytest: the caller's own, with the marker that fits them."""
    if "--long" in arguments:
        return [a for a in arguments if a != "--long"] + ["-m", "long"]
    if any(a.startswith(("-m", "--markers")) or "::" in a for a in arguments):
        return arguments
    return [*arguments, "-m", "not long"]


def main() -> int:
    """Run pytest; a checkout that this user cannot write to is left alone."""
    if not os.access(ROOT, os.W_OK):
        os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", tempfile.mkdtemp(prefix="hypothesis-"))
    return int(pytest.main(["-p", "no:cacheprovider", *selection(sys.argv[1:])]))


if __name__ == "__main__":
    sys.exit(main())
