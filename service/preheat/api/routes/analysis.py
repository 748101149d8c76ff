"""Routes: analyses of one schedule (sum, crossing, handover) and of two (diff)."""

from dataclasses import asdict
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from preheat.analysis.difference import ValuePair, difference
from preheat.analysis.handover import hand_over
from preheat.analysis.window import first_crossing, totals
from preheat.api import models
from preheat.api.caching import IMMUTABLE, REVALIDATE, conditional, etag, response
from preheat.api.dependencies import Catalogue, Deadline, PostedSchedule, ScheduleId, Settings
from preheat.api.openapi import NOT_MODIFIED, SPEC_BODY, answer, problems
from preheat.api.queries import BoundsQuery, CrossingQuery, DifferenceQuery, HandoverQuery
from preheat.budget import check_values
from preheat.curve import Curve
from preheat.errors import NotComparable
from preheat.formats import JSON, PNG, SVG, negotiate
from preheat.plot.contents import render_difference
from preheat.plot.drawing import PICTURE_VERSION
from preheat.plot.options import PlotOptions
from preheat.schedule import Schedule

router = APIRouter(tags=["questions"], default_response_class=Response)


@router.get(
    "/schedules/{schedule_id}/sum",
    operation_id="sum_lr",
    summary="Sum and mean of the learning rates of a window",
    responses={**answer("The sums.", models.TotalAnswer), **NOT_MODIFIED, **problems(404, 409, 422, 503)},
)
def sum_lr(
    request: Request,
    schedule_id: ScheduleId,
    query: Annotated[BoundsQuery, Query()],
    catalogue: Catalogue,
    deadline: Deadline,
) -> Response:
    """∑LR, by which schedules of different shapes are compared; every iteration of the window is computed."""
    curve = catalogue.curve(schedule_id)
    window = query.window(curve.total_iterations)
    curve.check_window(window.start, window.stop)
    tag = etag(request.app.version, "sum", schedule_id, window)
    return conditional(request, tag, partial(_totals, curve, window, deadline), IMMUTABLE)


@router.get(
    "/schedules/{schedule_id}/crossing",
    operation_id="find_crossing",
    summary="When the learning rate first reaches a value",
    responses={**answer("The iteration.", models.CrossingAnswer), **NOT_MODIFIED, **problems(404, 409, 422, 503)},
)
def find_crossing(
    request: Request,
    schedule_id: ScheduleId,
    query: Annotated[CrossingQuery, Query()],
    catalogue: Catalogue,
    deadline: Deadline,
) -> Response:
    """The first iteration of the window at which the LR (or another column) is at or past the value."""
    curve = catalogue.curve(schedule_id)
    column = query.column(curve.columns)
    window = query.window(curve.total_iterations)
    curve.check_window(window.start, window.stop)
    tag = etag(request.app.version, "crossing", schedule_id, query)
    return conditional(request, tag, partial(_crossing, curve, query.value, column, window, deadline), IMMUTABLE)


@router.get(
    "/diff",
    operation_id="diff_schedules",
    summary="What tells two schedules apart",
    responses={
        **answer("The differences.", models.DifferenceAnswer, PNG, SVG),
        **NOT_MODIFIED,
        **problems(404, 406, 409, 422, 503),
    },
)
def diff_schedules(
    request: Request,
    query: Annotated[DifferenceQuery, Query()],
    catalogue: Catalogue,
    settings: Settings,
    deadline: Deadline,
) -> Response:
    """The first difference, the largest, and a table; as PNG or SVG both curves, and their difference below."""
    # Before the store is asked: what a client cannot read need not be looked for.
    media_type = negotiate(request.headers.get("accept"), (JSON, PNG, SVG))
    a, b = catalogue.curve(query.a), catalogue.curve(query.b)
    window = query.window(min(a.total_iterations, b.total_iterations))
    for curve in (a, b):
        curve.check_window(window.start, window.stop)
    if not window:
        raise NotComparable("the window has no iteration")
    tag = etag(request.app.version, "diff", query, media_type, PICTURE_VERSION)
    if media_type == JSON:
        check_values(len(window), len(a.columns) + len(b.columns), settings)
        make = partial(_difference, a, b, window, query.rows, deadline)
        return conditional(request, tag, make, REVALIDATE, vary="accept")
    options, kind = PlotOptions(start=window.start, stop=window.stop), "svg" if media_type == SVG else "png"
    draw = partial(render_difference, a, b, options, kind, deadline)
    return conditional(request, tag, draw, REVALIDATE, media_type, vary="accept")


@router.post(
    "/schedules/{schedule_id}/resume",
    operation_id="resume_with",
    summary="What happens when a run goes over to another schedule",
    openapi_extra=SPEC_BODY,
    responses={**answer("The handover.", models.HandoverAnswer), **problems(404, 409, 413, 415, 422, 503)},
)
def resume_with(
    schedule_id: ScheduleId,
    schedule: PostedSchedule,
    query: Annotated[HandoverQuery, Query()],
    catalogue: Catalogue,
    deadline: Deadline,
) -> Response:
    """The LR on both sides of the handover after update `iteration`, and the spec to go on with; nothing is stored."""
    old, new = catalogue.curve(schedule_id), catalogue.curve_of(schedule)
    found = hand_over(old, query.iteration, new, query.policy, deadline)
    groups = [models.GroupHandover.model_validate(group, from_attributes=True) for group in found.groups]
    return response(
        models.HandoverAnswer(iteration=found.iteration, groups=groups, spec=Schedule(found.spec).spec_dict)
    )


def _totals(curve: Curve, window: range, deadline: Deadline) -> models.TotalAnswer:
    columns = [
        models.ColumnTotal(**asdict(total.column), sum=total.sum, mean=total.mean)
        for total in totals(curve, window.start, window.stop, deadline)
    ]
    return models.TotalAnswer(start=window.start, stop=window.stop, columns=columns)


def _crossing(curve: Curve, value: float, column: int, window: range, deadline: Deadline) -> models.CrossingAnswer:
    found = first_crossing(curve, value, column, window.start, window.stop, deadline)
    return models.CrossingAnswer(
        **asdict(curve.columns[column]),
        value=value,
        iteration=found and found.iteration,
        reached=found and found.value,
        rises=found and found.rises,
    )


def _difference(a: Curve, b: Curve, window: range, rows: int, deadline: Deadline) -> models.DifferenceAnswer:
    found = difference(a, b, window, rows, deadline)
    return models.DifferenceAnswer(
        a=a.schedule.id,
        b=b.schedule.id,
        total_iterations={"a": a.total_iterations, "b": b.total_iterations},
        start=window.start,
        stop=window.stop,
        step=window.step,
        columns=[models.ColumnName(**asdict(column)) for column in found.columns],
        first=found.first and _row(found.first),
        largest=found.largest and _row(found.largest),
        table=[_row(place) for place in found.table],
    )


def _row(place: ValuePair) -> models.DifferenceRow:
    return models.DifferenceRow(
        **asdict(place.column), iteration=place.iteration, a=place.a, b=place.b, difference=place.difference
    )
