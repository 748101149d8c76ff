"""Routes: pictures to paste anywhere."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from preheat.api.answers import IMMUTABLE, etag, is_not_modified, not_modified
from preheat.api.dependencies import Catalogue, Deadline, Gallery, ScheduleId, Settings
from preheat.api.media_types import PNG, SVG
from preheat.api.problems import responses
from preheat.api.queries import PlotQuery, SpecPlotQuery
from preheat.budget import check_length, check_picture
from preheat.curve import Curve
from preheat.plot.contents import check_options
from preheat.plot.drawing import PICTURE_VERSION
from preheat.plot.options import PlotOptions
from preheat.schedule import Schedule
from preheat.specs import parse_spec

router = APIRouter(tags=["pictures"])

_AN_HOUR = "public, max-age=3600"


_PNG_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture.", "content": {PNG: {"schema": {"type": "string", "format": "binary"}}}}
}
_SVG_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture.", "content": {SVG: {"schema": {"type": "string"}}}}
}
_OTHERWISE: dict[int | str, dict[str, Any]] = {
    304: {"description": "The client has it already."},
    **responses(404, 409, 422, 503),
}


class _Easel:
    """What drawing a picture for a request takes."""

    def __init__(
        self, request: Request, catalogue: Catalogue, gallery: Gallery, settings: Settings, deadline: Deadline
    ) -> None:
        self._request = request
        self.catalogue, self._gallery, self.settings, self._deadline = catalogue, gallery, settings, deadline

    def response(self, curve: Curve, query: PlotQuery, media_type: str, cache_control: str) -> Response:
        """The picture, or 304. Raises LimitExceeded, ScheduleNotFound, IterationOutOfRange, ComputeTimeout."""
        check_picture(query.width_px, query.height_px, self.settings)
        curves = [curve, *(self.catalogue.curve(schedule_id) for schedule_id in query.compare)]
        options = PlotOptions(**query.model_dump(include=set(PlotOptions.model_fields)))
        check_options(curves, options)
        tag = etag([each.schedule.id for each in curves], options, media_type, PICTURE_VERSION)
        if is_not_modified(self._request, tag):
            return not_modified(tag, cache_control)
        picture = self._gallery.picture(curves, options, "svg" if media_type == SVG else "png", self._deadline)
        return Response(picture, media_type=media_type, headers={"etag": tag, "cache-control": cache_control})

    def response_of_spec(self, query: SpecPlotQuery, media_type: str) -> Response:
        """The picture of a spec that is not stored. Raises InvalidSpec, and what `response` raises."""
        spec = parse_spec(query.spec)
        check_length(spec, self.settings)
        return self.response(self.catalogue.curve_of(Schedule(spec)), query, media_type, _AN_HOUR)


Easel = Annotated[_Easel, Depends()]


@router.get(
    "/schedules/{schedule_id}/plot.png",
    operation_id="plot_schedule_png",
    summary="A schedule's picture as PNG",
    responses=_PNG_RESPONSE | _OTHERWISE,
    response_class=Response,
)
def plot_schedule_png(schedule_id: ScheduleId, query: Annotated[PlotQuery, Query()], easel: Easel) -> Response:
    """The LR curve, its phases, its peak and its end; others beside it with `compare`."""
    return easel.response(easel.catalogue.curve(schedule_id), query, PNG, IMMUTABLE)


@router.get(
    "/schedules/{schedule_id}/plot.svg",
    operation_id="plot_schedule_svg",
    summary="A schedule's picture as SVG",
    responses=_SVG_RESPONSE | _OTHERWISE,
    response_class=Response,
)
def plot_schedule_svg(schedule_id: ScheduleId, query: Annotated[PlotQuery, Query()], easel: Easel) -> Response:
    """As the PNG, scalable."""
    return easel.response(easel.catalogue.curve(schedule_id), query, SVG, IMMUTABLE)


@router.get(
    "/plot.png",
    operation_id="plot_spec_png",
    summary="A spec's picture as PNG, without storing it",
    responses=_PNG_RESPONSE | _OTHERWISE,
    response_class=Response,
)
def plot_spec_png(query: Annotated[SpecPlotQuery, Query()], easel: Easel) -> Response:
    """An address to paste into a wiki: the whole spec is in it."""
    return easel.response_of_spec(query, PNG)


@router.get(
    "/plot.svg",
    operation_id="plot_spec_svg",
    summary="A spec's picture as SVG, without storing it",
    responses=_SVG_RESPONSE | _OTHERWISE,
    response_class=Response,
)
def plot_spec_svg(query: Annotated[SpecPlotQuery, Query()], easel: Easel) -> Response:
    """As the PNG, scalable."""
    return easel.response_of_spec(query, SVG)
