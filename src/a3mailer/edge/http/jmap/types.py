"""The table of data types whose changes are pushed (RFC 8620 section 7.1): how the state of each is read.

``state`` gives what ``Foo/get`` would say now; it is asked after every change of an account, so it must be
cheap (a row or two).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.services import Services

StateOf = Callable[[Services, Account], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class DataType:
    """One line."""

    name: str
    capability: str
    """Those whose account lacks it hear nothing of the type."""
    state: StateOf


TYPES: Final[tuple[DataType, ...]] = ()
