"""The TLS 1.3 exporter, told by another program: openssl s_client."""

import re
import socket
import ssl
import subprocess
import threading

from a3mailer.edge.exporter import LABEL, SIZE, exported
from tests import peers
from tests.certificates import certified


def talk(tmp_path: object, *versions: str) -> tuple[bytes | None, str]:
    """(what we export, what openssl says) of one connection."""
    made = certified("localhost")
    pem = f"{tmp_path}/both.pem"
    with open(pem, "wb") as file:
        file.write(made.pem + made.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    ours: list[bytes | None] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            raw, _ = listening.accept()
            with raw, context.wrap_socket(raw, server_side=True) as secured:
                ours.append(exported(secured))
                secured.sendall(b"x\n")

        thread = threading.Thread(target=serve)
        thread.start()
        program, _ = peers.client("openssl")
        command = [program, "s_client", "-connect", f"127.0.0.1:{listening.getsockname()[1]}", *versions]
        command += ["-keymatexport", LABEL.decode(), "-keymatexportlen", str(SIZE)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        thread.join()
    found = re.search(rb"Keying material: ([0-9A-F]+)", done.stdout)
    return ours[0], found[1].decode() if found else ""


def test_it_is_what_the_other_side_has(tmp_path: object) -> None:
    ours, theirs = talk(tmp_path)
    assert ours is not None and ours.hex().upper() == theirs
    again, _ = talk(tmp_path)
    assert again != ours


def test_there_is_none_before_tls_13_or_without_tls(tmp_path: object) -> None:
    assert talk(tmp_path, "-tls1_2")[0] is None
    assert exported(None) is None
