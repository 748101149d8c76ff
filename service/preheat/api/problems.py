"""Errors as RFC 9457 problem documents."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from preheat import errors
from preheat.api.operations import operations
from preheat.specs import InvalidSpec, Violation, from_pydantic

_LOG = logging.getLogger("preheat")
_MEDIA_TYPE = "application/problem+json"


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
    errors: list[ProblemError] | None = Field(None, description="For 422: every value that breaks a rule.")


class RequestRefused(Exception):
    """A request that HTTP itself has a status for: 406, 413, 415."""

    def __init__(self, status: HTTPStatus, detail: str, **members: Any) -> None:
        self.status, self.detail, self.members = status, detail, members
        super().__init__(detail)


def problem(
    status: int, kind: str, title: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> JSONResponse:
    """A problem document as an answer."""
    content = {"type": f"urn:preheat:{kind}", "title": title, "status": status, "detail": detail, **members}
    headers = {"cache-control": "no-store", **(headers or {})}
    return JSONResponse(content, status, headers, media_type=_MEDIA_TYPE)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the problems a route can answer with."""
    always = (405, 500)
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({*statuses, *always})
    }


def add_problem_handlers(app: FastAPI) -> None:
    """Turns every error into a problem document: one handler per tree."""
    app.exception_handler(InvalidSpec)(_invalid_spec)
    app.exception_handler(RequestValidationError)(_invalid_parameters)
    app.exception_handler(errors.PreheatError)(_preheat_error)
    app.exception_handler(RequestRefused)(_request_refused)
    app.exception_handler(HTTPException)(_http_exception)
    app.exception_handler(Exception)(_unexpected)


def _invalid_spec(_request: Request, error: InvalidSpec) -> JSONResponse:
    entries = [{"pointer": violation.pointer, **_rule(violation)} for violation in error.violations]
    return _unprocessable("invalid-spec", "The spec breaks rules", entries)


def _invalid_parameters(request: Request, error: RequestValidationError) -> JSONResponse:
    known = operations(request.app).query_names(request.url.path, request.method)
    details: Any = [{**detail, "loc": detail["loc"][1:]} for detail in error.errors()]
    violations = from_pydantic(details, fields_at=lambda _: known)
    entries = [{"parameter": str((*violation.location, "query")[0]), **_rule(violation)} for violation in violations]
    return _unprocessable("invalid-parameter", "A parameter breaks rules", entries)


def _rule(violation: Violation) -> dict[str, str]:
    return {"rule": violation.rule, "detail": violation.detail}


def _unprocessable(kind: str, title: str, entries: Sequence[Mapping[str, str]]) -> JSONResponse:
    detail = "; ".join(entry["detail"] for entry in entries[:3])
    more = len(entries) - 3
    return problem(422, kind, title, f"{detail}; and {more} more" if more > 0 else detail, errors=entries)


_KINDS: dict[type[errors.PreheatError], tuple[HTTPStatus, str, str]] = {
    errors.ScheduleNotFound: (HTTPStatus.NOT_FOUND, "schedule-not-found", "No such schedule"),
    errors.RecipeNotFound: (HTTPStatus.NOT_FOUND, "recipe-not-found", "No such recipe"),
    errors.IterationOutOfRange: (HTTPStatus.UNPROCESSABLE_ENTITY, "iteration-out-of-range", "Outside the run"),
    errors.UndefinedLR: (HTTPStatus.UNPROCESSABLE_ENTITY, "undefined-lr", "The formula has no value there"),
    errors.NotImportable: (HTTPStatus.UNPROCESSABLE_ENTITY, "not-importable", "No spec says this"),
    errors.NotExpressible: (HTTPStatus.UNPROCESSABLE_ENTITY, "not-expressible", "The target cannot say it"),
    errors.NotComparable: (HTTPStatus.UNPROCESSABLE_ENTITY, "not-comparable", "Nothing in common"),
    errors.LimitExceeded: (HTTPStatus.UNPROCESSABLE_ENTITY, "limit-exceeded", "Larger than this service allows"),
    errors.SeamRefused: (HTTPStatus.CONFLICT, "seam-refused", "The LR would jump"),
    errors.ScheduleUnreadable: (HTTPStatus.INTERNAL_SERVER_ERROR, "schedule-unreadable", "Stored and unreadable"),
    errors.TorchVersionMismatch: (HTTPStatus.CONFLICT, "torch-version-mismatch", "Computed by another torch"),
    errors.ComputeTimeout: (HTTPStatus.SERVICE_UNAVAILABLE, "compute-timeout", "Computing took too long"),
    errors.StoreUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "store-unavailable", "No database"),
}
"""Status, kind and title of each error of the service."""

_RETRY_AFTER_S = {errors.ComputeTimeout: "1", errors.StoreUnavailable: "5"}


def _preheat_error(_request: Request, error: errors.PreheatError) -> JSONResponse:
    status, kind, title = _KINDS[type(error)]
    if isinstance(error, errors.StoreUnavailable | errors.ScheduleUnreadable):
        _LOG.error(str(error))
    retry_after_s = _RETRY_AFTER_S.get(type(error))
    headers = {"retry-after": retry_after_s} if retry_after_s else None
    return problem(status, kind, title, str(error), headers, **_members(error))


def _members(error: errors.PreheatError) -> dict[str, Any]:  # noqa: PLR0911 - one for each kind of error
    """What a problem document says besides its detail."""
    match error:
        case errors.IterationOutOfRange():
            entry = {"parameter": error.name, "rule": f"must be in 0 … {error.last}", "detail": str(error)}
            return {"errors": [entry], "first": 0, "last": error.last}
        case errors.UndefinedLR():
            return {"iteration": error.iteration}
        case errors.SeamRefused():
            return {"iteration": error.iteration, "old_lr": error.old_lr, "new_lr": error.new_lr}
        case errors.LimitExceeded():
            return {"setting": error.setting, "limit": error.limit, "value": error.value}
        case errors.TorchVersionMismatch():
            return {"stored": error.stored, "running": error.running, "agreeing": error.agreeing}
        case errors.ScheduleUnreadable():
            return {"id": error.schedule_id, "reason": error.kind}
    return {}


def _request_refused(_request: Request, error: RequestRefused) -> JSONResponse:
    kind = error.status.phrase.lower().replace(" ", "-")
    return problem(error.status, kind, error.status.phrase, error.detail, **error.members)


def _http_exception(request: Request, error: HTTPException) -> JSONResponse:
    status = HTTPStatus(error.status_code)
    path = request.url.path.encode("ascii", "backslashreplace").decode()
    detail = {404: f"no route has the path {path}", 405: f"{request.method} is not a method of {path}"}
    kind = status.phrase.lower().replace(" ", "-")
    return problem(status, kind, status.phrase, detail.get(status, error.detail), error.headers)


def _unexpected(_request: Request, error: Exception) -> JSONResponse:
    _LOG.error("unexpected error", exc_info=error)
    return problem(500, "internal-error", "A bug in the service", "the service failed; its log says where")
