"""Settings written back as TOML: the file ``init`` makes, and the one ``config set`` keeps."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from a3mailer.config.fields import FIELDS
from a3mailer.config.sources import EXTRA_FOLDER, SET_FILE, toml


def encode_value(value: object) -> str:
    """One value as TOML."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(encode_value, value)) + "]"
    if isinstance(value, str):  # a JSON string is a TOML string but for DEL
        return json.dumps(value).replace("\x7f", "\\u007F")
    return json.dumps(value)


def encode(values: Mapping[str, object], comments: bool = True) -> str:
    """A TOML text of full names and values, section by section, each with its meaning above it."""
    out: list[str] = []
    section = ""
    for name, known in FIELDS.items():
        if name in values:
            head, _, key = name.partition(".")
            if head != section:
                out += [""] * bool(out) + [f"[{head}]"]
                section = head
            out += [f"# {known.description}"] * comments + [f"{key} = {encode_value(values[name])}"]
    return "\n".join(out) + "\n" if out else ""


def write_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file durably: a crash leaves the old one or the new one."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def set_in_file(directory: Path, name: str, value: object | None) -> Path:
    """Put one setting (None takes it away) into the file of ``config set``; returns its path.

    Errors: sources.Unreadable, OSError."""
    path = directory / EXTRA_FOLDER / SET_FILE
    values = {given.name: given.value for given in toml(path)} if path.exists() else {}
    if value is None:
        values.pop(name, None)
    else:
        values[name] = value
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_file(path, "# Written by a3mailer config set.\n" + encode(values, comments=False))
    return path
