"""The JSON door (RFC 8259; attack row 28): strict forms, every size bounded, no name twice."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, TypeVar

import msgspec

from a3mailer.edge.http.exchange import JSON, BadRequest, Request, Response

MAX_JSON: Final = 256 * 1024
"""Octets of a document, where a route says nothing else."""

LARGE: Final = 256 * 1024
"""Octets of a document that is decoded outside the event loop."""

T = TypeVar("T")


def decode(octets: bytes, form: type[T]) -> T:
    """A value of the form. Errors: BadRequest (400 no JSON, 422 not of this form)."""
    try:
        made = msgspec.json.decode(octets, type=form)
        # the form has bounded depth and known numbers by now: this pass looks for names only
        json.loads(octets, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except msgspec.ValidationError as error:
        raise BadRequest(422, str(error)) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise BadRequest(400, f"not JSON: {error}"[:200]) from error
    return made


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name occurs twice in one object")


async def read(request: Request, form: type[T]) -> tuple[T, bytes]:
    """The body and its octets. Errors: BadRequest, also 415 for another media type (so that a page of
    somebody else cannot post a form here, RFC 9110 section 15.5.16)."""
    media = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
    if media != JSON:
        raise BadRequest(415, f"the body is to be {JSON}")
    octets = await request.read_body()
    if len(octets) < LARGE:
        return decode(octets, form), octets
    return await asyncio.to_thread(decode, octets, form), octets


def answer(value: object, status: int = 200, fields: tuple[tuple[str, str], ...] = ()) -> Response:
    """A document; nobody may keep it."""
    return Response(status, msgspec.json.encode(value), JSON, (("Cache-Control", "no-store"), *fields))
