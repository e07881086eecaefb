"""The route table: what is where. A route that names no action of the table of roles cannot be made.

A path is fixed (``/metrics``) or has placeholders for whole segments (``/api/v1/messages/{id}``); a ``host``
that ends in a dot is a prefix (``mta-sts.``). The first route that fits answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from a3mailer.edge.http.exchange import Handler, Response
from a3mailer.identity.roles import action

OPEN: Final = action("session.use")
"""For what everybody may ask."""


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table."""

    methods: tuple[str, ...]
    """GET answers HEAD, too."""
    path: str
    handler: Handler
    action: str = OPEN
    """Of ``identity.roles.RULES``; whoever authenticates asks it."""
    host: str = ""
    """Only asked under this name; empty for every one."""
    body: int = 0
    """Octets of a request's body at most."""
    over: Response | None = None
    """The answer where a body says that it is larger; None: 413."""
    form: type | None = None
    """Of its JSON body."""
    query: type[msgspec.Struct] | None = None
    """Of the parameters in its path and query."""
    about: str = ""
    """One sentence; all of the https port have one."""
    gives: Mapping[int, str] = field(default_factory=dict)
    """The media type of each status beside a problem document, empty for no content; without one: JSON."""
    _segments: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        action(self.action)
        object.__setattr__(self, "_segments", tuple(self.path.split("/")))

    def matches(self, host: str, segments: tuple[str, ...]) -> Mapping[str, str] | None:
        """What the placeholders stand for; None where it is not this path."""
        if len(segments) != len(self._segments):
            return None
        if self.host and not (host.startswith(self.host) if self.host.endswith(".") else host == self.host):
            return None
        found = {}
        for have, want in zip(segments, self._segments, strict=True):
            if want.startswith("{"):
                if not have:
                    return None
                found[want[1:-1]] = have
            elif have != want:
                return None
        return found


@dataclass(frozen=True, slots=True)
class Found:
    """What a look into the table gives: a route, or the methods that the path has."""

    route: Route | None
    parameters: Mapping[str, str] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()


class Routes:
    """The table of one listener."""

    __slots__ = ("_fixed", "_open", "all")

    def __init__(self, routes: Iterable[Route]) -> None:
        self.all = tuple(routes)
        self._fixed: dict[str, list[Route]] = {}
        self._open: list[Route] = []
        for route in self.all:
            if "{" in route.path:
                self._open.append(route)
            else:
                self._fixed.setdefault(route.path, []).append(route)

    def find(self, method: str, host: str, path: str) -> Found:
        """The route of a request."""
        asked = "GET" if method == "HEAD" else method
        segments = tuple(path.split("/"))
        allowed: list[str] = []
        for route in (*self._fixed.get(path, ()), *self._open):
            parameters = route.matches(host, segments)
            if parameters is None:
                continue
            if asked in route.methods:
                return Found(route, parameters)
            allowed += route.methods
        return Found(None, allowed=tuple(dict.fromkeys(allowed)))
