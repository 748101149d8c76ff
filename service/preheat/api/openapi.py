"""Parts of the OpenAPI document: answers, problems, and what FastAPI cannot see by itself."""

import threading
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from preheat.api.access import ROUTES
from preheat.api.models import ImportRequest
from preheat.api.problems import PROBLEM, Problem
from preheat.api.run_requests import BODIES
from preheat.formats import CSV, EVENT_STREAM, JSON, NPY, PNG, SVG, TEXT
from preheat.keys import SCOPES
from preheat.specs import Spec

Responses = dict[int | str, dict[str, Any]]

BINARY = {"schema": {"type": "string", "format": "binary"}}
STRING = {"schema": {"type": "string"}}
_NOT_JSON: dict[str, Any] = {PNG: BINARY, SVG: STRING, CSV: STRING, NPY: BINARY, TEXT: STRING, EVENT_STREAM: STRING}

NOT_MODIFIED: Responses = {304: {"description": "The client has it already."}}
"""The entry of 304."""


def json_body_entry(model: type[BaseModel], **examples: Any) -> dict[str, Any]:
    """The body of a route that reads it itself, so that a violation has the spec's own words."""
    content = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    return {
        "requestBody": {"required": True, "content": {JSON: content | ({"examples": examples} if examples else {})}}
    }


_REFERENCE = {
    "target_lr": 0.01,
    "total_iterations": 20,
    "warmup": {"iterations": 10},
    "after_scheduler": {"type": "CosineAnnealingLR"},
}
SPEC_BODY = json_body_entry(
    Spec, reference={"summary": "Warm-up 10, then cosine over the remaining 10", "value": _REFERENCE}
)
IMPORT_BODY = json_body_entry(ImportRequest)


def answer(description: str, model: Any = None, *formats: str, status: int = 200) -> Responses:
    """The entry of an answer: its model, if it can be JSON, and the other formats it can have."""
    content = {media_type: _NOT_JSON[media_type] for media_type in formats}
    return {status: {"description": description, "content": content} | ({"model": model} if model else {})}


def problems(*statuses: int) -> Responses:
    """The entries of the problems that a route can answer with."""
    # Whatever a path is: a wrong method, a slow head or body, an address or a head that is too long, a bug.
    always = (405, 408, 414, 431, 500)
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({*statuses, *always})
    }


def complete_openapi(app: FastAPI, *, is_key_required: bool) -> None:
    """Adds what FastAPI cannot see: bodies that we read ourselves, problem documents, and the scope of each route.

    Without `is_key_required` a key is optional: it is asked for once there is one. The document is made when it is
    first asked for, as this takes longer than a start. Then a route that `access.ROUTES` has not raises KeyError.
    """
    generate = app.openapi
    making = threading.Lock()

    def openapi() -> dict[str, Any]:
        with making:
            if app.openapi_schema is None:
                app.openapi_schema = complete()
        return app.openapi_schema

    def complete() -> dict[str, Any]:
        document = generate()
        # FastAPI finds the models of signatures, and none of bodies and problems that we read and write ourselves.
        models: list[type[BaseModel]] = [Spec, Problem, ImportRequest, *BODIES]
        _, extra = models_json_schema(
            [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas |= extra["$defs"]
        for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own form of 422, which we never send
            schemas.pop(name, None)
        _add_security(document, is_key_required)
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend it


_SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key, as `preheat keys make` makes it; a service without any key asks for none. Its scopes: "
    + "; ".join(f"`{scope}`: {meaning.admits}" for scope, meaning in SCOPES.items())
    + ".",
}


def _add_security(document: dict[str, Any], is_key_required: bool) -> None:
    """The scope that each operation needs, and what it answers to a request without."""
    document["components"]["securitySchemes"] = {"key": _SECURITY_SCHEME}
    optional: list[dict[str, list[str]]] = [] if is_key_required else [{}]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            access = ROUTES[path][method.upper()]
            if access == "anybody":
                operation["security"] = []
                continue
            operation["security"] = [{"key": [access]}, *optional]
            refusals = {str(status): content for status, content in problems(401, 403, 421, 429, 503).items()}
            operation["responses"] = dict(sorted((refusals | operation["responses"]).items()))
