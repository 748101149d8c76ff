"""A window of a schedule in the format that the client accepts."""

from typing import Annotated

from fastapi import Depends, Request, Response

from preheat.api.answers import IMMUTABLE, etag, is_not_modified, not_modified, window_csv, window_json, window_npy
from preheat.api.dependencies import Deadline, Gallery, Settings
from preheat.api.media_types import CSV, NPY, PNG, SVG, negotiate
from preheat.budget import check_values
from preheat.curve import Curve
from preheat.lint import lint
from preheat.plot.contents import check_options
from preheat.plot.drawing import PICTURE_VERSION
from preheat.plot.options import PlotOptions


class _WindowWriter:
    """Writes windows down in the format that the request's Accept prefers; 406 at construction if there is none."""

    def __init__(self, request: Request, gallery: Gallery, settings: Settings, deadline: Deadline) -> None:
        self.media_type = negotiate(request.headers.get("accept"))
        self._request, self._gallery, self._settings, self._deadline = request, gallery, settings, deadline

    def response(self, curve: Curve, window: range) -> Response:
        """The window, cachable for ever, or 304 if the client has it. Raises as `content`."""
        curve.check_window(window.start, window.stop)
        tag = etag(curve.schedule.id, window.start, window.stop, window.step, self.media_type, PICTURE_VERSION)
        if is_not_modified(self._request, tag):
            return not_modified(tag, IMMUTABLE)
        query = f"start={window.start}&stop={window.stop}&step={window.step}"
        place = f"/v1/schedules/{curve.schedule.id}/lr?{query}"
        headers = {"etag": tag, "cache-control": IMMUTABLE, "vary": "accept", "content-location": place}
        return Response(self.content(curve, window, with_spec=False), media_type=self.media_type, headers=headers)

    def content(self, curve: Curve, window: range, *, with_spec: bool) -> bytes:
        """The window; JSON with or without spec and lint. Raises IterationOutOfRange, LimitExceeded, ComputeTimeout."""
        if self.media_type in {PNG, SVG}:
            options = PlotOptions(start=window.start, stop=window.stop)
            check_options([curve], options)
            return self._gallery.picture([curve], options, "svg" if self.media_type == SVG else "png", self._deadline)
        check_values(len(window), len(curve.columns), self._settings)
        lrs = curve.window(window.start, window.stop, window.step, self._deadline)
        if self.media_type == CSV:
            return window_csv(curve, window, lrs)
        if self.media_type == NPY:
            return window_npy(lrs)
        return window_json(curve, window, lrs, lint(curve, self._deadline) if with_spec else None)


WindowWriter = Annotated[_WindowWriter, Depends()]
