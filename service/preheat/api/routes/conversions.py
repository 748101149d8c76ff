"""Routes: import of other libraries' schedules, and export to them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import ValidationError

from preheat.api.caching import REVALIDATE, conditional, response
from preheat.api.dependencies import Context, JSONBody, ScheduleId
from preheat.api.models import ImportAnswer, ImportRequest, NotCarriedAnswer
from preheat.api.openapi import IMPORT_BODY, NOT_MODIFIED, answer, problems
from preheat.api.queries import ExportQuery, NoQuery
from preheat.conversions.exporters import export
from preheat.conversions.importers import import_schedule
from preheat.conversions.known import Known
from preheat.formats import TEXT
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, from_pydantic, spec_of
from preheat.specs.violations import MOST_VIOLATIONS

router = APIRouter(tags=["exchange"], default_response_class=Response)


@router.post(
    "/import",
    operation_id="import_schedule",
    summary="The spec of another library's schedule",
    openapi_extra=IMPORT_BODY,
    responses={**answer("The spec.", ImportAnswer), **problems(413, 415, 422, 503)},
)
def import_route(context: Context, body: JSONBody, _query: Annotated[NoQuery, Query()]) -> Response:
    """What another library would run, as a spec; nothing is stored and no code is run."""
    asked = _import_request(body)
    known = Known(**asked.model_dump(exclude={"library", "source"}))
    found = import_schedule(asked.library, asked.source, known, context.deadline.check)
    # What another library means is checked as if its user had written the spec.
    spec = Schedule(spec_of(found.spec, context.deadline.check)).spec_dict
    not_carried = [NotCarriedAnswer.model_validate(left, from_attributes=True) for left in found.not_carried]
    return response(ImportAnswer(library=found.library, spec=spec, not_carried=not_carried))


@router.get(
    "/schedules/{schedule_id}/export",
    operation_id="export_schedule",
    summary="A schedule as a script or configuration of another library",
    responses={**answer("The script.", None, TEXT), **NOT_MODIFIED, **problems(404, 409, 422, 503)},
)
def export_route(context: Context, schedule_id: ScheduleId, query: Annotated[ExportQuery, Query()]) -> Response:
    """A few lines that, run, print the same learning rates; for deepspeed, its configuration."""
    # Text is as quick to write as a tag is to hash, so that the tag can be that of the text.
    text = export(context.catalogue.curve(schedule_id).schedule, query.to)
    return conditional(context.request, context.etag("export", text), lambda: text, REVALIDATE, TEXT)


def _import_request(body: bytes) -> ImportRequest:
    try:
        return ImportRequest.model_validate_json(body)
    except ValidationError as error:
        known = tuple(ImportRequest.model_fields)
        first = error.errors(include_url=False)[:MOST_VIOLATIONS]
        violations = from_pydantic(first, tags=("str", "dict[str,any]"), fields_at=lambda _: known)
        raise InvalidSpec(violations, error.error_count()) from None
