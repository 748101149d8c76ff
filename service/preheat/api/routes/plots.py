"""Routes: plots of stored schedules and of specs, as PNG and SVG."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from preheat.api.caching import REVALIDATE, conditional, etag
from preheat.api.dependencies import Catalogue, Deadline, Pictures, ScheduleId, Settings, checked_schedule
from preheat.api.openapi import NOT_MODIFIED, answer, problems
from preheat.api.queries import PlotQuery, SpecPlotQuery
from preheat.budget import check_picture
from preheat.curve import Curve
from preheat.formats import PNG, SVG
from preheat.plot.contents import check_options
from preheat.plot.drawing import PICTURE_VERSION
from preheat.plot.options import PlotOptions
from preheat.specs import parse_spec

router = APIRouter(tags=["pictures"], default_response_class=Response)


def _plot_of_schedule(
    request: Request,
    schedule_id: ScheduleId,
    query: Annotated[PlotQuery, Query()],
    catalogue: Catalogue,
    pictures: Pictures,
    settings: Settings,
    deadline: Deadline,
) -> Response:
    """The LR curve, its phases, its peak and its end; others beside it with `compare`."""
    return _plot(request, catalogue.curve(schedule_id), query, catalogue, pictures, settings, deadline)


def _plot_of_spec(
    request: Request,
    query: Annotated[SpecPlotQuery, Query()],
    catalogue: Catalogue,
    pictures: Pictures,
    settings: Settings,
    deadline: Deadline,
) -> Response:
    """An address to paste into a wiki: the whole spec is in it."""
    curve = catalogue.curve_of(checked_schedule(parse_spec(query.spec), settings))
    return _plot(request, curve, query, catalogue, pictures, settings, deadline)


def _add_routes(path: str, plot: Callable[..., Response], operation_id: str, summary: str) -> None:
    for kind, media_type in (("png", PNG), ("svg", SVG)):
        router.add_api_route(
            f"{path}.{kind}",
            plot,
            operation_id=f"{operation_id}_{kind}",
            summary=summary.format(kind.upper()),
            responses={**answer("The picture.", None, media_type), **NOT_MODIFIED, **problems(404, 409, 422, 503)},
        )


_add_routes("/schedules/{schedule_id}/plot", _plot_of_schedule, "plot_schedule", "A schedule's picture as {}")
_add_routes("/plot", _plot_of_spec, "plot_spec", "A spec's picture as {}, without storing it")


def _plot(
    request: Request,
    curve: Curve,
    query: PlotQuery,
    catalogue: Catalogue,
    pictures: Pictures,
    settings: Settings,
    deadline: Deadline,
) -> Response:
    """The picture, or 304. Raises LimitExceeded, ScheduleNotFound, IterationOutOfRange, ComputeTimeout."""
    check_picture(query.width_px, query.height_px, settings)
    curves = [curve, *(catalogue.curve(schedule_id) for schedule_id in query.compare)]
    options = PlotOptions(**query.model_dump(include=set(PlotOptions.model_fields)))
    check_options(curves, options)
    # The two routes of an endpoint differ in their suffix alone.
    kind = request.url.path.rpartition(".")[2]
    tag = etag(request.app.version, [each.schedule.id for each in curves], options, kind, PICTURE_VERSION)
    make = partial(pictures.picture, curves, options, kind, deadline)
    return conditional(request, tag, make, REVALIDATE, SVG if kind == "svg" else PNG)
