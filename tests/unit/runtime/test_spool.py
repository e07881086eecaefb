"""The spool: what goes in comes out, in memory or from a file nobody can see."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.runtime.spool import Spool, SpoolError


@given(
    st.lists(st.one_of(st.binary(max_size=5), st.integers(1000, 1100).map(lambda n: b"x" * n)), max_size=40),
    st.sampled_from([0, 1, 3000, 100_000]),
)
def test_what_goes_in_comes_out(pieces: list[bytes], limit: int) -> None:
    spool = Spool(Path("/tmp"), limit)
    for piece in pieces:
        spool.append(piece)
    whole = b"".join(pieces)
    assert spool.size == len(whole)
    octets = spool.finish()
    assert octets[:] == whole
    assert isinstance(octets, mmap.mmap) == (len(whole) > limit)
    spool.close()


def test_no_name_on_disk_and_no_descriptor_left(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    spool = Spool(tmp_path, 10)
    spool.append(b"x" * 5000)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    assert not list(tmp_path.iterdir())
    octets = spool.finish()
    assert octets[:] == b"x" * 5000
    spool.close()
    spool.close()
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ValueError, match="closed"):
        octets[:]


def test_a_map_somebody_looks_at_outlives_the_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10)
    spool.append(b"x" * 5000)
    view = memoryview(spool.finish())
    spool.close()
    assert bytes(view) == b"x" * 5000
    view.release()


def test_where_there_is_no_o_tmpfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refusing(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no O_TMPFILE")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refusing)
    spool = Spool(tmp_path, 10)
    spool.append(b"y" * 5000)
    assert not list(tmp_path.iterdir())
    assert spool.finish()[:] == b"y" * 5000
    spool.close()


def test_errors_have_their_number(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "absent", 0)
    with pytest.raises(SpoolError) as caught:
        spool.append(b"x")
    assert caught.value.errno == 2


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, octets: real(fd, octets[:700]))
    spool = Spool(tmp_path, 0)
    content = os.urandom(5000)
    spool.append(content)
    assert spool.finish()[:] == content
    spool.close()
