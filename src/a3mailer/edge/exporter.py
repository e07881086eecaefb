"""The exporter of TLS 1.3 (RFC 8446 section 7.5) for channel bindings (RFC 9266), by ctypes: Python's ``ssl``
has no call for it before 3.15.

The object behind an SSLSocket begins with what every object has, a reference to the socket, and OpenSSL's SSL
pointer (``PySSLSocket`` in Modules/_ssl.c, the same from 3.6 on). Only versions where that was looked at are
served, without debugging fields; elsewhere there is no exporter, and nothing is offered that needs one.
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl
import sys
from typing import Final

LABEL: Final = b"EXPORTER-Channel-Binding"
SIZE: Final = 32
LOOKED_AT: Final = ((3, 11), (3, 12), (3, 13), (3, 14))
_SSL_AT: Final = 3 * ctypes.sizeof(ctypes.c_void_p)


def _call() -> ctypes._NamedFuncPointer | None:
    """SSL_export_keying_material of the library that ``ssl`` itself uses."""
    looked_at = sys.implementation.name == "cpython" and sys.version_info[:2] in LOOKED_AT
    if not looked_at or hasattr(sys, "gettotalrefcount") or not hasattr(_ssl, "__file__"):
        return None
    try:
        call = ctypes.CDLL(_ssl.__file__).SSL_export_keying_material
    except (OSError, AttributeError):
        return None
    size, text = ctypes.c_size_t, ctypes.c_char_p
    call.argtypes = (ctypes.c_void_p, ctypes.c_char_p, size, text, size, text, size, ctypes.c_int)
    call.restype = ctypes.c_int
    return call


_EXPORT: Final = _call()


def exported(sock: ssl.SSLSocket | None) -> bytes | None:
    """What ties a login to this connection; None without TLS 1.3, or where it cannot be had."""
    layer = getattr(sock, "_sslobj", None)
    inner = getattr(layer, "_sslobj", layer)
    if _EXPORT is None or sock is None or inner is None or sock.version() != "TLSv1.3":
        return None
    pointer = ctypes.c_void_p.from_address(id(inner) + _SSL_AT).value
    out = ctypes.create_string_buffer(SIZE)
    done = _EXPORT(pointer, out, SIZE, LABEL, len(LABEL), None, 0, 0)
    return out.raw if done == 1 else None
