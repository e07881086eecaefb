"""Verbs performed in this process, with the store opened here under the lock: no server runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from a3mailer.app.cli.exits import CONFIG, UNUSABLE, Failed, failure
from a3mailer.app.verbs.office import Office
from a3mailer.app.verbs.table import perform
from a3mailer.config.load import ConfigError, load
from a3mailer.identity.credentials import HashPool
from a3mailer.mail.errors import MailError
from a3mailer.runtime.clock import SystemClock
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.ports import StoreUnusable

PROCESS = "alone"


class Alone:
    """One store, open as long as the session; ``cli.office.Session``."""

    __slots__ = ("_office", "_runner")

    def __init__(self, runner: asyncio.Runner, office: Office) -> None:
        self._runner = runner
        self._office = office

    def perform(
        self, verb: str, arguments: Mapping[str, object], progress: Callable[[int, int], None] | None = None
    ) -> Any:
        """The result of one verb, in the plain form it has over the control socket. Errors: Failed."""
        office = self._office if progress is None else replace(self._office, progress=progress)
        try:
            return msgspec.to_builtins(self._runner.run(perform(office, verb, dict(arguments))))
        except MailError as error:
            raise failure(type(error).__name__, str(error)) from error


@contextmanager
def alone(directory: Path, overrides: Mapping[str, str] | None = None) -> Generator[Alone, None, None]:
    """Open the store of a directory whose lock the caller holds. Errors: Failed (CONFIG, UNUSABLE)."""
    os.umask(0o077)
    with asyncio.Runner() as runner:
        try:
            office = runner.run(_open(directory, overrides or {}))
        except ConfigError as error:
            raise Failed(CONFIG, "\n".join(error.problems)) from error
        except StoreUnusable as error:
            raise Failed(UNUSABLE, str(error)) from error
        try:
            yield Alone(runner, office)
        finally:
            office.pool.close()
            runner.run(office.store.close())


async def _open(directory: Path, overrides: Mapping[str, str]) -> Office:
    settings = load(directory, overrides).settings
    store = await SqliteStore.open(directory, settings, None, PROCESS)
    settings = load(directory, overrides, stored=await store.settings()).settings
    return Office(store, directory, settings, SystemClock(), HashPool())
