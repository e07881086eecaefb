"""TLS-ALPN-01 and HTTP-01 as they are answered by the listeners."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509

from a3mailer.config.tree import Settings
from a3mailer.edge.challenges import AlpnChallenges
from a3mailer.edge.connection import Connection
from a3mailer.edge.listener import Acceptor, Listener
from a3mailer.edge.tls import opportunistic_context, server_context
from a3mailer.ops.acme.answers import ALPN_PROTOCOL, FOLDER, Answers
from a3mailer.ops.acme.challenges.tls_alpn import ACME_IDENTIFIER, challenge_certificate
from tests.certificates import certified
from tests.unit.wire.test_tls_hello import hello

NAME = "mail.a.test"


@asynccontextmanager
async def listening(place: Path) -> AsyncIterator[int]:
    """An https listener that says ``door`` to whoever gets that far; its port."""
    own = certified(NAME)
    (place / "cert.pem").write_bytes(own.pem + own.key_pem)
    context = server_context(place / "cert.pem", place / "cert.pem")
    bound = socket.create_server(("127.0.0.1", 0))

    async def serve(connection: Connection, _trace: str) -> None:
        connection.write(b"door")
        await connection.flushed()

    with bound:
        async with asyncio.TaskGroup() as tasks:
            special = AlpnChallenges(Answers(place))
            listener = Listener("https", (bound,), serve, b"", context, special=special)
            acceptor = Acceptor((listener,), Settings, tasks)
            acceptor.start()
            try:
                yield bound.getsockname()[1]
            finally:
                acceptor.stop()


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def shown(port: int, name: str, *protocols: str) -> tuple[x509.Certificate, str | None, bytes]:
    """Certificate, protocol chosen, and all that is said."""
    context = opportunistic_context()
    if protocols:
        context.set_alpn_protocols(list(protocols))
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    sock: ssl.SSLObject = writer.get_extra_info("ssl_object")
    der = sock.getpeercert(binary_form=True)
    assert der is not None
    said = await until_closed(reader)
    writer.close()
    return x509.load_der_x509_certificate(der), sock.selected_alpn_protocol(), said


def is_challenge(certificate: x509.Certificate) -> bool:
    return any(extension.oid == ACME_IDENTIFIER for extension in certificate.extensions)


async def test_only_who_speaks_acme_sees_the_challenge(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    async with listening(tmp_path) as port:
        assert (await shown(port, NAME, ALPN_PROTOCOL))[1:] == (None, b"door")
        answers.put_alpn(NAME, challenge_certificate(NAME, "token.thumbprint"))
        certificate, protocol, said = await shown(port, NAME, ALPN_PROTOCOL)
        assert is_challenge(certificate) and (protocol, said) == (ALPN_PROTOCOL, b"")
        extension = certificate.extensions.get_extension_for_oid(ACME_IDENTIFIER)
        assert extension.critical and isinstance(extension.value, x509.UnrecognizedExtension)
        assert len(extension.value.value) == 34
        for name, protocols in ((NAME, ()), (NAME, ("http/1.1",)), ("other.test", (ALPN_PROTOCOL,))):
            certificate, protocol, said = await shown(port, name, *protocols)
            assert not is_challenge(certificate) and protocol is None and said == b"door"
        answers.drop_alpn(NAME)
        assert not is_challenge((await shown(port, NAME, ALPN_PROTOCOL))[0])


async def test_a_hello_that_comes_in_pieces(tmp_path: Path) -> None:
    Answers(tmp_path).put_alpn(NAME, challenge_certificate(NAME, "token.thumbprint"))
    octets = hello(NAME, ALPN_PROTOCOL)
    async with listening(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for cut in range(0, len(octets), 100):
            writer.write(octets[cut : cut + 100])
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.readexactly(1)) == b"\x16"
        writer.close()


@pytest.mark.parametrize("octets", [b"", b"GET / HTTP/1.1\r\n\r\n", hello(NAME)[:50]])
async def test_who_speaks_no_tls_is_let_go(
    octets: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("a3mailer.edge.challenges.LOOKS", 5)
    Answers(tmp_path).put_alpn(NAME, challenge_certificate(NAME, "token.thumbprint"))
    async with listening(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(octets)
        writer.write_eof()
        async with asyncio.timeout(20):
            assert b"door" not in await until_closed(reader)
        writer.close()


def test_answers_are_files_of_checked_names(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    token = "x" * 43
    assert not answers.awaited() and answers.http(token) is None and answers.alpn(NAME) is None
    answers.put_http(token, f"{token}.thumbprint")
    answers.put_alpn(NAME, b"pem")
    assert answers.http(token) == f"{token}.thumbprint".encode()
    assert answers.awaited() and answers.alpn(NAME.upper()) == tmp_path / FOLDER / "alpn" / f"{NAME}.pem"
    for bad in ("../" * 9, "/etc/passwd", "", "x" * 21 + "/" + "x" * 9):
        assert answers.http(bad) is None and answers.alpn(bad) is None
        answers.drop_http(bad)
        with pytest.raises(ValueError):
            answers.put_http(bad, "y")
    answers.clear()
    assert not answers.awaited() and answers.http(token) is None
    answers.drop_http(token)
    answers.drop_alpn(NAME)
