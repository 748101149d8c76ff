"""Routes: schedules from other libraries, and for them."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool

from preheat.api.answers import IMMUTABLE, etag, is_not_modified, not_modified
from preheat.api.dependencies import Catalogue, ScheduleId, Settings
from preheat.api.media_types import JSON
from preheat.api.openapi_parts import NOT_MODIFIED, answers
from preheat.api.problems import responses
from preheat.api.queries import ExportQuery, NoQuery
from preheat.api.spec_body import read_json_body
from preheat.conversions.exporters import export
from preheat.conversions.importers import import_schedule
from preheat.conversions.libraries import Source
from preheat.conversions.source import Known
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, from_pydantic, spec_of
from preheat.specs.fields import LR, MAX_ITERATION

router = APIRouter(tags=["exchange"])


class ImportRequest(BaseModel):
    """A schedule of another library."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    library: Source = Field(description="Whose schedule it is.", examples=["torch"])
    source: str | dict[str, Any] = Field(
        description="Text of a torch constructor, a state_dict, or the library's own configuration.",
        examples=["CosineAnnealingLR(optimizer, T_max=90)"],
    )
    target_lr: LR | None = Field(
        None, description="Target LR; by default the source's, where it says one.", examples=[0.1]
    )
    total_iterations: int | None = Field(
        None, ge=1, le=MAX_ITERATION, description="Length of the run; by default the source's.", examples=[90]
    )


class NotCarriedAnswer(BaseModel):
    """A field of the source that the spec does not say."""

    field: str = Field(description="Its name in the source.", examples=["last_epoch"])
    reason: str = Field(description="Why it is not in the spec.", examples=["is where the run stands"])


class ImportAnswer(BaseModel):
    """A spec that says what the source says."""

    spec: dict[str, Any] = Field(description="The normalised spec; post it to get its schedule.")
    not_carried: list[NotCarriedAnswer] = Field(description="What of the source is not in it.")


_IMPORT_REQUEST: TypeAdapter[ImportRequest] = TypeAdapter(ImportRequest)


@router.post(
    "/import",
    operation_id="import_schedule",
    summary="The spec of another library's schedule",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": {"$ref": "#/components/schemas/ImportRequest"}}},
        }
    },
    responses={**answers(200, "The spec.", ImportAnswer), **responses(413, 415, 422, 503)},
    response_class=Response,
)
async def import_route(request: Request, _query: Annotated[NoQuery, Query()], settings: Settings) -> Response:
    """What torch, transformers, timm, DeepSpeed or Keras would run, as a spec; nothing is stored and no code is run."""
    body = await read_json_body(request, settings.max_body_bytes)
    content = await run_in_threadpool(_import, body)
    return Response(orjson.dumps(content), headers={"cache-control": "no-store"}, media_type=JSON)


@router.get(
    "/schedules/{schedule_id}/export",
    operation_id="export_schedule",
    summary="A schedule as a script or configuration of another library",
    responses={
        **answers(200, "The script.", str, **{"text/plain": {"schema": {"type": "string"}}}),
        **NOT_MODIFIED,
        **responses(404, 409, 422, 503),
    },
    response_class=Response,
)
def export_route(
    request: Request, schedule_id: ScheduleId, query: Annotated[ExportQuery, Query()], catalogue: Catalogue
) -> Response:
    """A few lines that, run, print the same learning rates; for deepspeed, its configuration."""
    schedule = catalogue.curve(schedule_id).schedule
    text = export(schedule, query.to)
    tag = etag("export", schedule_id, text)
    if is_not_modified(request, tag):
        return not_modified(tag, IMMUTABLE)
    return Response(text, headers={"etag": tag, "cache-control": IMMUTABLE}, media_type="text/plain")


def _import(body: bytes) -> dict[str, Any]:
    try:
        asked = _IMPORT_REQUEST.validate_json(body)
    except ValidationError as error:
        known = tuple(ImportRequest.model_fields)
        raise InvalidSpec(
            from_pydantic(error.errors(include_url=False), tags=("str", "dict[str,any]"), fields_at=lambda _: known)
        ) from None
    found = import_schedule(asked.library, asked.source, Known(asked.target_lr, asked.total_iterations))
    spec = Schedule(spec_of(found.spec)).spec_dict
    return {"spec": spec, "not_carried": [{"field": left.field, "reason": left.reason} for left in found.not_carried]}
