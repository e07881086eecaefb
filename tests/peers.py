"""Peers for tests: a fixture-like call that skips with the right kind where they cannot be had."""

import shutil
from typing import Any

import pytest

from bench.peers import packages
from bench.peers.rig import PeerRig


def prefix(wanted: tuple[str, ...] = packages.WANTED) -> packages.Prefix:
    """The unpacked packages; skips as ``absent`` where Debian's archive is out of reach."""
    try:
        return packages.prefix(wanted)
    except packages.Absent as reason:
        pytest.skip(f"absent: Debian's mail packages ({reason})")


def server_prefix(wanted: tuple[str, ...] = packages.WANTED) -> packages.Prefix:
    """The same, where servers can run too; skips as ``forbidden`` without root or mount namespaces."""
    found = prefix(wanted)
    try:
        found.check_inside()
    except packages.Forbidden as reason:
        pytest.skip(f"forbidden: {reason}")
    return found


def peer(storage: str = "maildir", **more: Any) -> PeerRig:
    """Postfix + Dovecot on free ports, not yet started; ``more`` as PeerRig has it."""
    server_prefix()
    return PeerRig(storage=storage, **more)


def client(name: str) -> tuple[str, dict[str, str]]:
    """Path and environment of a client program: the machine's own, else the prefix's; skips as ``absent``."""
    if installed := shutil.which(name):
        return installed, {}
    found = prefix()
    try:
        return found.program(name), found.env()
    except packages.Absent:
        pytest.skip(f"absent: {name}")
