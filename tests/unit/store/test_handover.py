"""What worker and writer say to each other is framed by lengths: no text ends a message (attack row 51)."""

import socket
import struct
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.config.tree import Settings
from a3mailer.mail.ids import AccountId, MailboxId
from a3mailer.store.backends.sqlite.handover import (
    MAX_MESSAGE,
    Acknowledge,
    Frame,
    FromWorker,
    Hello,
    Reassembly,
    TooLong,
    Work,
    decode_from_worker,
    decode_work,
    encode,
    framed,
)
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.operations import RenameMailbox
from a3mailer.testing.store.case import settle_in
from tests.unit.store.processes import WriterProcess
from tests.unit.store.test_crash import deliver_all, subjects

SETTINGS = Settings()
HOSTILE = st.text(
    st.sampled_from("\0\t\n\r\x1b\x7f\x85\u2028\u202e\"'\\;,") | st.characters(blacklist_categories=["Cs"]),
    max_size=40,
)


@st.composite
def messages(draw: st.DrawFn) -> FromWorker:
    kind = draw(st.integers(0, 2))
    if kind == 0:
        return Hello(draw(st.integers(0, 2**63 - 1)), draw(HOSTILE), draw(st.integers(0, 99)))
    if kind == 1:
        return Acknowledge(draw(st.integers(0, 2**40)))
    operation = RenameMailbox(AccountId(1), MailboxId(2), draw(HOSTILE))
    work = Work(1, (operation,), (), draw(HOSTILE).encode())
    return Frame(draw(st.integers(1, 99)), (msgspec.Raw(encode(work)),))


def plain(message: FromWorker) -> object:
    """A message with its works decoded, to compare by value."""
    if isinstance(message, Frame):
        return message.number, [decode_work(work) for work in message.works]
    return message


@given(st.lists(messages(), max_size=6), st.data())
def test_messages_arrive_as_they_were_said_wherever_the_stream_is_cut(
    said: list[FromWorker], data: st.DataObject
) -> None:
    stream = b"".join(map(framed, said))
    reassembly = Reassembly()
    heard: list[FromWorker] = []
    at = 0
    while at < len(stream):
        step = data.draw(st.integers(1, len(stream) - at))
        heard += map(decode_from_worker, reassembly.receive(stream[at : at + step]))
        at += step
    assert [plain(message) for message in heard] == [plain(message) for message in said]


def test_a_length_that_is_none_is_refused_before_it_is_waited_for() -> None:
    with pytest.raises(TooLong):
        list(Reassembly().receive(struct.pack("<I", MAX_MESSAGE + 1)))


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 20,
        struct.pack("<I", 3) + b"\xc1\xc1\xc1",
        struct.pack("<I", MAX_MESSAGE + 1),
        framed(Acknowledge(1))[:-1] + b"\xc1",
        struct.pack("<I", 5) + b"\x92\xa5Frame",
        framed(Frame(1, (msgspec.Raw(b"\xc1"),))),
    ],
    ids=[
        "another protocol",
        "no MessagePack",
        "too long",
        "a broken number",
        "a piece of a frame",
        "no hello",
    ],
)
async def test_who_does_not_speak_the_protocol_is_shut_out_alone(tmp_path: Path, octets: bytes) -> None:
    with WriterProcess(tmp_path, SETTINGS) as writer:
        store = await SqliteStore.open(tmp_path, SETTINGS, writer.path)
        account = await settle_in(store)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
            stranger.settimeout(20)
            stranger.connect(str(writer.path))
            stranger.sendall(octets)
            assert stranger.recv(1) == b""
        await deliver_all(store, account, ["a mail"], set())
        assert await subjects(store, account) == {"a mail": 1}
        await store.close()
