"""Errors as problem documents (RFC 9457): one handler per tree of errors."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from typing_extensions import override

from preheat.api.caching import NO_STORE
from preheat.errors import MemoryExceeded, PreheatError, ScheduleUnreadable
from preheat.masking import masked
from preheat.messages import printable, shortened
from preheat.observability.request_id import current_request_id
from preheat.specs import InvalidSpec, Violation, from_pydantic
from preheat.specs.violations import MOST_VIOLATIONS

_LOG = logging.getLogger("preheat")
PROBLEM = "application/problem+json"


class ProblemError(BaseModel):
    """One value that breaks one rule."""

    pointer: str | None = Field(None, description="JSON pointer into the spec.", examples=["/warmup/iterations"])
    parameter: str | None = Field(None, description="Name of a query or path parameter.", examples=["start"])
    rule: str = Field(description="What the value must be.", examples=["must not exceed total_iterations (100)"])
    detail: str = Field(
        description="Field, value and rule.",
        examples=["warmup.iterations (500) must not exceed total_iterations (100)"],
    )


class Problem(BaseModel):
    """An RFC 9457 problem document; some types have members of their own."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Kind of problem.", examples=["urn:preheat:invalid-spec"])
    title: str = Field(description="The kind in words.", examples=["The spec breaks rules"])
    status: int = Field(description="HTTP status.", examples=[422])
    detail: str = Field(description="What happened.", examples=["target_lr is required"])
    request_id: str | None = Field(
        None,
        description="The request, as in the answer's X-Request-ID and in the service's log.",
        examples=["8c0f5f9be1a44d21-2f"],
    )
    errors: list[ProblemError] | None = Field(None, description="For 422: every value that breaks a rule.")


class _ProblemResponse(JSONResponse):
    """What a request said is often in it; a key that was put into the wrong place is not (see `masking`)."""

    media_type = PROBLEM

    @override
    def render(self, content: Any) -> bytes:
        return masked(super().render(content).decode()).encode()


def problem(
    status: int, kind: str, title: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> JSONResponse:
    """A problem document as an answer."""
    content = {"type": f"urn:preheat:{kind}", "title": title, "status": status, "detail": detail, **members}
    if request_id := current_request_id.get():
        content["request_id"] = request_id
    return _ProblemResponse(content, status, {"cache-control": NO_STORE, **(headers or {})})


def error_problem(error: PreheatError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer to an error of ours, with its own headers and others; logged if the operator must mend it."""
    # Requests that the client must change are not logged, and what the database says is logged there, once.
    if isinstance(error, ScheduleUnreadable):
        _LOG.error(str(error))
    merged = {**error.headers, **(headers or {})}
    return problem(error.status, error.kind, error.title, str(error), merged, **error.members)


def add_problem_handlers(app: FastAPI) -> None:
    """Turns every error of ours and of HTTP into a problem document; `unexpected` is for the others."""
    app.exception_handler(InvalidSpec)(_invalid_spec)
    app.exception_handler(RequestValidationError)(_invalid_parameters)
    app.exception_handler(PreheatError)(_preheat_error)
    app.exception_handler(MemoryError)(_memory_error)
    app.exception_handler(HTTPException)(_http_exception)


def unexpected(error: Exception) -> JSONResponse:
    """The answer to an error that is none of ours, which is logged."""
    _LOG.error("unexpected error", exc_info=error)
    return problem(500, "internal-error", "A bug in the service", "the service failed; its log says where")


def _invalid_spec(_request: Request, error: InvalidSpec) -> JSONResponse:
    entries = [{"pointer": violation.pointer, **_rule(violation)} for violation in error.violations]
    return _unprocessable("invalid-spec", "The spec breaks rules", entries)


def _invalid_parameters(request: Request, error: RequestValidationError) -> JSONResponse:
    # The first part of a location is the kind of parameter ("query"), which `parameter` leaves out.
    every = error.errors()
    details: Any = [{**detail, "loc": detail["loc"][1:]} for detail in every[:MOST_VIOLATIONS]]
    known = list(_query_names(request.scope["route"]))
    violations = InvalidSpec(from_pydantic(details, fields_at=lambda _: known), len(every)).violations
    entries = [{"parameter": str((*violation.location, "query")[0]), **_rule(violation)} for violation in violations]
    return _unprocessable("invalid-parameter", "A parameter breaks rules", entries)


def _query_names(route: APIRoute) -> Iterable[str]:
    """Names of the query parameters of a route, each of which takes them as one closed model."""
    for parameter in route.dependant.query_params:
        yield from getattr(parameter.field_info.annotation, "model_fields", ())


def _rule(violation: Violation) -> dict[str, str]:
    return {"rule": violation.rule, "detail": violation.detail}


def _unprocessable(kind: str, title: str, entries: Sequence[Mapping[str, str]]) -> JSONResponse:
    # Of a spec that breaks many rules the first few are for a reader; programs read `errors`, which has all.
    detail = "; ".join(entry["detail"] for entry in entries[:3])
    more = len(entries) - 3
    return problem(422, kind, title, f"{detail}; and {more} more" if more > 0 else detail, errors=entries)


def _preheat_error(_request: Request, error: PreheatError) -> JSONResponse:
    return error_problem(error)


def _memory_error(request: Request, _error: MemoryError) -> JSONResponse:
    return error_problem(MemoryExceeded(request.app.state.settings.compute_memory_bytes))


def _http_exception(request: Request, error: HTTPException) -> JSONResponse:
    status = HTTPStatus(error.status_code)
    path = printable(shortened(request.url.path, 200))
    detail = {404: f"no route has the path {path}", 405: f"{shortened(request.method, 20)} is not a method of {path}"}
    kind = status.phrase.lower().replace(" ", "-")
    return problem(status, kind, status.phrase, detail.get(status, error.detail), error.headers)
