"""backup, restore, verify, doctor: copies of everything, and what is wrong with it.

They read the files of the data directory themselves, so they work beside a running server; a repair takes the
lock, so that none runs meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from a3mailer.app.cli.exits import BUSY, EXISTS, LATER, NO, OK, UNUSABLE, USAGE, Failed
from a3mailer.app.cli.office import Remote, connect, data_directory, read_password, session
from a3mailer.app.cli.output import Output, size
from a3mailer.app.cli.server import looks, troubles
from a3mailer.app.cli.verb import INSTALLED, Argument, Arguments, Option, Verb
from a3mailer.app.lock import Locked, acquire
from a3mailer.config.load import ConfigError, load
from a3mailer.keys.recovery import BadRecoveryKey, read_recovery
from a3mailer.ops import backup as copies
from a3mailer.ops import doctor as doctors
from a3mailer.ops.sealed import BadBackup, is_sealed
from a3mailer.store.backends.sqlite.upkeep import SqliteUpkeep
from a3mailer.store.ports import StoreUnusable
from a3mailer.store.texts import TextCounts
from a3mailer.store.upkeep import Finding, Unfit

BACKUP: Final = Argument("BACKUP", "the file", file=True)
KEY_STDIN: Final = Option("--recovery-key-stdin", "read the recovery key from the first line of stdin")


@contextmanager
def translated() -> Generator[None, None, None]:
    """Errors of upkeep as one line and a code."""
    try:
        yield
    except FileExistsError as error:
        text = str(error.filename or error)
        raise Failed(EXISTS, text if "exists" in text else f"{text} exists") from error
    except (BadBackup, Unfit) as error:
        raise Failed(NO, str(error)) from error
    except BadRecoveryKey as error:
        raise Failed(USAGE, str(error)) from error
    except StoreUnusable as error:
        raise Failed(UNUSABLE, str(error)) from error
    except OSError as error:
        raise Failed(LATER, f"{error.filename or ''}: {error.strerror}".removeprefix(": ")) from error


def _findings(findings: Iterable[Finding]) -> list[dict[str, object]]:
    return [{"kind": f.kind, "where": f.where, "text": f.text, "repairable": f.repairable} for f in findings]


def _note(directory: Path, action: str, target: str, **detail: str) -> None:
    with session(str(directory)) as store:
        store.perform("audit note", {"action": action, "target": target, "detail": detail})


def backup(args: Arguments, out: Output) -> int:
    """backup."""
    directory = data_directory(args.dir)
    target = Path(args.backup).absolute()
    with translated(), out.steps() as step:
        made = copies.backup(SqliteUpkeep(directory), directory, target, step)
    damaged = _findings(made.copied.damaged)
    _note(directory, "store.backup", str(target), damaged=str(len(damaged)), sealed=str(made.sealed))
    for finding in made.copied.damaged:
        out.note(doctors.describe(finding))
    if not made.sealed:
        out.note("there is no recovery key, so the backup is not sealed and holds no keys")
    value = {"backup": str(target), "size": made.size, "sealed": made.sealed, "commit": made.copied.commit,
             "contents": made.copied.contents, "damaged": damaged}  # fmt: skip
    sealed = "sealed to the recovery key" if made.sealed else "not sealed"
    out.result(value, f"{target}: {made.copied.contents} contents, {size(made.size)}, {sealed}")
    return NO if damaged else OK


def restore(args: Arguments, out: Output) -> int:
    """restore."""
    place = Path(args.dir)
    with translated():
        secret = _secret(args)
        with out.steps() as step:
            made = copies.restore(SqliteUpkeep, Path(args.backup), place, secret, step)
    _tell(made.findings, out)
    value = {"directory": str(place), "members": made.members, "findings": _findings(made.findings)}
    told = f"{place} is restored; every mailbox has a new UIDVALIDITY, and the queue is held"
    out.result(value, f"{told}\nNext: a3mailer serve {place}")
    return NO if made.findings else OK


def _secret(args: Arguments) -> bytes | None:
    """The recovery key where the backup is sealed. Errors: Failed, BadRecoveryKey, OSError."""
    with Path(args.backup).open("rb") as stream:
        if not is_sealed(stream):
            return None
    text = read_password(args.recovery_key_stdin, again=False, what="Recovery key")
    return read_recovery(text) if text else None


def verify(args: Arguments, out: Output) -> int:
    """verify."""
    source = Path(args.backup) if args.backup else data_directory(args.dir)
    if source.is_dir():
        data_directory(str(source))
    with translated():
        secret = _secret(args) if args.recovery_key_stdin and not source.is_dir() else None
        with out.steps() as step:
            found = copies.verify(SqliteUpkeep, source, secret, step)
    _tell(found.findings, out)
    value = {"source": str(source), "whole": not found.findings, "opened": found.opened,
             "findings": _findings(found.findings)}  # fmt: skip
    how = "" if found.opened else " (by its checksum; with --recovery-key-stdin it is opened too)"
    out.result(value, f"{source} is whole{how}" if not found.findings else "")
    return NO if found.findings else OK


def _tell(findings: Iterable[Finding], out: Output) -> None:
    for finding in findings:
        out.note(doctors.describe(finding))


def doctor(args: Arguments, out: Output) -> int:
    """doctor: its exit codes are those of ``ops.doctor.EXITS``."""
    directory = data_directory(args.dir or os.environ.get("A3_DIR") or INSTALLED)
    lock = _lock(directory) if args.repair else -1
    try:
        with translated(), out.steps() as step:
            further = _of_certificates(directory)
            upkeep = SqliteUpkeep(directory)
            found = doctors.examine(upkeep, args.deep, args.repair, step, further)
            texts = upkeep.texts()
    finally:
        if lock >= 0:
            os.close(lock)
    if found.repaired:
        _note(directory, "store.check", str(directory), repaired=str(len(found.repaired)))
    lines = [f"mended: {doctors.describe(f)}" for f in found.repaired]
    lines += [doctors.describe(f) for f in found.findings]
    validator = _validator(directory)
    for line in troubles(looks(directory)):
        out.note(line)
    value = {"findings": _findings(found.findings), "repaired": _findings(found.repaired),
             "validated_by": validator, "texts": texts and texts._asdict()}  # fmt: skip
    lines = lines or [f"nothing is wrong with {directory}"]
    if texts is not None:
        lines.append(_indexed(texts))
    out.result(
        value, "\n".join(lines + [f"answers of the DNS are validated by {validator}"] * bool(validator))
    )
    return found.exit_code


def _indexed(texts: TextCounts) -> str:
    """How far the index of texts is: behind is no damage, and searches are right all the same."""
    text = f"{texts.indexed:,} of {texts.emails:,} mails are indexed, {size(texts.octets)}"
    left = texts.emails - texts.indexed
    return f"{text}; a search reads the other {left:,}" if left > 0 else text


def _validator(directory: Path) -> str:
    """Who validates what the DNS says, as ``who_validates`` has it; empty while the server is stopped."""
    connection = connect(directory)
    if connection is None:
        return ""
    from a3mailer.app.cli.resolve import resolver_of
    from a3mailer.runtime.dnssec import who_validates

    with connection:
        stored = Remote(connection).perform("config stored", {})

    async def ask() -> str:
        async with resolver_of(load(directory, {}, stored=stored).settings.dns) as resolver:
            return await who_validates(resolver)

    return asyncio.run(ask())


def _of_certificates(directory: Path) -> tuple[Finding, ...]:
    """Nothing where the settings cannot be read: other verbs say so."""
    try:
        settings = load(directory, {}).settings
    except ConfigError:
        return ()
    return tuple(doctors.certificates(directory, settings, time.time()))


def _lock(directory: Path) -> int:
    try:
        return acquire(directory)
    except Locked as error:
        raise Failed(BUSY, f"{error}: stop the server before a repair") from error


VERBS: Final = (
    Verb(
        "backup",
        "copy everything into one file, sealed to the recovery key; the server may run",
        "store.backup",
        backup,
        (BACKUP,),
    ),
    Verb(
        "restore",
        "make a data directory of a backup; asks for the recovery key",
        "store.restore",
        restore,
        (BACKUP, Argument("DIR", "the directory to make")),
        (KEY_STDIN,),
        directory=False,
    ),
    Verb(
        "verify",
        "prove a backup, or the data directory, without changing anything",
        "store.check",
        verify,
        (Argument("BACKUP", "the file (default: the data directory)", "?", file=True),),
        (KEY_STDIN,),
    ),
    Verb(
        "doctor",
        "name everything that is wrong with a data directory, each kind with its exit code",
        "store.check",
        doctor,
        (),
        (
            Option("--deep", "open every content and make its index again"),
            Option("--repair", "mend what can be without losing anything; the server must be stopped"),
        ),
    ),
)
