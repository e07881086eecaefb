"""The description of all that is behind the https port (OpenAPI 3.1), made of the route table itself."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from a3mailer.edge.http.api.json import answer
from a3mailer.edge.http.exchange import JSON, PROBLEM, Request, Response
from a3mailer.edge.http.routes import OPEN, Route

PATH: Final = "/api/v1/openapi.json"
_SCHEMAS: Final = "#/components/schemas/{name}"
_PROBLEM: Final = {"description": "A problem document (RFC 9457)", "content": {PROBLEM: {}}}


def document(routes: Sequence[Route], version: str) -> dict[str, object]:
    """The whole description of those that say what they are about."""
    told = [route for route in routes if route.about]
    forms = sorted({route.form for route in told if route.form is not None}, key=lambda form: form.__name__)
    _, schemas = msgspec.json.schema_components(forms, ref_template=_SCHEMAS)
    paths: dict[str, dict[str, object]] = {}
    for route in told:
        for method in route.methods:
            paths.setdefault(route.path, {})[method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "A3Mailer", "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _operation(route: Route) -> dict[str, object]:
    made: dict[str, Any] = {
        "summary": route.about,
        "x-scope": route.action,
        "responses": {**_answers(route), "default": _PROBLEM},
    }
    if route.host:  # a prefix, or a name
        made["servers"] = [{"url": f"https://{route.host}{'{domain}' if route.host.endswith('.') else ''}"}]
        if route.host.endswith("."):
            made["servers"][0]["variables"] = {"domain": {"default": "example.org"}}
    if route.action != OPEN:
        made["security"] = [{"token": []}, {"password": []}]
    if parameters := _parameters(route):
        made["parameters"] = parameters
    if route.form is not None:
        schema = {"$ref": _SCHEMAS.format(name=route.form.__name__)}
        made["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    return made


def _answers(route: Route) -> dict[str, object]:
    """What it gives, by status."""
    if not route.gives:
        return {"2XX": {"description": "Done", "content": {JSON: {}}}}
    return {
        str(status): {"description": HTTPStatus(status).phrase, **({"content": {media: {}}} if media else {})}
        for status, media in sorted(route.gives.items())
    }


def _parameters(route: Route) -> list[dict[str, object]]:
    """Those of the path, and those of the query."""
    places = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    fields = {} if route.query is None else {each.name: each for each in msgspec.structs.fields(route.query)}
    kinds = {name: "integer" if each.type is int else "string" for name, each in fields.items()}
    found: list[dict[str, object]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": kinds.get(name, "string")}}
        for name in places
    ]
    return found + [
        {"name": name, "in": "query", "required": each.required, "schema": {"type": kinds[name]}}
        for name, each in fields.items()
        if name not in places
    ]


def openapi(routes: Sequence[Route], version: str) -> Route:
    """The route that tells of the others."""
    made = document(routes, version)

    async def tell(_request: Request) -> Response:
        return answer(made)

    return Route(("GET",), PATH, tell)
