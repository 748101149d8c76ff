"""Routes: schedules, made, listed and described."""

from functools import partial
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response

from preheat.api.caching import REVALIDATE, conditional, etag, response
from preheat.api.dependencies import Catalogue, Deadline, Findings, Pictures, PostedSchedule, ScheduleId, Settings
from preheat.api.models import LintedScheduleAnswer, ScheduleList, ScheduleWindowAnswer
from preheat.api.openapi import NOT_MODIFIED, SPEC_BODY, answer, problems
from preheat.api.queries import ListQuery, ScheduleQuery, WindowQuery, cursor
from preheat.api.routes.lrs import WINDOW_NOT_JSON, window_body
from preheat.curve import Curve, Floats
from preheat.errors import ComputeTimeout
from preheat.formats import findings_content, negotiate, schedule_content, schedule_window_json
from preheat.schedule import TORCH_VERSION

router = APIRouter(tags=["schedules"], default_response_class=Response)


@router.post(
    "/schedules",
    operation_id="create_schedule",
    summary="Make a schedule and list its learning rates",
    openapi_extra=SPEC_BODY,
    responses={
        **answer("The schedule was there already.", ScheduleWindowAnswer, *WINDOW_NOT_JSON),
        **answer("The schedule is new.", ScheduleWindowAnswer, *WINDOW_NOT_JSON, status=201),
        **problems(406, 413, 415, 422, 503),
    },
)
def create_schedule(
    request: Request,
    schedule: PostedSchedule,
    query: Annotated[WindowQuery, Query()],
    catalogue: Catalogue,
    pictures: Pictures,
    findings: Findings,
    settings: Settings,
    deadline: Deadline,
) -> Response:
    """Stores the spec (the same spec has the same id everywhere) and answers with a window of its LRs.

    With an empty window (`?stop=0`) the JSON has no `lint`, which takes longer than everything else.
    """
    media_type = negotiate(request.headers.get("accept"))
    curve = catalogue.curve_of(schedule)
    window = query.window(curve.total_iterations)

    def as_json(curve: Curve, window: range, lrs: Floats) -> bytes:
        return schedule_window_json(curve, window, lrs, findings.of(curve, deadline) if window else None)

    content = window_body(curve, window, media_type, pictures, settings, deadline, as_json)
    # Stored last: a request that is refused or cut off leaves nothing behind.
    is_new = catalogue.keep(curve)
    location = f"/v1/schedules/{schedule.id}"
    return response(content, 201 if is_new else 200, media_type, location=location, vary="accept")


@router.get(
    "/schedules",
    operation_id="list_schedules",
    summary="List schedules, newest first",
    responses={**answer("A page.", ScheduleList), **NOT_MODIFIED, **problems(422, 503)},
)
def list_schedules(request: Request, query: Annotated[ListQuery, Query()], catalogue: Catalogue) -> Response:
    """A page of schedules; `next` is the cursor of the following one. What cannot be read is named apart."""
    page = catalogue.store.newest(query.limit, query.before, query.label)
    content = {
        "schedules": [schedule_content(schedule) for schedule in page.schedules],
        "unreadable": [{**error.members, "detail": str(error)} for error in page.unreadable],
        "next": None if page.next is None else cursor(page.next),
    }
    body = orjson.dumps(content)
    return conditional(request, etag(request.app.version, body), lambda: body, REVALIDATE)


@router.get(
    "/schedules/{schedule_id}",
    operation_id="get_schedule",
    summary="A schedule without its learning rates",
    responses={**answer("The schedule.", LintedScheduleAnswer), **NOT_MODIFIED, **problems(404, 422, 503)},
)
def get_schedule(
    request: Request,
    schedule_id: ScheduleId,
    query: Annotated[ScheduleQuery, Query()],
    catalogue: Catalogue,
    findings: Findings,
    deadline: Deadline,
) -> Response:
    """The normalised spec, the torch that computes it, what lint says, and links.

    `lint` is null if it is not asked for, if this service's torch does not compute the schedule, or if it takes too
    long; a client that only opens a schedule by its id gets it sooner with `?lint=false`.
    """
    schedule = catalogue.schedule(schedule_id)

    def described(*, is_linted: bool) -> bytes:
        lint = findings_content(findings.of(catalogue.curve(schedule_id), deadline)) if is_linted else None
        return orjson.dumps({**schedule_content(schedule), "lint": lint})

    tag = etag(request.app.version, "schedule", schedule_id, TORCH_VERSION, query.lint)
    make = partial(described, is_linted=query.lint and schedule.computes)
    try:
        return conditional(request, tag, make, REVALIDATE)
    except ComputeTimeout:
        # Without a tag, and so not kept: asking again goes on where lint was stopped.
        return response(described(is_linted=False))
