"""The links by which members leave mailing lists, with one click (RFC 8058).

Only POST does it: programs that look at links in mails ask by GET (section 3.1), and are shown a page with a
button. Nobody logs in: the link itself was sent to the member alone.
"""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from a3mailer.edge.http.exchange import Request, Response, problem
from a3mailer.edge.http.routes import Route
from a3mailer.transfer.lists.lists import PATH

MAX_BODY: Final = 4096
HTML: Final = "text/html; charset=utf-8"
FIELDS: Final = (
    ("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)
_PAGE: Final = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Mailing list</title>{}</html>'
_ASK: Final = _PAGE.format(
    '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
    "<p>Leave the mailing list this link came from?</p><button>Leave</button></form>"
)


@dataclass(frozen=True, slots=True)
class Leaving:
    """``leave`` takes the token of a link; the list's address, None where it is none of ours."""

    leave: Callable[[str], Awaitable[str | None]]

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        path = PATH + "{token}"
        gives = {200: HTML}
        return (
            Route(("GET",), path, self._ask, gives=gives, about="A page that asks whether to leave a list."),
            Route(("POST",), path, self._left, body=MAX_BODY, gives=gives,
                  about="Leave a list with one click (RFC 8058)."),
        )  # fmt: skip

    async def _ask(self, _request: Request) -> Response:
        return Response(200, _ASK.encode(), HTML, FIELDS)

    async def _left(self, request: Request) -> Response:
        await request.read_body()
        left = await self.leave(request.parameters["token"])
        if left is None:
            return problem(404)
        page = _PAGE.format(f"<p>You are no longer on {html.escape(left)}.</p>")
        return Response(200, page.encode(), HTML, FIELDS)
