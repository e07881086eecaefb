"""Debian packages unpacked into a private prefix: nothing is installed, no service starts.

Debian's mail servers exclude each other and start on installation, so the packages (and those of their
dependencies that this machine lacks) are fetched with ``apt-get download`` and unpacked with ``dpkg -x``
under ``$XDG_CACHE_HOME/a3mailer-peers`` (root: ``/var/cache``, others: ``~/.cache``).  A second call finds
the prefix there, offline.
"""

import dataclasses
import fcntl
import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
from typing import Final

SERVERS: Final = ("postfix", "dovecot-core", "dovecot-imapd", "dovecot-lmtpd", "dovecot-submissiond")
CLIENTS: Final = ("swaks", "libnet-ssleay-perl", "isync", "neomutt")
WANTED: Final = (*SERVERS, *CLIENTS)
MERGED: Final = ("bin", "sbin", "lib")  # what Debian 12 keeps as links into usr
OVERLAY: Final = 'mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr && shift && exec "$@"'
PROGRAM_FOLDERS: Final = ("usr/bin", "usr/sbin")


class Absent(RuntimeError):
    """The packages cannot be had here: no apt, or no archive and no cache."""


class Forbidden(RuntimeError):
    """The kernel or the container refuses what the servers need (root, a mount namespace, overlayfs)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Prefix:
    """An unpacked set of packages."""

    root: pathlib.Path

    def program(self, name: str) -> str:
        """The path of a program of the prefix; ``Absent`` when no package has it."""
        for folder in PROGRAM_FOLDERS:
            if (found := self.root / folder / name).exists():
                return str(found)
        raise Absent(f"{name} is in no package of {', '.join(WANTED)}")

    def env(self) -> dict[str, str]:
        """An environment in which the prefix's clients run where they lie."""
        triplet = f"{platform.machine()}-linux-gnu"
        perl = [self.root / "usr/share/perl5", *self.root.glob(f"usr/lib/{triplet}/perl5/*")]
        return {
            **os.environ,
            "LD_LIBRARY_PATH": str(self.root / "usr/lib" / triplet),
            "PERL5LIB": ":".join(map(str, perl)),
            "LC_ALL": "C.UTF-8",
        }

    def inside(self, *command: str) -> list[str]:
        """The command, run in a private mount namespace where the packages look installed.

        The servers have their paths compiled in; an overlay of the prefix over /usr lets them run
        unmodified and shows nothing to the rest of the machine.  The process keeps its id.
        """
        return [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            OVERLAY,
            "sh",
            str(self.root),
            *command,
        ]

    def check_inside(self) -> None:
        """``Forbidden`` unless servers can run here."""
        if os.geteuid() != 0:
            raise Forbidden("Postfix and Dovecot start as root only")
        done = subprocess.run(self.inside("true"), capture_output=True, text=True)
        if done.returncode:
            raise Forbidden(f"a mount namespace with overlayfs: {done.stderr.strip()}")


def cache_folder() -> pathlib.Path:
    """Where prefixes live, outside every checkout.

    Root's is under /var/cache: servers drop their privileges and must still reach their own programs.
    """
    if home := os.environ.get("XDG_CACHE_HOME"):
        return pathlib.Path(home) / "a3mailer-peers"
    if os.geteuid() == 0:
        return pathlib.Path("/var/cache/a3mailer-peers")
    return pathlib.Path.home() / ".cache" / "a3mailer-peers"


def missing_packages(wanted: tuple[str, ...] = WANTED) -> list[str]:
    """``name=version`` of the wanted packages and of those dependencies this machine lacks.

    Server by server, since some of them exclude each other; a package that is installed already is asked
    for all the same: the prefix holds a copy of its own.
    """
    names: set[str] = set()
    for package in wanted:
        done = _apt("-s", "install", "--reinstall", "--no-install-recommends", package)
        names |= {_name_and_candidate(line) for line in done.splitlines() if line.startswith("Inst ")}
    return sorted(names)


def _name_and_candidate(line: str) -> str:
    # Inst NAME [INSTALLED] (CANDIDATE Debian:... [amd64])
    return f"{line.split()[1]}={line[line.index('(') + 1 :].split()[0]}"


def _apt(*arguments: str, cwd: pathlib.Path | None = None) -> str:
    try:
        done = subprocess.run(
            ["apt-get", *arguments],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise Absent("apt-get: this is no Debian") from None
    if done.returncode:
        raise Absent(f"apt-get {' '.join(arguments)}: {done.stderr.strip()[-400:]}")
    return done.stdout


def prefix(wanted: tuple[str, ...] = WANTED) -> Prefix:
    """The prefix of these, made on the first call; ``Absent`` says why there is none."""
    folder = cache_folder()
    current = folder / ("current" if wanted == WANTED else "-".join(wanted))
    if current.exists():
        return Prefix(current.resolve())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Absent(f"no place to unpack them: {error}") from None
    with (folder / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not current.exists():
            _unpack(folder, current, wanted)
    return Prefix(current.resolve())


def _unpack(folder: pathlib.Path, current: pathlib.Path, wanted: tuple[str, ...]) -> None:
    packages = missing_packages(wanted)
    key = hashlib.sha256("\n".join(packages).encode()).hexdigest()[:16]
    making = folder / f"{key}.making"
    shutil.rmtree(making, ignore_errors=True)
    archives = making / "archives"
    archives.mkdir(parents=True)
    archives.chmod(0o777)  # so that apt's unprivileged fetcher can write here
    _apt("download", *packages, cwd=archives)
    for archive in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(archive), str(making)], check=True)
    shutil.rmtree(archives)
    for name in MERGED:
        if (making / name).is_dir():
            shutil.copytree(making / name, making / "usr" / name, symlinks=True, dirs_exist_ok=True)
    (making / "packages").write_text("\n".join(packages) + "\n")
    making.chmod(0o755)
    making.rename(folder / key)
    new = current.with_name(f"{current.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(key)
    new.rename(current)


if __name__ == "__main__":
    sys.stdout.write(f"{prefix().root}\n")
