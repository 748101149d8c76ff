"""A window of a schedule in the format that the client accepts."""

from fastapi import Request, Response

from preheat.api.answers import IMMUTABLE, etag, is_not_modified, not_modified, window_csv, window_json, window_npy
from preheat.api.gallery import Gallery
from preheat.api.media_types import CSV, JSON, NPY, PNG, SVG, negotiate
from preheat.curve import Curve
from preheat.deadline import Deadline
from preheat.limits import check_values
from preheat.plots import PICTURE_VERSION, PlotOptions
from preheat.settings import Settings


def window_response(
    request: Request, curve: Curve, window: range, gallery: Gallery, settings: Settings, deadline: Deadline
) -> Response:
    """The window as JSON, CSV, NPY, PNG or SVG, or 304 if the client has it; for GET, cachable for ever.

    Raises RequestRefused (406), IterationOutOfRange, LimitExceeded, ComputeTimeout.
    """
    media_type = negotiate(request.headers.get("accept"))
    curve.check_window(window.start, window.stop)
    tag = etag(curve.schedule.id, window.start, window.stop, window.step, media_type, PICTURE_VERSION)
    if is_not_modified(request, tag):
        return not_modified(tag, IMMUTABLE)
    content = window_content(curve, window, media_type, gallery, settings, deadline, with_spec=False)
    headers = {"etag": tag, "cache-control": IMMUTABLE, "vary": "accept"}
    return Response(content, media_type=media_type, headers=headers)


def window_content(
    curve: Curve,
    window: range,
    media_type: str,
    gallery: Gallery,
    settings: Settings,
    deadline: Deadline,
    *,
    with_spec: bool,
) -> bytes:
    """The window in one of the formats. Raises IterationOutOfRange, LimitExceeded, ComputeTimeout."""
    if media_type in {PNG, SVG}:
        return gallery.picture([curve], PlotOptions(start=window.start, stop=window.stop), media_type, deadline)
    check_values(len(window), len(curve.group_names), settings)
    lrs = curve.window(window.start, window.stop, window.step, deadline)
    if media_type == CSV:
        return window_csv(curve, window, lrs)
    if media_type == NPY:
        return window_npy(lrs)
    assert media_type == JSON  # noqa: S101 - negotiate knows no other
    return window_json(curve, window, lrs, with_spec=with_spec)
