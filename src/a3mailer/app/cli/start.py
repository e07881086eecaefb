"""Starting the server: what cannot start is one line and a code; ``check`` says so without starting."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path

from a3mailer.app.cli.exits import BUSY, CONFIG, UNUSABLE, Failed
from a3mailer.app.listeners import CannotListen
from a3mailer.app.lock import Locked
from a3mailer.app.serve import WARM, serve
from a3mailer.app.settings import load
from a3mailer.config.load import ConfigError
from a3mailer.store.backends.sqlite.connection import check_migrations, migrations, open_reader
from a3mailer.store.ports import StoreUnusable


def start(directory: Path, overrides: Mapping[str, str]) -> int:
    """Serve until told to stop. Errors: Failed (BUSY, CONFIG, UNUSABLE)."""
    os.umask(0o077)
    try:
        return serve(directory, overrides)
    except (Locked, CannotListen) as error:
        raise Failed(BUSY, str(error)) from error
    except ConfigError as error:
        raise Failed(CONFIG, "\n".join(error.problems)) from error
    except StoreUnusable as error:
        raise Failed(UNUSABLE, str(error)) from error


def check(directory: Path, overrides: Mapping[str, str]) -> int:
    """Could this code take over a directory that is being served? Imports, settings, schema.

    Errors: Failed (CONFIG, UNUSABLE), also when a migration is due: that needs a stop first."""
    for name in WARM:
        importlib.import_module(name)
    try:
        load(directory, overrides)
        connection = open_reader(directory)
        try:
            applied = check_migrations(connection)
        finally:
            connection.close()
    except ConfigError as error:
        raise Failed(CONFIG, "\n".join(error.problems)) from error
    except StoreUnusable as error:
        raise Failed(UNUSABLE, str(error)) from error
    newest = max(number for number, _, _ in migrations())
    if applied < newest:
        text = (
            f"this release changes the store (migration {applied} to {newest}): stop the server, then serve"
        )
        raise Failed(UNUSABLE, text)
    return 0
