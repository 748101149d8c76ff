"""Routes: schedules, made, listed and described, and their learning rates, as a window or at one iteration."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import orjson
from anyio import to_thread
from fastapi import APIRouter, Path, Query, Response

from preheat import formats
from preheat.api.caching import IMMUTABLE, REVALIDATE, conditional, point_etag, response
from preheat.api.dependencies import Context, PostedSchedule, RequestContext, ScheduleId
from preheat.api.models import PointAnswer, ScheduleAnswer, ScheduleList, ScheduleWindowAnswer, WindowAnswer
from preheat.api.openapi import NOT_MODIFIED, SPEC_BODY, answer, problems
from preheat.api.queries import ListQuery, NoQuery, ScheduleQuery, UnitQuery, WindowQuery, cursor
from preheat.budget import check_values, in_time, rows_unasked
from preheat.curve import Curve, Floats
from preheat.errors import ComputeTimeout
from preheat.plot.encoding import PICTURE_VERSION
from preheat.plot.options import PlotOptions
from preheat.schedule import TORCH_VERSION
from preheat.specs.durations import Units
from preheat.specs.fields import MAX_ITERATION

router = APIRouter(tags=["schedules"], default_response_class=Response)

_NOT_JSON = tuple(media_type for media_type in formats.WINDOW_FORMATS if media_type != formats.JSON)


@router.post(
    "/schedules",
    operation_id="create_schedule",
    summary="Make a schedule and list its learning rates",
    openapi_extra=SPEC_BODY,
    responses={
        **answer("The schedule was there already.", ScheduleWindowAnswer, *_NOT_JSON),
        **answer("The schedule is new.", ScheduleWindowAnswer, *_NOT_JSON, status=201),
        **problems(406, 413, 415, 422, 503),
    },
)
def create_schedule(context: Context, schedule: PostedSchedule, query: Annotated[WindowQuery, Query()]) -> Response:
    """Stores the spec (the same spec has the same id everywhere) and answers with a window of its LRs.

    JSON has the first 5,000 values unless a window is asked for; `is_complete` says whether these are all, `links.next`
    where the others are. CSV and NPY, which cannot say so, have the whole run. With an empty window (`?stop=0`) there
    is no lint, which takes longer than everything else.
    """
    media_type = formats.negotiate(context.request.headers.get("accept"))
    curve = context.catalogue.curve_of(schedule)
    window = query.window(curve)
    if media_type == formats.JSON and not query.is_given:
        window = window[: rows_unasked(len(curve.columns), context.settings)]

    def as_json(curve: Curve, window: range, lrs: Floats) -> bytes:
        findings = in_time(context.lint, curve) if window else None
        return formats.schedule_window_json(curve, window, lrs, findings, context.root_path)

    content = _window(context, curve, window, media_type, as_json)
    # Stored last: a request that is refused or cut off leaves nothing behind.
    is_new = context.catalogue.keep(curve)
    location = f"{context.root_path}/v1/schedules/{schedule.id}"
    return response(content, 201 if is_new else 200, media_type, location=location, vary="accept")


@router.get(
    "/schedules",
    operation_id="list_schedules",
    summary="List schedules, newest first",
    responses={**answer("A page.", ScheduleList), **NOT_MODIFIED, **problems(422, 503)},
)
def list_schedules(context: Context, query: Annotated[ListQuery, Query()]) -> Response:
    """A page of schedules; `next` is the cursor of the following one. What cannot be read is named apart.

    A page ends early where its specs together have more than 2 million characters.
    """
    root = context.root_path
    page = context.catalogue.store.newest(query.limit, query.before, query.search)
    content = {
        "schedules": [formats.summary_content(kept.schedule, kept.created_at, root) for kept in page.schedules],
        # One damaged row must not take the page from those who look for another.
        "unreadable": [{**error.members, "detail": str(error)} for error in page.unreadable],
        "next": None if page.next is None else cursor(page.next),
    }
    body = orjson.dumps(content)
    return conditional(context.request, context.etag(body), lambda: body, REVALIDATE)


@router.get(
    "/schedules/{schedule_id}",
    operation_id="get_schedule",
    summary="A schedule without its learning rates",
    responses={**answer("The schedule.", ScheduleAnswer), **NOT_MODIFIED, **problems(404, 422, 503)},
)
def get_schedule(context: Context, schedule_id: ScheduleId, query: Annotated[ScheduleQuery, Query()]) -> Response:
    """The normalised spec, the torch that computes it, what lint says, and links.

    `lint` is null if it is not asked for, if this service's torch does not compute the schedule, or if it takes too
    long; a client that only opens a schedule by its id gets it sooner with `?lint=false`.
    """
    schedule = context.catalogue.schedule(schedule_id)

    def described(*, is_linted: bool) -> bytes:
        # Not even a curve is made without lint: of many param groups with their own schedulers that takes seconds.
        findings = context.lint(context.catalogue.curve_of_stored(schedule)) if is_linted else None
        lint = None if findings is None else formats.findings_content(findings)
        return orjson.dumps({**formats.schedule_content(schedule, context.root_path), "lint": lint})

    tag = context.etag("schedule", schedule_id, TORCH_VERSION, query.lint)
    make = partial(described, is_linted=query.lint and schedule.computes)
    try:
        return conditional(context.request, tag, make, REVALIDATE)
    except ComputeTimeout:
        # Without a tag, and so not kept: asking again goes on where lint was stopped.
        return response(described(is_linted=False))


@router.delete(
    "/schedules/{schedule_id}",
    operation_id="delete_schedule",
    summary="Remove a schedule",
    status_code=204,
    responses={204: {"description": "It is removed."}, **problems(404, 409, 422, 503)},
)
async def delete_schedule(context: Context, schedule_id: ScheduleId, _query: Annotated[NoQuery, Query()]) -> Response:
    """Removes the schedule from the database; posting its spec makes it again, under the same id.

    Other processes and replicas may go on giving its LRs for about a second: they can never be others.
    """
    # Threads of its own: while the database is locked they all wait for it, and what is cheap must not.
    await to_thread.run_sync(context.catalogue.delete, schedule_id, limiter=context.deleting)
    return Response(status_code=204)


@router.get(
    "/schedules/{schedule_id}/lr",
    operation_id="get_window",
    summary="Learning rates of a window",
    responses={**answer("The window.", WindowAnswer, *_NOT_JSON), **NOT_MODIFIED, **problems(404, 406, 409, 422, 503)},
)
def get_window(context: Context, schedule_id: ScheduleId, query: Annotated[WindowQuery, Query()]) -> Response:
    """Iterations start, start + step, … below stop, as JSON, CSV, NPY, PNG or SVG."""
    media_type = formats.negotiate(context.request.headers.get("accept"))
    curve = context.catalogue.curve(schedule_id)
    window = query.window(curve)
    place = (
        f"{context.root_path}/v1/schedules/{schedule_id}/lr?start={window.start}&stop={window.stop}&step={window.step}"
    )
    tag = context.etag(schedule_id, window, media_type, PICTURE_VERSION)
    # Numbers follow from the id; how they are drawn may change with the service.
    policy = REVALIDATE if media_type in formats.PICTURES else IMMUTABLE
    make = partial(_window, context, curve, window, media_type)
    return conditional(context.request, tag, make, policy, media_type, vary="accept", content_location=place)


@router.get(
    "/schedules/{schedule_id}/lr/{iteration}",
    operation_id="get_lr",
    summary="Learning rate of one iteration",
    responses={**answer("The LR.", PointAnswer), **NOT_MODIFIED, **problems(404, 409, 422, 503)},
)
def get_lr(
    context: Context,
    schedule_id: ScheduleId,
    iteration: Annotated[int, Path(description="The iteration, from 0.", ge=0, le=MAX_ITERATION, examples=[9])],
    _query: Annotated[NoQuery, Query()],
) -> Response:
    """The LR of each param group at one iteration, for the update that a trainer is about to run."""
    return _point(context, context.catalogue.curve(schedule_id), iteration)


@router.get(
    "/schedules/{schedule_id}/at",
    operation_id="get_lr_at",
    summary="Learning rate at an epoch, or after so many samples or tokens",
    responses={**answer("The LR.", PointAnswer), **NOT_MODIFIED, **problems(404, 409, 422, 503)},
)
def get_lr_at(context: Context, schedule_id: ScheduleId, query: Annotated[UnitQuery, Query()]) -> Response:
    """The LR at the nearest iteration, by the units of the schedule's spec; the answer says which that is."""
    curve = context.catalogue.curve(schedule_id)
    return _point(context, curve, query.iteration_in(curve.schedule.spec.units or Units()))


def _window(
    context: RequestContext,
    curve: Curve,
    window: range,
    media_type: str,
    as_json: Callable[[Curve, range, Floats], bytes] | None = None,
) -> bytes:
    """A window in one of `formats.WINDOW_FORMATS`. Raises IterationOutOfRange, LimitExceeded, ComputeTimeout."""
    if media_type in formats.PICTURES:
        options = PlotOptions(start=window.start, stop=window.stop)
        return context.pictures.picture([curve], options, formats.PICTURES[media_type], context.deadline)
    check_values(len(window), len(curve.columns), context.settings)
    lrs = curve.window(window.start, window.stop, window.step, context.deadline)
    if media_type == formats.CSV:
        return formats.window_csv(curve, window, lrs)
    if media_type == formats.NPY:
        return formats.window_npy(lrs)
    return as_json(curve, window, lrs) if as_json else formats.window_json(curve, window, lrs, context.root_path)


def _point(context: RequestContext, curve: Curve, iteration: int) -> Response:
    # Computed before the tag is compared: an iteration outside the run is refused, whatever the client has.
    lrs = curve.lr(iteration, context.deadline)
    tag = point_etag(context.request.app.version, curve.schedule.id, iteration)
    return conditional(context.request, tag, lambda: formats.point_json(curve, iteration, lrs), IMMUTABLE)
