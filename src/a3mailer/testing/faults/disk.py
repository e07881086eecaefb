"""A small ext4 on a loop device: it can lose its power, be filled, and run out of inodes.

The power cut is the ioctl EXT4_IOC_SHUTDOWN with NOLOGFLUSH: from that moment nothing more reaches the
device, and what only the page cache or an unfinished journal transaction held is gone.
"""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from typing import Final

import pytest

EXT4_IOC_SHUTDOWN: Final = 0x8004587D
NOLOGFLUSH: Final = 2
CLONE_NEWNS: Final = 0x20000
RELEASE_SECONDS: Final = 20.0
MEBIBYTE: Final = 1 << 20


class Disk:
    """The image, and where it is mounted."""

    def __init__(self, image: pathlib.Path, folder: pathlib.Path) -> None:
        self.image = image
        self.folder = folder
        self._ballast = folder / "ballast"

    def mount(self) -> None:
        """Mount; ext4 replays its journal."""
        subprocess.run(
            ["mount", "-o", "loop", str(self.image), str(self.folder)], check=True, capture_output=True
        )
        self.folder.chmod(0o755)

    def cut_power(self) -> None:
        """Nothing written after this, or not yet synced, is there after ``restore_power``."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(handle)

    def restore_power(self) -> None:
        """Unmount what is dead, mount what survived; every user of the mount must have ended."""
        self.unmount()
        self.mount()

    def unmount(self) -> None:
        """Unmount, and wait until the kernel lets go: a mount namespace of a process may still hold it."""
        deadline = time.monotonic() + RELEASE_SECONDS
        while (done := subprocess.run(["umount", str(self.folder)], capture_output=True)).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError(done.stderr.decode())
            time.sleep(0.02)  # the last thread of what was killed is still in the kernel
        while subprocess.run(["losetup", "-j", str(self.image)], check=True, capture_output=True).stdout:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.image} is still mounted somewhere")
            time.sleep(0.02)

    def fill(self, leave: int = 0) -> None:
        """Take all free space but ``leave`` octets."""
        with self._ballast.open("wb") as ballast:
            free = shutil.disk_usage(self.folder).free - leave
            with contextlib.suppress(OSError):
                while free > 0:
                    os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), min(free, MEBIBYTE))
                    free -= MEBIBYTE

    def fill_inodes(self) -> None:
        """Take every free inode."""
        self._ballast.mkdir()
        with contextlib.suppress(OSError):
            for number in range(10_000_000):
                (self._ballast / str(number)).touch()

    def relieve(self) -> None:
        """Give back what ``fill`` or ``fill_inodes`` took."""
        if self._ballast.is_dir():
            shutil.rmtree(self._ballast)
        else:
            self._ballast.unlink()


@contextlib.contextmanager
def own_mounts() -> Iterator[None]:
    """A mount namespace of this thread's own: a peer that starts now would copy the mount and hold it."""
    libc = ctypes.CDLL(None, use_errno=True)
    former = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(CLONE_NEWNS):
            pytest.skip(f"forbidden: mount namespaces ({os.strerror(ctypes.get_errno())})")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True, capture_output=True)
        try:
            yield
        finally:
            if libc.setns(former, CLONE_NEWNS):
                raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(former)


@contextlib.contextmanager
def loop_disk(folder: pathlib.Path, mebibytes: int, *, inodes: int = 20_000) -> Iterator[Disk]:
    """A mounted disk of this size under ``folder``; skips where it cannot be had."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("absent: mkfs.ext4")
    image, mounted = folder / "disk.img", folder / "disk"
    mounted.mkdir()
    with own_mounts():
        yield from _loop_disk(image, mounted, mebibytes, inodes)


def _loop_disk(image: pathlib.Path, mounted: pathlib.Path, mebibytes: int, inodes: int) -> Iterator[Disk]:
    with image.open("wb") as file:
        file.truncate(mebibytes * MEBIBYTE)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-N", str(inodes), str(image)], check=True)
    disk = Disk(image, mounted)
    try:
        disk.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"forbidden: loop mounts ({error.stderr.decode().strip()})")
    try:
        yield disk
    finally:
        disk.unmount()
        image.unlink()
