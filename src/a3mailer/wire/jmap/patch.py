"""PatchObjects (RFC 8620 section 5.3): paths into a record and what is to stand there."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from a3mailer.wire.jmap.errors import SetError
from a3mailer.wire.jmap.pointer import tokens

MAX_PATCHES: Final = 10_000
"""Paths of one PatchObject."""


def paths(patch: Mapping[str, object]) -> dict[tuple[str, ...], object]:
    """The patch by its paths. Errors: SetError (``invalidPatch``)."""
    if len(patch) > MAX_PATCHES:
        raise SetError("invalidPatch", f"more than {MAX_PATCHES} paths")
    found: dict[tuple[str, ...], object] = {}
    for key, value in patch.items():
        try:
            path = tokens("/" + key)
        except ValueError as error:
            raise SetError("invalidPatch", f"{key[:100]}: {error}") from error
        if not path[0]:
            raise SetError("invalidPatch", "a path begins with the name of a property, without /")
        if path in found:
            raise SetError("invalidPatch", f"{key[:100]} occurs twice")
        found[path] = value
    ordered = sorted(found)
    for one, next_one in pairwise(ordered):
        if next_one[: len(one)] == one:
            raise SetError("invalidPatch", f"{'/'.join(one)[:100]} is the beginning of another path")
    return found


def patched(
    record: Mapping[str, object], patch: Mapping[tuple[str, ...], object], defaults: Mapping[str, object]
) -> dict[str, object]:
    """The properties that ``patch`` names, as they are after it; null where one has no value then.

    ``defaults``: what null sets a property back to. Errors: SetError (``invalidPatch``)."""
    changed: dict[str, object] = {}
    for path, value in patch.items():
        name, inside = path[0], path[1:]
        if not inside:
            changed[name] = defaults.get(name) if value is None else value
            continue
        if name not in changed:
            changed[name] = copy.deepcopy(record.get(name))
        parent = changed[name]
        for token in inside[:-1]:
            parent = parent.get(token) if isinstance(parent, dict) else None
        if not isinstance(parent, dict):
            raise SetError("invalidPatch", f"{'/'.join(path)[:100]} is in nothing that can be patched")
        if value is None:
            parent.pop(inside[-1], None)
        else:
            parent[inside[-1]] = value
    return changed
