"""A strict reader of IMAP values, and what every message index must keep, whatever the mail is."""

import mmap
import tempfile
from typing import TypeAlias

from a3mailer.mail.message import MessageIndex, index, limits

Value: TypeAlias = "bytes | int | list[Value] | None"
QUOTABLE = frozenset(range(1, 128)) - {10, 13}
MESSAGES = (b"message/rfc822", b"message/global")


def read(fragment: bytes) -> Value:
    """The value of a whole fragment: lists, strings, NIL and numbers (RFC 9051 section 9)."""
    top: list[Value] = []
    opened = [top]
    at = 0
    spaced = True  # an element may begin here; two elements with nothing between them may be lists only
    while at < len(fragment):
        octet = fragment[at : at + 1]
        if octet == b"(":
            assert spaced or fragment[at - 1 : at] == b")"
            spaced = True
            inner: list[Value] = []
            opened[-1].append(inner)
            opened.append(inner)
            at += 1
        elif octet == b")":
            opened.pop()
            spaced = False
            at += 1
        elif octet == b" ":
            assert not spaced
            spaced = True
            at += 1
            assert fragment[at : at + 1] not in (b")", b"")
        else:
            assert spaced
            value, at = _scalar(fragment, at)
            opened[-1].append(value)
            spaced = False
        assert opened, "a parenthesis too many"
    assert len(opened) == 1, "a parenthesis too few"
    assert len(top) == 1
    return top[0]


def _scalar(fragment: bytes, at: int) -> tuple[Value, int]:
    octet = fragment[at : at + 1]
    if octet == b'"':
        out = bytearray()
        at += 1
        while fragment[at] != 0x22:
            if fragment[at] == 0x5C:
                at += 1
                assert fragment[at] in b'"\\'
            assert fragment[at] in QUOTABLE, fragment[at]
            out.append(fragment[at])
            at += 1
        return bytes(out), at + 1
    if octet == b"{":
        stop = fragment.index(b"}\r\n", at)
        size = int(fragment[at + 1 : stop])
        literal = fragment[stop + 3 : stop + 3 + size]
        assert len(literal) == size
        assert b"\0" not in literal
        return literal, stop + 3 + size
    if fragment.startswith(b"NIL", at):
        return None, at + 3
    stop = at
    while fragment[stop : stop + 1].isdigit():
        stop += 1
    return int(fragment[at:stop]), stop


def strings(value: Value, *, maybe: bool = True) -> None:
    assert isinstance(value, bytes) or (maybe and value is None), value


def check_envelope(value: Value) -> None:
    assert isinstance(value, list)
    assert len(value) == 10
    for at in (0, 1, 8, 9):
        strings(value[at])
    for addresses in value[2:8]:
        assert addresses is None or (isinstance(addresses, list) and addresses)
        group = 0
        for address in addresses or ():
            assert isinstance(address, list)
            assert len(address) == 4
            for part in address:
                strings(part)
            if address[3] is None:  # the markers of a group alternate, beginning with its name
                assert (address[2] is None) == bool(group)
                group ^= 1
        assert not group


def check_parameters(value: Value) -> None:
    assert value is None or (isinstance(value, list) and value and len(value) % 2 == 0)
    for item in value or ():
        strings(item, maybe=False)


def check_body(value: Value, extended: bool) -> int:
    """Check body or body structure; the number of leaves and containers in it."""
    assert isinstance(value, list)
    parts, pending = 0, [value]
    while pending:
        body = pending.pop()
        parts += 1
        assert isinstance(body, list)
        assert body
        if isinstance(body[0], list):
            children = [item for item in body if isinstance(item, list)]
            if extended:
                subtype = next(at for at, item in enumerate(body) if not isinstance(item, list))
                children = children[:subtype]
                strings(body[subtype], maybe=False)
                check_extension([None, *body[subtype + 2 :]])
                check_parameters(body[subtype + 1])
            else:
                assert len(body) == len(children) + 1
                strings(body[-1], maybe=False)
            pending += children
        else:
            pending += check_single(body, extended)
    return parts


def check_single(body: list[Value], extended: bool) -> "list[Value]":
    strings(body[0], maybe=False)
    strings(body[1], maybe=False)
    check_parameters(body[2])
    strings(body[3])
    strings(body[4])
    strings(body[5], maybe=False)
    assert isinstance(body[6], int)
    media = (body[0] or b"") + b"/" + (body[1] or b"")  # type: ignore[operator]
    size = 7
    inner: list[Value] = []
    if media in MESSAGES:
        check_envelope(body[7])
        inner = [body[8]]
        assert isinstance(body[9], int)
        size = 10
    elif body[0] == b"text":
        assert isinstance(body[7], int)
        size = 8
    if extended:
        check_extension(body[size:])
    else:
        assert len(body) == size
    return inner


def check_extension(values: list[Value]) -> None:
    assert len(values) == 4
    strings(values[0])
    disposition = values[1]
    if disposition is not None:
        assert isinstance(disposition, list)
        assert len(disposition) == 2
        strings(disposition[0], maybe=False)
        check_parameters(disposition[1])
    for tag in values[2] if isinstance(values[2], list) else [values[2]]:
        strings(tag)
    strings(values[3])


def check_index(octets: bytes) -> MessageIndex:
    """Index a mail and check everything that must hold for any octets."""
    found = index(octets)
    root = found.parts[0]
    assert (root.start, root.end, root.number, root.parent, root.depth) == (0, len(octets), (), -1, 0)
    assert (found.size, found.header_end) == (len(octets), root.body)
    assert len(found.parts) <= limits.PARTS
    for at, part in enumerate(found.parts):
        assert 0 <= part.start <= part.body <= part.end <= len(octets)
        if at:
            parent = found.parts[part.parent]
            assert part.parent < at
            assert part.depth == parent.depth + 1 <= limits.DEPTH
            assert parent.body <= part.start
            assert part.end <= parent.end
            assert parent.media.startswith(b"multipart/") or parent.media in MESSAGES
            before = found.parts[at - 1]
            assert part.start >= (before.end if before.depth >= part.depth else before.body)
        if part.media.startswith(b"text/") or part.media in MESSAGES:
            assert part.lines == octets.count(b"\n", part.body, part.end)
        leaf = at + 1 == len(found.parts) or found.parts[at + 1].parent != at
        assert leaf is not (part.media.startswith(b"multipart/") or part.media in MESSAGES)
    check_envelope(read(found.envelope))
    assert check_body(read(found.bodystructure), True) == len(found.parts)
    assert check_body(read(found.body), False) == len(found.parts)
    for text in (found.preview, found.subject, found.base_subject):
        text.encode()
        assert not {"\r", "\n", "\0"} & set(text)
    assert len(found.preview) <= limits.PREVIEW
    assert 1 <= len(found.thread_keys) <= limits.THREAD_KEYS
    assert len(set(found.thread_keys)) == len(found.thread_keys)
    assert MessageIndex.unpack(found.pack()).parts == found.parts
    for address in (*found.from_, *found.to, *found.cc, *found.bcc, *found.reply_to, *found.sender):
        address.name.encode()
        address.addr_spec.encode()
    return found


def mapped(octets: bytes) -> mmap.mmap:
    """The same octets as a mapped file; they must not be empty."""
    with tempfile.TemporaryFile() as file:
        file.write(octets)
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
