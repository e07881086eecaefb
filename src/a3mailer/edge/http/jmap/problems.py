"""Request-level errors as problem documents (RFC 9457), with the types of RFC 8620 section 3.6.1."""

from __future__ import annotations

import msgspec

from a3mailer.edge.http.exchange import PROBLEM, REASONS, BadRequest, Request, Response
from a3mailer.wire.jmap.errors import ERROR, RequestError


class _Problem(msgspec.Struct, omit_defaults=True):
    type: str
    title: str
    status: int
    detail: str = ""
    limit: str = ""


def problem_of(error: RequestError) -> Response:
    """The answer."""
    told = _Problem(ERROR + error.type, REASONS[error.status], error.status, error.detail, error.limit)
    return Response(error.status, msgspec.json.encode(told), PROBLEM)


async def whole_body(request: Request, limit: str) -> bytes:
    """The body; ``limit`` is the name of the one on its size. Errors: RequestError, BadRequest."""
    try:
        return await request.read_body()
    except BadRequest as error:
        if error.status != 413:
            raise
        raise RequestError("limit", str(error), limit=limit) from error
