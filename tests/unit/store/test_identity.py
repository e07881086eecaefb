"""When a process counts as ended: what it may not have told its clients depends on it."""

import subprocess
import sys
from pathlib import Path

from a3mailer.store.backends.sqlite.writer import identity_of_this, still_alive

SCRIPT = """
from a3mailer.store.backends.sqlite.writer import identity_of_this
print(identity_of_this(), flush=True)
input()
"""


def test_a_process_lives_until_it_ends_though_nobody_waits_for_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        identity = child.stdout.readline().decode().strip()
        assert still_alive(identity)
        child.kill()
        assert child.stdout.read() == b""  # the kernel has closed its files, so it is ending or a zombie
        assert not still_alive(identity)
        assert Path(f"/proc/{child.pid}").exists()


def test_another_boot_or_another_process_of_the_same_number_is_not_it() -> None:
    boot, pid, start = identity_of_this().split(":")
    assert still_alive(f"{boot}:{pid}:{start}")
    assert not still_alive(f"{boot}:{pid}:{int(start) + 1}")
    assert not still_alive(f"another:{pid}:{start}")
