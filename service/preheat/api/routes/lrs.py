"""Routes: learning rates of a schedule, as a window or at one iteration."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from preheat import formats
from preheat.api.caching import IMMUTABLE, REVALIDATE, conditional, etag, point_etag
from preheat.api.dependencies import Catalogue, Deadline, Pictures, ScheduleId, Settings
from preheat.api.models import PointAnswer, WindowAnswer
from preheat.api.openapi import NOT_MODIFIED, answer, problems
from preheat.api.queries import NoQuery, UnitQuery, WindowQuery
from preheat.budget import check_values
from preheat.curve import Curve, Floats
from preheat.plot.contents import check_options
from preheat.plot.drawing import PICTURE_VERSION
from preheat.plot.options import PlotOptions
from preheat.specs.durations import Units
from preheat.specs.fields import MAX_ITERATION

router = APIRouter(tags=["schedules"], default_response_class=Response)

WINDOW_NOT_JSON = tuple(media_type for media_type in formats.WINDOW_FORMATS if media_type != formats.JSON)


@router.get(
    "/schedules/{schedule_id}/lr",
    operation_id="get_window",
    summary="Learning rates of a window",
    responses={
        **answer("The window.", WindowAnswer, *WINDOW_NOT_JSON),
        **NOT_MODIFIED,
        **problems(404, 406, 409, 422, 503),
    },
)
def get_window(
    request: Request,
    schedule_id: ScheduleId,
    query: Annotated[WindowQuery, Query()],
    catalogue: Catalogue,
    pictures: Pictures,
    settings: Settings,
    deadline: Deadline,
) -> Response:
    """Iterations start, start + step, … below stop, as JSON, CSV, NPY, PNG or SVG."""
    media_type = formats.negotiate(request.headers.get("accept"))
    curve = catalogue.curve(schedule_id)
    window = query.window(curve.total_iterations)
    curve.check_window(window.start, window.stop)
    place = f"/v1/schedules/{schedule_id}/lr?start={window.start}&stop={window.stop}&step={window.step}"
    tag = etag(request.app.version, schedule_id, window, media_type, PICTURE_VERSION)
    make = partial(window_body, curve, window, media_type, pictures, settings, deadline)
    policy = REVALIDATE if media_type in formats.PICTURES else IMMUTABLE
    return conditional(request, tag, make, policy, media_type, vary="accept", content_location=place)


@router.get(
    "/schedules/{schedule_id}/lr/{iteration}",
    operation_id="get_lr",
    summary="Learning rate of one iteration",
    responses={**answer("The LR.", PointAnswer), **NOT_MODIFIED, **problems(404, 409, 422, 503)},
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
    responses={**answer("The LR.", PointAnswer), **NOT_MODIFIED, **problems(404, 409, 422, 503)},
)
def get_lr_at(
    request: Request,
    schedule_id: ScheduleId,
    query: Annotated[UnitQuery, Query()],
    catalogue: Catalogue,
    deadline: Deadline,
) -> Response:
    """The LR at the nearest iteration, by the units of the schedule's spec; the answer says which that is."""
    curve = catalogue.curve(schedule_id)
    return _point(request, curve, query.iteration_in(curve.schedule.spec.units or Units()), deadline)


def window_body(
    curve: Curve,
    window: range,
    media_type: str,
    pictures: Pictures,
    settings: Settings,
    deadline: Deadline,
    as_json: Callable[[Curve, range, Floats], bytes] = formats.window_json,
) -> bytes:
    """A window in one of `formats.WINDOW_FORMATS`. Raises IterationOutOfRange, LimitExceeded, ComputeTimeout."""
    if media_type in formats.PICTURES:
        options = PlotOptions(start=window.start, stop=window.stop)
        check_options([curve], options)
        return pictures.picture([curve], options, "svg" if media_type == formats.SVG else "png", deadline)
    check_values(len(window), len(curve.columns), settings)
    lrs = curve.window(window.start, window.stop, window.step, deadline)
    if media_type == formats.CSV:
        return formats.window_csv(curve, window, lrs)
    return formats.window_npy(lrs) if media_type == formats.NPY else as_json(curve, window, lrs)


def _point(request: Request, curve: Curve, iteration: int, deadline: Deadline) -> Response:
    # Computed before the tag is compared: an iteration outside the run is refused, whatever the client has.
    lrs = curve.lr(iteration, deadline)
    tag = point_etag(request.app.version, curve.schedule.id, iteration)
    return conditional(request, tag, lambda: formats.point_json(curve, iteration, lrs), IMMUTABLE)
