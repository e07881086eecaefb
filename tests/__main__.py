"""``./run test [--long] [pytest options]``: linters are CI's; this runs the whole suite."""

import sys

import pytest

arguments = sys.argv[1:]
if "--long" in arguments:
    arguments.remove("--long")
    arguments += ["-m", "long"]
elif not any(a in ("-m", "-k") or a.startswith("tests/") for a in arguments):
    arguments += ["-m", "not long"]
sys.exit(pytest.main(["-p", "no:cacheprovider", *arguments]))
