"""Routes: schedules and their learning rates."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Query, Request, Response

from preheat.api.answers import (
    IMMUTABLE,
    LintedScheduleAnswer,
    PointAnswer,
    ScheduleList,
    ScheduleWindowAnswer,
    WindowAnswer,
    etag,
    is_not_modified,
    not_modified,
    point_etag,
    point_json,
    remarks,
    schedule_content,
)
from preheat.api.dependencies import Catalogue, Deadline, PostedSchedule, ScheduleId
from preheat.api.media_types import JSON
from preheat.api.openapi_parts import NOT_MODIFIED, OTHER_FORMATS, SPEC_BODY, answers
from preheat.api.problems import responses
from preheat.api.queries import ListQuery, NoQuery, PlaceQuery, WindowQuery, cursor
from preheat.api.windows import WindowWriter
from preheat.curve import Curve
from preheat.lint import lint
from preheat.schedule import TORCH_VERSION
from preheat.specs.fields import MAX_ITERATION
from preheat.specs.units import Units

router = APIRouter(tags=["schedules"])


@router.post(
    "/schedules",
    operation_id="create_schedule",
    summary="Make a schedule and list its learning rates",
    openapi_extra={"requestBody": SPEC_BODY},
    responses={
        **answers(200, "The schedule was there already.", ScheduleWindowAnswer, **OTHER_FORMATS),
        **answers(201, "The schedule is new.", ScheduleWindowAnswer, **OTHER_FORMATS),
        **responses(406, 413, 415, 422, 503),
    },
    response_class=Response,
)
def create_schedule(
    schedule: PostedSchedule, query: Annotated[WindowQuery, Query()], catalogue: Catalogue, writer: WindowWriter
) -> Response:
    """Stores the spec (the same spec has the same id everywhere) and answers with a window of its LRs."""
    curve = catalogue.curve_of(schedule)
    content = writer.content(curve, query.window(curve.total_iterations), with_spec=True)
    is_new = catalogue.keep(curve)
    headers = {"location": f"/v1/schedules/{schedule.id}", "cache-control": "no-store", "vary": "accept"}
    return Response(content, 201 if is_new else 200, headers, writer.media_type)


@router.get(
    "/schedules",
    operation_id="list_schedules",
    summary="List schedules, newest first",
    responses={**answers(200, "A page.", ScheduleList), **responses(422, 503)},
    response_class=Response,
)
def list_schedules(query: Annotated[ListQuery, Query()], catalogue: Catalogue) -> Response:
    """A page of schedules; `next` is the cursor of the following one. What cannot be read is named apart."""
    page = catalogue.store.newest(query.limit, query.before, query.label)
    content = {
        "schedules": [schedule_content(schedule) for schedule in page.schedules],
        "unreadable": [{"id": each.schedule_id, "reason": each.kind, "detail": str(each)} for each in page.unreadable],
        "next": None if page.next is None else cursor(page.next),
    }
    return Response(orjson.dumps(content), headers={"cache-control": "no-cache"}, media_type=JSON)


@router.get(
    "/schedules/{schedule_id}",
    operation_id="get_schedule",
    summary="A schedule without its learning rates",
    responses={**answers(200, "The schedule.", LintedScheduleAnswer), **NOT_MODIFIED, **responses(404, 422, 503)},
    response_class=Response,
)
def get_schedule(
    request: Request,
    schedule_id: ScheduleId,
    _query: Annotated[NoQuery, Query()],
    catalogue: Catalogue,
    deadline: Deadline,
) -> Response:
    """The normalised spec, the torch that computes it, what lint says, and links.

    A schedule that this service's torch does not compute has no lint.
    """
    schedule = catalogue.schedule(schedule_id)
    tag = etag(schedule_id, TORCH_VERSION)
    if is_not_modified(request, tag):
        return not_modified(tag, IMMUTABLE)
    headers = {"etag": tag, "cache-control": IMMUTABLE}
    found = remarks(lint(catalogue.curve(schedule_id), deadline)) if schedule.computes else None
    content = schedule_content(schedule) | {"lint": found}
    return Response(orjson.dumps(content), headers=headers, media_type=JSON)


@router.get(
    "/schedules/{schedule_id}/lr",
    operation_id="get_window",
    summary="Learning rates of a window",
    responses={
        **answers(200, "The window.", WindowAnswer, **OTHER_FORMATS),
        **NOT_MODIFIED,
        **responses(404, 406, 409, 422, 503),
    },
    response_class=Response,
)
def get_window(
    schedule_id: ScheduleId, query: Annotated[WindowQuery, Query()], catalogue: Catalogue, writer: WindowWriter
) -> Response:
    """Iterations start, start + step, … below stop, as JSON, CSV, NPY, PNG or SVG."""
    curve = catalogue.curve(schedule_id)
    return writer.response(curve, query.window(curve.total_iterations))


@router.get(
    "/schedules/{schedule_id}/lr/{iteration}",
    operation_id="get_lr",
    summary="Learning rate of one iteration",
    responses={**answers(200, "The LR.", PointAnswer), **NOT_MODIFIED, **responses(404, 409, 422, 503)},
    response_class=Response,
)
def get_lr(
    request: Request,
    schedule_id: ScheduleId,
    iteration: Annotated[int, Path(description="The iteration, from 0.", ge=0, le=MAX_ITERATION, examples=[9])],
    _query: Annotated[NoQuery, Query()],
    catalogue: Catalogue,
    deadline: Deadline,
) -> Response:
    """The LR of each param group at one iteration, for the update that a trainer is about to run."""
    return _point(request, catalogue.curve(schedule_id), iteration, deadline)


@router.get(
    "/schedules/{schedule_id}/at",
    operation_id="get_lr_at",
    summary="Learning rate at an epoch, or after so many samples or tokens",
    responses={**answers(200, "The LR.", PointAnswer), **NOT_MODIFIED, **responses(404, 409, 422, 503)},
    response_class=Response,
)
def get_lr_at(
    request: Request,
    schedule_id: ScheduleId,
    query: Annotated[PlaceQuery, Query()],
    catalogue: Catalogue,
    deadline: Deadline,
) -> Response:
    """The LR at the nearest iteration, by the units of the schedule's spec; the answer says which that is."""
    curve = catalogue.curve(schedule_id)
    iteration = query.iteration_in(curve.schedule.spec.units or Units())
    return _point(request, curve, iteration, deadline)


def _point(request: Request, curve: Curve, iteration: int, deadline: Deadline) -> Response:
    lrs = curve.lr(iteration, deadline)
    tag = point_etag(curve.schedule.id, iteration)
    if is_not_modified(request, tag):
        return not_modified(tag, IMMUTABLE)
    headers = {"etag": tag, "cache-control": IMMUTABLE}
    return Response(point_json(curve, iteration, lrs), headers=headers, media_type=JSON)
