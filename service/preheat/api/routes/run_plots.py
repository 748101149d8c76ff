"""Routes: pictures of live runs, as PNG and SVG."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from preheat.api.caching import response
from preheat.api.dependencies import Context
from preheat.api.openapi import answer, problems
from preheat.api.queries import RunPlotQuery
from preheat.api.run_dependencies import RunId, Runs
from preheat.budget import check_picture
from preheat.formats import PICTURES, PNG, SVG
from preheat.plot.options import PlotOptions
from preheat.plot.run_picture import render_run, window_of

router = APIRouter(tags=["runs"], default_response_class=Response)


def _plot_run(context: Context, runs: Runs, run_id: RunId, query: Annotated[RunPlotQuery, Query()]) -> Response:
    """What was used (solid), is committed (dashed) and is planned (dotted), changes with author and reason.

    What earlier attempts used is grey; a number that the job reported has a panel below.
    """
    check_picture(query.width_px, query.height_px, context.settings)
    run = runs.store.get(run_id)
    options = PlotOptions(**query.model_dump(include=set(PlotOptions.model_fields)))
    kind = context.request.url.path.rpartition(".")[2]
    reports = (query.metric, runs.reported(run, query.metric, window_of(run, options), query.width_px))
    picture = render_run(run, runs.free_curves().curve, reports, options, kind, context.deadline)
    return response(picture, media_type=SVG if kind == "svg" else PNG, etag=run.etag)


for _media_type, _kind in PICTURES.items():
    router.add_api_route(
        f"/runs/{{run_id}}/plot.{_kind}",
        _plot_run,
        operation_id=f"plot_run_{_kind}",
        summary=f"A run's picture as {_kind.upper()}",
        responses={**answer("The picture.", None, _media_type), **problems(404, 409, 422, 503)},
    )
