"""Pictures, drawn once."""

from preheat.api.media_types import SVG
from preheat.bounded_cache import BoundedCache
from preheat.curve import Curve
from preheat.deadline import Deadline
from preheat.picture import PlotOptions
from preheat.plots import render


class Gallery:
    """Renders pictures and keeps the ones used last, within a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._pictures: BoundedCache[bytes] = BoundedCache(max_bytes, len)

    def picture(self, curves: list[Curve], options: PlotOptions, media_type: str, deadline: Deadline) -> bytes:
        """The picture's bytes, as `preheat.plots.render` gives them."""
        kind = "svg" if media_type == SVG else "png"
        key = repr(([curve.schedule.id for curve in curves], options, kind))
        picture = self._pictures.get(key)
        if picture is None:
            picture = render(curves, options, kind, deadline)
            self._pictures.put(key, picture)
        return picture
