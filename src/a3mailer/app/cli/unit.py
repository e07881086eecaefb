"""The systemd unit of this server; ``deploy/systemd/a3mailer.service`` is the one of the installed layout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import a3mailer
from a3mailer.app.cli.verb import INSTALLED

NAME: Final = "a3mailer.service"
USER: Final = "a3mailer"
HOMES: Final = ("/home", "/root", "/run/user")
"""What ``ProtectHome=yes`` hides from a service."""
UNIT: Final = """\
[Unit]
Description=A3Mailer mail server
Wants=network-online.target
After=network-online.target

[Service]
# READY=1 is sent when mail is served; a restart keeps the pid
Type=notify
User={user}
Group={user}
ExecStart={program} serve {directory}
ExecReload=/bin/kill -HUP $MAINPID
# the supervisor ends its own workers and lets them finish the mail in hand
KillMode=mixed
TimeoutStopSec=45
Restart=on-failure
RestartSec=1
# running out of memory costs a worker, not the store
OOMPolicy=continue
LimitNOFILE=1048576

{state}
UMask=0077

AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={homes}
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
PrivateTmp=yes
PrivateDevices=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
"""


def unit(program: tuple[str, ...], directory: Path, user: str = USER, needed: tuple[Path, ...] = ()) -> str:
    """Its text. ``program``: the words that run a3mailer; ``needed``: what they need to be seen besides."""
    installed = directory == Path(INSTALLED)
    state = "StateDirectory=a3mailer\nStateDirectoryMode=0700"
    return UNIT.format(
        user=user,
        program=" ".join(map(word, program)),
        directory=word(str(directory)),
        state=state if installed else f"ReadWritePaths={word(str(directory))}",
        homes="read-only" if is_at_home(directory, *map(Path, program[:1]), *needed) else "yes",
    )


def is_at_home(*paths: Path) -> bool:
    """Is one of them where ``ProtectHome=yes`` hides it?"""
    return any(str(path) == home or str(path).startswith(f"{home}/") for path in paths for home in HOMES)


def word(text: str) -> str:
    """A word of a unit (systemd.syntax(7)): quoted where it must be, its ``%`` and ``$`` doubled."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if set(escaped) & set(" \t\"';") else escaped


def program() -> tuple[str, ...]:
    """The words that run this very a3mailer, wherever it is installed."""
    launcher = Path(sys.executable).with_name("a3mailer")
    return (str(launcher),) if launcher.exists() else (sys.executable, "-m", "a3mailer.app.main")


def needed() -> tuple[Path, ...]:
    """The interpreter as it is called and where it lies, and the package: all may be in different places."""
    package = Path(a3mailer.__path__[0]).resolve()
    return Path(sys.executable).absolute(), Path(sys.executable).resolve(), package / "__init__.py"


def unreadable() -> str:
    """The first path of the program that not everybody may read or enter; empty: there is none."""
    for path in needed():
        for each in reversed(path.parents):
            if not each.stat().st_mode & 0o001:
                return str(each)
        if not path.stat().st_mode & 0o004:
            return str(path)
    return ""
