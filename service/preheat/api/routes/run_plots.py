"""Routes: pictures of live runs, as PNG and SVG."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Response

from preheat.api.caching import response
from preheat.api.dependencies import Context
from preheat.api.openapi import answer, problems
from preheat.api.queries import RunPlotQuery
from preheat.api.run_dependencies import RunId, Runs
from preheat.budget import check_picture
from preheat.formats import PICTURES, PNG, SVG
from preheat.messages import shortened
from preheat.plot.options import PlotOptions
from preheat.plot.run_picture import Reports, earlier_lanes, render_run, window_of
from preheat.plot.ticks import count
from preheat.runs.run import Run
from preheat.specs import InvalidSpec, violation

_USUAL_METRIC, _MOST_LISTED = "loss", 200

router = APIRouter(tags=["runs"], default_response_class=Response)


def _plot_run(context: Context, runs: Runs, run_id: RunId, query: Annotated[RunPlotQuery, Query()]) -> Response:
    """What was used (solid), is committed (dashed) and is planned (dotted), changes with author and reason.

    What was used beyond what had been handed out (an overrun) is marked; what earlier attempts used and reported is
    grey; a number that the job reported has a panel below, with bands where it was NaN or infinite, those of earlier
    attempts in grey. Changes that are near each other, and those that a program repeats, have one text; in an SVG each
    says all to those who point at it.
    """
    check_picture(query.width_px, query.height_px, context.settings)
    run = runs.store.get(run_id)
    options = PlotOptions(**query.model_dump(include=set(PlotOptions.model_fields)))
    kind = context.request.url.path.rpartition(".")[2]
    name, window = query.metric or _USUAL_METRIC, window_of(run, options)
    reports = _reports(runs, run, name, window, query.width_px)
    if reports.is_empty:
        reports = replace(reports, note=_why_none(runs, run, query.metric, window))
    picture = render_run(run, runs.free_curves().curve, reports, options, kind, context.deadline)
    return response(picture, media_type=SVG if kind == "svg" else PNG, etag=run.etag)


def _reports(runs: Runs, run: Run, name: str, window: range, width_px: int) -> Reports:
    """What was reported under a name, of each earlier attempt by itself."""
    found = runs.reported(run, name, window, width_px)
    earlier = {
        lane.number: runs.reported_in(run, lane.number, name, own, window, width_px)
        for lane, own in earlier_lanes(run, window)
    }
    numbers = {number: each.numbers for number, each in earlier.items()}
    others = {number: each.others for number, each in earlier.items()}
    return Reports(name, found.numbers, found.others, numbers, others)


def _why_none(runs: Runs, run: Run, metric: str | None, window: range) -> str:
    """What a picture says where no value is drawn. Raises InvalidSpec for a name that the run does not have."""
    names = runs.reported_names(run)
    if not names:
        return "" if metric is None else "nothing has been reported yet"
    listed = shortened(", ".join(names), _MOST_LISTED)
    if metric is None:
        return "" if _USUAL_METRIC in names else f"no {_USUAL_METRIC} was reported; metric= names one of {listed}"
    if metric not in names:
        raise InvalidSpec([violation(("metric",), f"must be one of those that were reported: {listed}", metric)])
    return f"no value of {metric} in iterations {count(window.start)} … {count(window.stop - 1)}"


for _media_type, _kind in PICTURES.items():
    router.add_api_route(
        f"/runs/{{run_id}}/plot.{_kind}",
        _plot_run,
        operation_id=f"plot_run_{_kind}",
        summary=f"A run's picture as {_kind.upper()}",
        responses={**answer("The picture.", None, _media_type), **problems(404, 409, 422, 503)},
    )
