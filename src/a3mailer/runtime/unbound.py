"""DNSSEC validation by libunbound, where the machine has it (RFC 4033 to 4035, RFC 7672 section 2.1).

The library asks the same recursive servers as the stub resolver, with the DO bit, and checks the signatures
from a trust anchor down. Its own thread does the work; what it has found is taken from its descriptor in
our event loop. Source of the interface: libunbound(3), version 1.17; read are only fields that all
releases since 1.4 have at the same place.
"""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
from collections.abc import Sequence
from typing import Final

from a3mailer.telemetry.events import emit

LIBRARIES: Final = ("libunbound.so.8", "libunbound.so.2")
ROOT_ANCHORS: Final = (
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
)
"""The keys of the root zone (IANA, of 2017 and 2024); ``dns.trust_anchor`` names a file with others."""
OPTIONS: Final = (
    ("do-not-query-localhost:", "no"),
    ("msg-cache-size:", "1m"),
    ("rrset-cache-size:", "2m"),
    ("key-cache-size:", "1m"),
    ("neg-cache-size:", "256k"),
    ("val-max-restart:", "1"),
    ("unblock-lan-zones:", "yes"),
    ("insecure-lan-zones:", "yes"),
)
"""Little memory: answers are kept by the stub resolver; one more try where a signature does not fit; names
of private addresses are the servers' business."""
ANSWERED_BY_ITSELF: Final = b"test."
"""The library answers for this zone out of its head (RFC 6761), unless it is told not to."""
IN: Final = 1
DNSKEY: Final = 48
MAX_MESSAGE: Final = 65_535


class _Result(ctypes.Structure):
    """``struct ub_result`` up to the last field we read."""

    _fields_ = (
        ("qname", ctypes.c_char_p),
        ("qtype", ctypes.c_int),
        ("qclass", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("len", ctypes.c_void_p),
        ("canonname", ctypes.c_char_p),
        ("rcode", ctypes.c_int),
        ("answer_packet", ctypes.c_void_p),
        ("answer_len", ctypes.c_int),
        ("havedata", ctypes.c_int),
        ("nxdomain", ctypes.c_int),
        ("secure", ctypes.c_int),
        ("bogus", ctypes.c_int),
        ("why_bogus", ctypes.c_char_p),
    )


_ResultPointer = ctypes.POINTER(_Result)
_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, _ResultPointer)


class Unavailable(OSError):
    """This machine cannot validate: no library, or settings that it does not take."""


class Bogus(Exception):
    """The answer contradicts its signatures, or lacks those it must have: it is no answer."""


class Failed(Exception):
    """The library found no answer."""


def library() -> ctypes.CDLL:
    """The library, its functions declared. Errors: Unavailable."""
    for name in LIBRARIES:
        try:
            found = ctypes.CDLL(name)
        except OSError:
            continue
        found.ub_ctx_create.restype = ctypes.c_void_p
        found.ub_strerror.restype = ctypes.c_char_p
        found.ub_version.restype = ctypes.c_char_p
        return found
    raise Unavailable("libunbound is not installed")


class Unbound:
    """A validator that forwards to ``servers`` (``address@port``); made and used inside one event loop.

    ``anchors``: a file of DNSKEY or DS records, empty for the root's. ``unsigned``: zones that are to be
    taken without signatures, whatever their parents say. ``probe``: the servers may be such that strip
    signatures, ``usable`` finds out."""

    def __init__(
        self, servers: Sequence[str], anchors: str = "", unsigned: Sequence[str] = (), *, probe: bool = False
    ) -> None:
        """Errors: Unavailable."""
        self.made_of = (tuple(servers), anchors, tuple(unsigned), probe)
        self._library = library()
        self._context = ctypes.c_void_p(self._library.ub_ctx_create())
        if not self._context:
            raise Unavailable("libunbound gives no context")
        self._waiting: dict[int, asyncio.Future[tuple[bytes, bool]]] = {}
        self._number = 0
        self._callback = _Callback(self._done)
        self._reading: asyncio.AbstractEventLoop | None = None
        self._usable: bool | None = None if probe else True
        try:
            self._set_up(servers, anchors, unsigned)
        except Unavailable:
            self.close()
            raise

    def _set_up(self, servers: Sequence[str], anchors: str, unsigned: Sequence[str]) -> None:
        for option, value in (*OPTIONS, *(("domain-insecure:", zone) for zone in unsigned)):
            self._call("ub_ctx_set_option", option.encode(), value.encode())
        for server in servers:
            self._call("ub_ctx_set_fwd", server.encode())
        if anchors:
            self._call("ub_ctx_add_ta_file", anchors.encode())
        else:
            for anchor in ROOT_ANCHORS:
                self._call("ub_ctx_add_ta", anchor.encode())
        self._call("ub_ctx_async", 1)
        # this reads the anchors, too: nothing can be set from here on
        try:
            self._call("ub_ctx_zone_remove", ANSWERED_BY_ITSELF)
        except Unavailable as error:
            raise Unavailable(f"{anchors or 'the root anchors'}: {error}") from error

    def _call(self, name: str, *arguments: object) -> None:
        """One function that answers 0 or the number of an error. Errors: Unavailable."""
        error: int = getattr(self._library, name)(self._context, *arguments)
        if error:
            words = b" ".join(a for a in arguments if isinstance(a, bytes))
            raise Unavailable(f"{name} {words.decode()}: {self._library.ub_strerror(error).decode()}")

    async def usable(self) -> bool:
        """Do the servers pass signatures on at all? Asked of the root's keys, until there is an answer."""
        usable = self._usable
        if usable is None:
            try:
                _, usable = await self.ask(".", DNSKEY)
            except Failed:
                return True  # nobody answers: that proves nothing
            except Bogus as error:
                usable = False
                if self._usable is None:
                    emit("dns.not_validated", level="warning", reason=str(error))
            self._usable = usable
        return usable

    async def ask(self, name: str, kind: int) -> tuple[bytes, bool]:
        """(the answer as a message, proven from the trust anchor). Errors: Bogus, Failed.

        The caller sets the deadline; a question nobody waits for any more is taken back."""
        loop = asyncio.get_running_loop()
        if self._reading is None:
            loop.add_reader(self._library.ub_fd(self._context), self._take)
            self._reading = loop
        self._number += 1
        number, identity = self._number, ctypes.c_int()
        answer: asyncio.Future[tuple[bytes, bool]] = loop.create_future()
        self._waiting[number] = answer
        try:
            self._call("ub_resolve_async", name.encode(), kind, IN, ctypes.c_void_p(number), self._callback,
                       ctypes.byref(identity))  # fmt: skip
            return await answer
        except Unavailable as error:
            raise Failed(str(error)) from error
        finally:
            if self._waiting.pop(number, None) is not None and not answer.done():
                self._library.ub_cancel(self._context, identity)

    def _take(self) -> None:
        self._library.ub_process(self._context)

    def _done(self, number: int, error: int, result: ctypes._Pointer[_Result]) -> None:
        """The library's callback, called inside ``_take``."""
        answer = self._waiting.get(number)
        try:
            if answer is None or answer.done():
                return
            if error:
                answer.set_exception(Failed(self._library.ub_strerror(error).decode()))
            else:
                _settle(answer, result.contents)
        finally:
            if not error:
                self._library.ub_resolve_free(result)

    def close(self) -> None:
        """End the library's thread; open questions fail."""
        if not self._context:
            return
        if self._reading is not None:
            self._reading.remove_reader(self._library.ub_fd(self._context))
            self._reading = None
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Failed("the resolver was closed"))
        self._library.ub_ctx_delete(self._context)
        self._context = ctypes.c_void_p()


def _settle(answer: asyncio.Future[tuple[bytes, bool]], result: _Result) -> None:
    if result.bogus:
        answer.set_exception(Bogus((result.why_bogus or b"bogus").decode("ascii", "replace")))
    elif not result.answer_packet or not 0 < result.answer_len <= MAX_MESSAGE:
        answer.set_exception(Failed("no answer"))
    else:
        packet = ctypes.string_at(result.answer_packet, result.answer_len)
        answer.set_result((packet, bool(result.secure)))
