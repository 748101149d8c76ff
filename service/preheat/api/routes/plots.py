"""Routes: plots of stored schedules and of specs, as PNG and SVG."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from preheat.api.caching import REVALIDATE, conditional
from preheat.api.dependencies import Context, RequestContext, ScheduleId
from preheat.api.openapi import NOT_MODIFIED, answer, problems
from preheat.api.queries import PlotQuery, SpecPlotQuery
from preheat.budget import check_picture
from preheat.curve import Curve
from preheat.formats import PICTURES, PNG, SVG
from preheat.plot.encoding import PICTURE_VERSION
from preheat.plot.options import PlotOptions
from preheat.plot.render import check_options
from preheat.specs import parse_spec

router = APIRouter(tags=["pictures"], default_response_class=Response)


def _plot_of_schedule(context: Context, schedule_id: ScheduleId, query: Annotated[PlotQuery, Query()]) -> Response:
    """The LR curve, its phases, its peak and its end; others beside it with `compare`."""
    return _plot(context, context.catalogue.curve(schedule_id), query)


def _plot_of_spec(context: Context, query: Annotated[SpecPlotQuery, Query()]) -> Response:
    """An address to paste into a wiki: the whole spec is in it."""
    return _plot(
        context, context.catalogue.curve_of(context.schedule(parse_spec(query.spec, context.deadline.check))), query
    )


def _add_routes(path: str, plot: Callable[..., Response], operation_id: str, summary: str) -> None:
    for media_type, kind in PICTURES.items():
        router.add_api_route(
            f"{path}.{kind}",
            plot,
            operation_id=f"{operation_id}_{kind}",
            summary=summary.format(kind.upper()),
            responses={**answer("The picture.", None, media_type), **NOT_MODIFIED, **problems(404, 409, 422, 503)},
        )


_add_routes("/schedules/{schedule_id}/plot", _plot_of_schedule, "plot_schedule", "A schedule's picture as {}")
_add_routes("/plot", _plot_of_spec, "plot_spec", "A spec's picture as {}, without storing it")


def _plot(context: RequestContext, curve: Curve, query: PlotQuery) -> Response:
    """The picture, or 304. Raises LimitExceeded, ScheduleNotFound, IterationOutOfRange, ComputeTimeout."""
    check_picture(query.width_px, query.height_px, context.settings)
    curves = [curve, *(context.catalogue.curve(schedule_id) for schedule_id in query.compare)]
    options = PlotOptions(**query.model_dump(include=set(PlotOptions.model_fields)))
    # Before the tag is compared, as for points: a window outside the run is refused, whatever the client has.
    check_options(curves, options)
    # The two routes of an endpoint differ in their suffix alone.
    kind = context.request.url.path.rpartition(".")[2]
    tag = context.etag([each.schedule.id for each in curves], options, kind, PICTURE_VERSION)
    make = partial(context.pictures.picture, curves, options, kind, context.deadline)
    return conditional(context.request, tag, make, REVALIDATE, SVG if kind == "svg" else PNG)
