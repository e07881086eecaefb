"""Paths, xtext and replies: parse(encode(x)) == x, and a parser raises nothing but its own error."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.mail.address import Address
from a3mailer.mail.envelope import Recipient
from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.smtp import commands, paths
from a3mailer.wire.smtp.remote import ReplyReader, features_of
from a3mailer.wire.smtp.replies import Rejected
from a3mailer.wire.smtp.xtext import decode_xtext, encode_xtext

printable = st.characters(exclude_categories=("C", "Z"))
local_parts = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64),
    st.text(printable, min_size=1, max_size=64),
)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
literals = st.one_of(
    st.ip_addresses(v=4).map(lambda ip: f"[{ip}]"), st.ip_addresses(v=6).map(lambda ip: f"[IPv6:{ip}]")
)
domains = st.one_of(st.lists(labels, min_size=1, max_size=4).map(".".join), literals)
addresses = st.builds(Address, local_parts, domains)


@given(addresses)
def test_an_address_comes_back(address: Address) -> None:
    octets = paths.encode_mailbox(address)
    assert paths.parse_mailbox(octets) == address
    assert paths.split_path(b"<" + octets + b"> SIZE=1") == (octets, b" SIZE=1")
    assert paths.parse_mailbox(b"@a.example,@b.example:" + octets) == address


@given(addresses)
def test_rcpt_takes_what_we_send(address: Address) -> None:
    event = commands.parse_rcpt(b"TO:<" + paths.encode_mailbox(address) + b">")
    assert event.recipient == Recipient(address)


@given(st.binary(max_size=60))
def test_paths_raise_bad_path_only(octets: bytes) -> None:
    for parse in (paths.parse_mailbox, paths.split_path, paths.parse_domain):
        with contextlib.suppress(paths.BadPath):
            parse(octets)


@given(st.sampled_from(sorted(commands.COMMANDS)), st.binary(max_size=60))
def test_commands_raise_rejected_only(verb: bytes, argument: bytes) -> None:
    for line in (verb + b" " + argument, verb + argument, b"MAIL FROM:<a@b> " + argument):
        try:
            commands.parse_command(line, commands.COMMANDS)
        except Rejected as error:
            assert error.reply.code >= 400


@given(st.text(printable, max_size=50))
def test_xtext_comes_back(text: str) -> None:
    octets = encode_xtext(text)
    assert octets.isascii() and b" " not in octets and b"=" not in octets
    assert decode_xtext(octets) == text


@given(st.binary(max_size=40))
def test_xtext_raises_value_error_only(octets: bytes) -> None:
    try:
        text = decode_xtext(octets)
    except ValueError:
        return
    assert decode_xtext(encode_xtext(text)) == text


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"250-", b"250 ", b"\r\n", b"421 x\n"]))))
def test_replies_raise_remote_protocol_error_only_and_chunking_changes_nothing(chunks: list[bytes]) -> None:
    def read(pieces: list[bytes]) -> list[object]:
        reader, out = ReplyReader(), []
        for piece in pieces:
            reader.receive(piece)
            try:
                while (reply := reader.next_reply()) is not None:
                    features_of(reply)
                    out.append((reply, reply.lines))
            except RemoteProtocolError as error:
                return [*out, str(error)]
        return out

    whole = b"".join(chunks)
    assert read([whole]) == read(chunks) == read([whole[i : i + 1] for i in range(len(whole))])


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"a@b", Address("a", "b")),
        (b"A.b@Example.COM", Address("A.b", "example.com")),
        (b'"a b"@c', Address("a b", "c")),
        (b'"a\\"b\\\\"@c', Address('a"b\\', "c")),
        (b'"a@b"@c', Address("a@b", "c")),
        (b'"abc"@c', Address("abc", "c")),
        (b"a%b@c", Address("a%b", "c")),
        (b"a!b@c", Address("a!b", "c")),
        (b"a@[127.0.0.1]", Address("a", "[127.0.0.1]")),
        (b"a@[IPv6:2001:DB8:0::1]", Address("a", "[IPv6:2001:db8::1]")),
        (b"@x.example,@[IPv6:::1]:a@c", Address("a", "c")),
        (b"@[IPv6:1::2],@x:a@c", Address("a", "c")),
        ("grüße@bücher.example".encode(), Address("grüße", "xn--bcher-kva.example")),
        (b"a@xn--bcher-kva.example", Address("a", "xn--bcher-kva.example")),
        (b"x" * 200 + b"@c", Address("x" * 200, "c")),
    ],
)
def test_forms(octets: bytes, expected: Address) -> None:
    assert paths.parse_mailbox(octets) == expected


NO_ADDRESSES = [
    *(
        b"",
        b"a",
        b"@",
        b"a@",
        b"@b",
        b"a@b@c",
        b".a@b",
        b"a.@b",
        b"a..b@c",
        b"a b@c",
        b"a@b.",
        b"a@.b",
        b"a@b..c",
    ),
    *(
        b"a@-b",
        b"a@b-",
        b"a@b_c",
        b'"a@b',
        b'"a"b@c',
        b'a"b"@c',
        b'"a\x00"@b',
        b"a\x00@b",
        b"a@b\x00",
        b"a@b c",
    ),
    *(b"a@[1.2.3]", b"a@[1.2.3.4", b"a@[IPv6:1]", b"a@[IPv6:fe80::1%lo]", b"a@[x:y]", b"a@[]"),
    *(b"@b:a", b"@b,c:a@d", b"@b", b"b:a@c", b"@[:a@c", b'"\\', b'"a\\'),
    *(b"a@" + b"x" * 64, b"a@" + b"x." * 130 + b"y", b"y" * 300 + b"@b", b"\xff@b", b"a@\xff.example"),
    *(text.encode() for text in ("a\u200bb@c", "a\u202eb@c", "a\u0085b@c", "a@B\u00dcCHER.example")),
    *(text.encode() for text in ("a@\u0430..b", "a@\ufe52.b", "a@b\u3002c", "a@b\uff0ec", "a@b\uff61c")),
]


@pytest.mark.parametrize("octets", NO_ADDRESSES)
def test_no_addresses(octets: bytes) -> None:
    with pytest.raises(paths.BadPath):
        paths.parse_mailbox(octets)


@pytest.mark.parametrize("octets", [b"a@b", b"<a@b", b"<a@b>x", b'<"a>"@b', b"", b"<"])
def test_no_paths(octets: bytes) -> None:
    with pytest.raises(paths.BadPath):
        paths.split_path(octets)


def test_quoted_brackets_do_not_end_a_path() -> None:
    assert paths.split_path(b'<"a>b"@c> X') == (b'"a>b"@c', b" X")
