"""Routes: questions about a schedule, or about two."""

from dataclasses import asdict
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from preheat.analysis.crossing import first_crossing
from preheat.analysis.difference import ValuePair, difference
from preheat.analysis.handover import hand_over
from preheat.analysis.totals import totals
from preheat.api.answers import IMMUTABLE, ColumnName, etag, is_not_modified, not_modified
from preheat.api.dependencies import Catalogue, Deadline, PostedSchedule, ScheduleId, Settings
from preheat.api.media_types import JSON, PNG, SVG, negotiate
from preheat.api.openapi_parts import NOT_MODIFIED, SPEC_BODY, answers
from preheat.api.problems import responses
from preheat.api.queries import BoundsQuery, CrossingQuery, DifferenceQuery, SeamQuery
from preheat.budget import check_values
from preheat.curve import Curve
from preheat.errors import NotComparable
from preheat.plot.contents import render_difference
from preheat.plot.drawing import PICTURE_VERSION
from preheat.plot.options import PlotOptions
from preheat.schedule import Schedule

router = APIRouter(tags=["questions"])


class ColumnTotal(ColumnName):
    """Sum and mean of one column."""

    sum: float = Field(description="Sum over the window.", examples=[0.1])
    mean: float = Field(description="Mean over the window.", examples=[0.005])


class TotalAnswer(BaseModel):
    """Sums over a window."""

    start: int = Field(description="First iteration.", examples=[0])
    stop: int = Field(description="Iteration before which the window ends.", examples=[21])
    columns: list[ColumnTotal] = Field(description="Every column.")


class CrossingAnswer(ColumnName):
    """When a value is reached."""

    value: float = Field(description="The value asked for.", examples=[0.005])
    iteration: int | None = Field(
        description="The first iteration at which it is reached; null for never.", examples=[5]
    )
    reached: float | None = Field(description="The value there.", examples=[0.005])
    rises: bool | None = Field(description="Whether it is reached from below.", examples=[True])


class PlaceAnswer(ColumnName):
    """One iteration of two schedules."""

    iteration: int = Field(description="The iteration.", examples=[11])
    a: float = Field(description="The value in a.", examples=[0.01])
    b: float = Field(description="The value in b.", examples=[0.009])
    difference: float = Field(description="b − a.", examples=[-0.001])


class DifferenceAnswer(BaseModel):
    """What tells two schedules apart."""

    a: str = Field(description="Id of the first.", examples=["630e8304e0352e14c20ae59b8f487901"])
    b: str = Field(description="Id of the second.", examples=["630e8304e0352e14c20ae59b8f487901"])
    total_iterations: dict[str, int] = Field(description="Length of each.", examples=[{"a": 20, "b": 30}])
    start: int = Field(description="First iteration compared.", examples=[0])
    stop: int = Field(description="Iteration before which the comparison ends.", examples=[21])
    step: int = Field(description="Distance of two iterations compared.", examples=[1])
    columns: list[ColumnName] = Field(description="Columns compared: those that both have.")
    first: PlaceAnswer | None = Field(description="The first difference; null if there is none.")
    largest: PlaceAnswer | None = Field(description="The largest difference; null if there is none.")
    table: list[PlaceAnswer] = Field(description="Iterations at even distances.")


class HandoverAnswer(BaseModel):
    """One param group at the seam."""

    group: str = Field(description="Name of the param group.", examples=["default"])
    old_lr: float = Field(description="LR of the first update after the seam by the old schedule.", examples=[0.01])
    new_lr: float = Field(description="The same by the new one, with the policy applied.", examples=[0.01])
    ratio: float | None = Field(description="New over old; null where the old LR is 0.", examples=[1.0])
    is_continuous: bool = Field(description="Whether both are the same.", examples=[True])


class SeamAnswer(BaseModel):
    """What becomes of a run that goes over to another schedule."""

    iteration: int = Field(description="The first update after the seam.", examples=[12])
    groups: list[HandoverAnswer] = Field(description="Every param group there.")
    spec: dict[str, Any] = Field(description="The spec to go on with; post it to get its schedule.")


@router.get(
    "/schedules/{schedule_id}/sum",
    operation_id="sum_lr",
    summary="Sum and mean of the learning rates of a window",
    responses={**answers(200, "The sums.", TotalAnswer), **NOT_MODIFIED, **responses(404, 409, 422, 503)},
    response_class=Response,
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
    tag = etag("sum", schedule_id, window)
    if is_not_modified(request, tag):
        return not_modified(tag, IMMUTABLE)
    found = totals(curve, window.start, window.stop, deadline)
    columns = [{**asdict(total.column), "sum": total.sum, "mean": total.mean} for total in found]
    return _immutable({"start": window.start, "stop": window.stop, "columns": columns}, tag)


@router.get(
    "/schedules/{schedule_id}/crossing",
    operation_id="find_crossing",
    summary="When the learning rate first reaches a value",
    responses={**answers(200, "The iteration.", CrossingAnswer), **NOT_MODIFIED, **responses(404, 409, 422, 503)},
    response_class=Response,
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
    place = query.column(curve.columns)
    window = query.window(curve.total_iterations)
    curve.check_window(window.start, window.stop)
    tag = etag("crossing", schedule_id, query)
    if is_not_modified(request, tag):
        return not_modified(tag, IMMUTABLE)
    found = first_crossing(curve, query.value, place, window.start, window.stop, deadline)
    content = {**asdict(curve.columns[place]), "value": query.value, "iteration": None, "reached": None, "rises": None}
    if found is not None:
        content |= {"iteration": found.iteration, "reached": found.value, "rises": found.rises}
    return _immutable(content, tag)


@router.get(
    "/diff",
    operation_id="diff_schedules",
    summary="What tells two schedules apart",
    responses={
        **answers(
            200,
            "The differences.",
            DifferenceAnswer,
            **{PNG: {"schema": {"type": "string", "format": "binary"}}, SVG: {"schema": {"type": "string"}}},
        ),
        **NOT_MODIFIED,
        **responses(404, 406, 409, 422, 503),
    },
    response_class=Response,
)
def diff_schedules(
    request: Request,
    query: Annotated[DifferenceQuery, Query()],
    catalogue: Catalogue,
    settings: Settings,
    deadline: Deadline,
) -> Response:
    """The first difference, the largest, and a table; as PNG or SVG both curves, and their difference below."""
    media_type = negotiate(request.headers.get("accept"), (JSON, PNG, SVG))
    a, b = catalogue.curve(query.a), catalogue.curve(query.b)
    window = query.window(min(a.total_iterations, b.total_iterations))
    for curve in (a, b):
        curve.check_window(window.start, window.stop)
    if not window:
        raise NotComparable("the window has no iteration")
    tag = etag("diff", query, media_type, PICTURE_VERSION)
    if is_not_modified(request, tag):
        return not_modified(tag, IMMUTABLE)
    if media_type != JSON:
        options = PlotOptions(start=window.start, stop=window.stop)
        picture = render_difference(a, b, options, "svg" if media_type == SVG else "png", deadline)
        headers = {"etag": tag, "cache-control": IMMUTABLE, "vary": "accept"}
        return Response(picture, media_type=media_type, headers=headers)
    check_values(len(window), len(a.columns) + len(b.columns), settings)
    return _immutable(_difference_content(a, b, window, query.rows, deadline), tag, vary="accept")


@router.post(
    "/schedules/{schedule_id}/resume",
    operation_id="resume_with",
    summary="What happens when a run goes over to another schedule",
    openapi_extra={"requestBody": SPEC_BODY},
    responses={**answers(200, "The seam.", SeamAnswer), **responses(404, 409, 413, 415, 422, 503)},
    response_class=Response,
)
def resume_with(
    schedule_id: ScheduleId,
    schedule: PostedSchedule,
    query: Annotated[SeamQuery, Query()],
    catalogue: Catalogue,
    deadline: Deadline,
) -> Response:
    """The LR on both sides of the seam after update `iteration`, and the spec to go on with; nothing is stored."""
    found = hand_over(
        catalogue.curve(schedule_id), query.iteration, catalogue.curve_of(schedule), query.policy, deadline
    )
    groups = [{**asdict(group), "ratio": group.ratio, "is_continuous": group.is_continuous} for group in found.groups]
    content = {"iteration": found.iteration, "groups": groups, "spec": Schedule(found.spec).spec_dict}
    return Response(orjson.dumps(content), headers={"cache-control": "no-store"}, media_type=JSON)


def _difference_content(a: Curve, b: Curve, window: range, rows: int, deadline: Deadline) -> dict[str, Any]:
    found = difference(a, b, window, rows, deadline)
    return {
        "a": a.schedule.id,
        "b": b.schedule.id,
        "total_iterations": {"a": a.total_iterations, "b": b.total_iterations},
        "start": window.start,
        "stop": window.stop,
        "step": window.step,
        "columns": [asdict(column) for column in found.columns],
        "first": found.first and _place(found.first),
        "largest": found.largest and _place(found.largest),
        "table": [_place(place) for place in found.table],
    }


def _place(place: ValuePair) -> dict[str, Any]:
    values = {"iteration": place.iteration, "a": place.a, "b": place.b, "difference": place.difference}
    return {**asdict(place.column), **values}


def _immutable(content: dict[str, Any], tag: str, **headers: str) -> Response:
    headers = {"etag": tag, "cache-control": IMMUTABLE, **headers}
    return Response(orjson.dumps(content), headers=headers, media_type=JSON)
