"""Settings as a server takes them: read, checked, and with the operator's scripts compiled once to see that
they are some."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from a3mailer.config import load as config
from a3mailer.config.load import ConfigError, Snapshot
from a3mailer.config.tree import Settings


def load(
    directory: Path,
    overrides: Mapping[str, str],
    variables: Mapping[str, str] | None = None,
    stored: Mapping[str, str] | None = None,
) -> Snapshot:
    """Errors: ConfigError."""
    snapshot = config.load(directory, overrides, variables, stored)
    if found := problems(directory, snapshot.settings):
        raise ConfigError(found)
    return snapshot


def problems(directory: Path, settings: Settings) -> tuple[str, ...]:
    """What is wrong with the scripts of ``policy.scripts``, and with those around the scripts of accounts."""
    sieve = settings.sieve
    if not (settings.policy.scripts or sieve.before or sieve.after or sieve.include):
        return ()
    from a3mailer.transfer.filtering import site  # a language, only where it is used
    from a3mailer.transfer.policy.scripts import BadScripts, compiled

    found: list[str] = []
    for name, compile_all in (("policy.scripts", compiled), ("sieve", site.compiled)):
        try:
            compile_all(directory, settings)
        except BadScripts as error:
            found += [f"{name}: {each}" for each in error.problems]
    return tuple(found)
