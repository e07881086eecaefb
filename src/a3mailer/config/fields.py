"""The settings one by one: name, type, default, meaning and bounds, read from the tree itself.

Also what a name may be written like (ALIASES) and how a text becomes a value (``parse_text``).
"""

from __future__ import annotations

import difflib
import typing
from dataclasses import dataclass
from typing import Annotated, Final, cast, get_args, get_origin

import msgspec

from a3mailer.config.tree import Section, Settings

ALIASES: Final = {
    "profile": "server.profile",
    "hostname": "server.hostname",
    "domain": "server.domain",
    "workers": "server.workers",
    "listen": "server.listen",
    "port_base": "server.port_base",
    "relay": "queue.relay",
}
"""Short names that ``--set`` and ``config`` take."""
BOOT: Final = ("server.", "tls.", "store.", "log.")
"""Beginnings of names that are needed before the store is open: never kept in the store itself."""
RESTART: Final = frozenset(
    (
        "server.listen", "server.port_base", "server.workers", "server.proxy_from", "store.segment_size",
        "store.encryption", "store.compression", "web.inside", "web.authorities", "web.port",
    )
)  # fmt: skip
"""Settings whose change needs ``restart``; a reload takes all others."""

_TRUE: Final = ("true", "on", "yes", "1")
_FALSE: Final = ("false", "off", "no", "0")


class BadValue(Exception):
    """A value is not of its setting's kind or outside its bounds; the text says what was expected."""


class NoSuchSetting(Exception):
    """The name is unknown; the text suggests the nearest one."""


@dataclass(frozen=True, slots=True)
class Field:
    """One setting."""

    name: str
    kind: str
    """``on/off``, ``integer``, ``number``, ``text``, ``list of texts`` or ``list of integers``."""
    type: object
    default: object
    description: str
    restart: bool

    def convert(self, value: object) -> object:
        """A value from TOML, checked. Errors: BadValue."""
        try:
            return msgspec.convert(value, cast("type[object]", self.type), strict=True)
        except msgspec.ValidationError as error:
            raise BadValue(f"{_words(str(error))} ({self.kind})") from error

    def parse(self, text: str) -> object:
        """A value from an environment variable, a file or the command line. Errors: BadValue."""
        return self.convert(parse_text(self.kind, text))


def parse_text(kind: str, text: str) -> object:
    """A text as the value of a kind; lists have commas. Errors: BadValue."""
    text = text.strip()
    try:
        return _PARSERS[kind](text)
    except ValueError as error:
        raise BadValue(f"{text!r} is not {'an' if kind[0] in 'aeiou' else 'a'} {kind}") from error


def _switch(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


_PARSERS: Final[dict[str, typing.Callable[[str], object]]] = {
    "on/off": _switch,
    "integer": int,
    "number": float,
    "text": str,
    "list of texts": _items,
    "list of integers": lambda text: [int(item) for item in _items(text)],
}
_KINDS: Final[dict[object, str]] = {
    bool: "on/off",
    int: "integer",
    float: "number",
    str: "text",
    tuple[str, ...]: "list of texts",
    tuple[int, ...]: "list of integers",
}


def _words(message: str) -> str:
    """msgspec's message without its type names' quotes."""
    return message.replace("`", "").replace("Expected ", "expected ")


def _fields() -> dict[str, Field]:
    found: dict[str, Field] = {}
    for section in msgspec.structs.fields(Settings):
        struct = cast("type[Section]", section.type)
        for each in msgspec.structs.fields(struct):
            name = f"{section.encode_name}.{each.encode_name}"
            plain, description = each.type, ""
            if get_origin(each.type) is Annotated:
                plain, *notes = get_args(each.type)
                description = " ".join(
                    n.description or "" for n in notes if isinstance(n, msgspec.Meta)
                ).strip()
            found[name] = Field(name, _KINDS[plain], each.type, each.default, description, name in RESTART)
    return found


FIELDS: Final = _fields()
"""Every setting by its full name, in the order of the tree."""


def field(name: str) -> Field:
    """The setting of a full name or an alias. Errors: NoSuchSetting."""
    found = FIELDS.get(ALIASES.get(name, name))
    if found is None:
        near = difflib.get_close_matches(name, [*FIELDS, *ALIASES], 1, 0.6)
        raise NoSuchSetting(f"no such setting: {name}" + (f" (did you mean {near[0]}?)" if near else ""))
    return found


def value_of(settings: Settings, name: str) -> object:
    """What a snapshot holds under a full name."""
    section, _, rest = name.partition(".")
    return getattr(getattr(settings, section), rest)


def text_of(value: object) -> str:
    """A value as ``parse_text`` reads it back."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)
