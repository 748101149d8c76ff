"""Routes: analyses of one schedule (sum, crossing, handover) and of two (diff)."""

from dataclasses import asdict
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from preheat.analysis.difference import ValuePair, difference
from preheat.analysis.handover import Handover, hand_over, rewarm
from preheat.analysis.window import first_crossing, totals
from preheat.api.caching import IMMUTABLE, REVALIDATE, conditional, response
from preheat.api.dependencies import Context, JSONBody, PostedSchedule, RequestContext, ScheduleId
from preheat.api.models import (
    ColumnName,
    ColumnTotal,
    CrossingAnswer,
    DifferenceAnswer,
    DifferenceRow,
    HandoverAnswer,
    TotalAnswer,
)
from preheat.api.openapi import NOT_MODIFIED, SPEC_BODY, answer, problems
from preheat.api.queries import BoundsQuery, CrossingQuery, DifferenceQuery, HandoverQuery
from preheat.budget import check_values, in_time
from preheat.curve import Curve
from preheat.errors import NotComparable
from preheat.formats import JSON, PICTURES, negotiate
from preheat.lint import lint
from preheat.plot.encoding import PICTURE_VERSION
from preheat.plot.options import PlotOptions
from preheat.plot.render import render_difference
from preheat.schedule import Schedule
from preheat.specs.durations import Units
from preheat.specs.parse import content_of

router = APIRouter(tags=["questions"], default_response_class=Response)


@router.get(
    "/schedules/{schedule_id}/sum",
    operation_id="sum_lr",
    summary="Sum and mean of the learning rates of a window",
    responses={**answer("The sums.", TotalAnswer), **NOT_MODIFIED, **problems(404, 409, 422, 503)},
)
def sum_lr(context: Context, schedule_id: ScheduleId, query: Annotated[BoundsQuery, Query()]) -> Response:
    """∑LR, by which schedules of different shapes are compared; every iteration of the window is computed."""
    curve = context.catalogue.curve(schedule_id)
    window = query.window(curve)
    tag = context.etag("sum", schedule_id, window)
    return conditional(context.request, tag, partial(_totals, context, curve, window), IMMUTABLE)


@router.get(
    "/schedules/{schedule_id}/crossing",
    operation_id="find_crossing",
    summary="When the learning rate first reaches a value",
    responses={**answer("The iteration.", CrossingAnswer), **NOT_MODIFIED, **problems(404, 409, 422, 503)},
)
def find_crossing(context: Context, schedule_id: ScheduleId, query: Annotated[CrossingQuery, Query()]) -> Response:
    """The first iteration of the window at which the LR (or another column) is at or past the value."""
    curve = context.catalogue.curve(schedule_id)
    column, window = query.column(curve.columns), query.window(curve)
    tag = context.etag("crossing", schedule_id, query)
    make = partial(_crossing, context, curve, query.value, column, window)
    return conditional(context.request, tag, make, IMMUTABLE)


@router.get(
    "/diff",
    operation_id="diff_schedules",
    summary="What tells two schedules apart",
    responses={
        **answer("The differences.", DifferenceAnswer, *PICTURES),
        **NOT_MODIFIED,
        **problems(404, 406, 409, 422, 503),
    },
)
def diff_schedules(context: Context, query: Annotated[DifferenceQuery, Query()]) -> Response:
    """The first difference, the largest, and a table; as PNG or SVG both curves, and their difference below."""
    # Before the store is asked: what a client cannot read need not be looked for.
    media_type = negotiate(context.request.headers.get("accept"), (JSON, *PICTURES))
    a, b = context.catalogue.curve(query.a), context.catalogue.curve(query.b)
    # What lies in the shorter run lies in the other, too.
    window = query.window(min(a, b, key=lambda curve: curve.total_iterations))
    if not window:
        raise NotComparable("the window has no iteration")
    tag = context.etag("diff", query, media_type, PICTURE_VERSION)
    if media_type == JSON:
        check_values(len(window), len(a.columns) + len(b.columns), context.settings)
        make = partial(_difference, context, a, b, window, query.rows)
        return conditional(context.request, tag, make, REVALIDATE, vary="accept")
    options = PlotOptions(start=window.start, stop=window.stop)
    draw = partial(render_difference, a, b, options, PICTURES[media_type], context.deadline)
    return conditional(context.request, tag, draw, REVALIDATE, media_type, vary="accept")


@router.post(
    "/schedules/{schedule_id}/resume",
    operation_id="resume_with",
    summary="What happens when a run goes over to another schedule",
    openapi_extra=SPEC_BODY,
    responses={**answer("The handover.", HandoverAnswer), **problems(404, 409, 413, 415, 422, 503)},
)
def resume_with(
    context: Context,
    schedule_id: ScheduleId,
    schedule: PostedSchedule,
    body: JSONBody,
    query: Annotated[HandoverQuery, Query()],
) -> Response:
    """The LR on both sides of the handover after an update, and the spec to go on with; nothing is stored.

    The update is named by its iteration, or by the epochs, samples or tokens that are done: each schedule counts them
    in iterations by the units of its own spec.
    """
    old, new = context.catalogue.curve(schedule_id), context.catalogue.curve_of(schedule)
    place = query.place(*(curve.schedule.spec.units or Units() for curve in (old, new)))
    if query.policy == "rewarm":
        # As it was written: what is filled in depends on where it begins.
        found = rewarm(old, place, new, content_of(body), context.deadline)
    else:
        found = hand_over(old, place, new, query.policy, context.deadline)
    return response(_handover(context, found))


def _handover(context: RequestContext, found: Handover) -> HandoverAnswer:
    curve = context.catalogue.curve_of(Schedule(found.spec))
    content = {
        "iteration": found.iteration,
        "old_iteration": found.old_iteration,
        "groups": found.groups,
        "lint": in_time(lint, curve, context.deadline, found.iteration),
        "spec": curve.schedule.spec_dict,
    }
    return HandoverAnswer.model_validate(content, from_attributes=True)


def _totals(context: RequestContext, curve: Curve, window: range) -> TotalAnswer:
    columns = [
        ColumnTotal(**asdict(total.column), sum=total.sum, mean=total.mean)
        for total in totals(curve, window.start, window.stop, context.deadline)
    ]
    return TotalAnswer(start=window.start, stop=window.stop, columns=columns)


def _crossing(context: RequestContext, curve: Curve, value: float, column: int, window: range) -> CrossingAnswer:
    found = first_crossing(curve, value, column, window.start, window.stop, context.deadline)
    return CrossingAnswer(
        **asdict(curve.columns[column]),
        value=value,
        iteration=found and found.iteration,
        reached=found and found.value,
        rises=found and found.rises,
        is_sampled=curve.is_sampled(window.start, window.stop),
    )


def _difference(context: RequestContext, a: Curve, b: Curve, window: range, rows: int) -> DifferenceAnswer:
    found = difference(a, b, window, rows, context.deadline)
    return DifferenceAnswer(
        a=a.schedule.id,
        b=b.schedule.id,
        total_iterations={"a": a.total_iterations, "b": b.total_iterations},
        start=window.start,
        stop=window.stop,
        step=window.step,
        columns=[ColumnName(**asdict(column)) for column in found.columns],
        first=found.first and _row(found.first),
        largest=found.largest and _row(found.largest),
        table=[_row(place) for place in found.table],
    )


def _row(place: ValuePair) -> DifferenceRow:
    return DifferenceRow(
        **asdict(place.column), iteration=place.iteration, a=place.a, b=place.b, difference=place.difference
    )
