"""Pictures, drawn once."""

from preheat.budget import Deadline
from preheat.cache import BoundedCache
from preheat.curve import Curve
from preheat.plot.contents import render
from preheat.plot.options import PlotOptions


class Gallery:
    """Renders pictures and keeps the ones used last, within a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._pictures: BoundedCache[bytes] = BoundedCache(max_bytes, len)

    def picture(self, curves: list[Curve], options: PlotOptions, kind: str, deadline: Deadline) -> bytes:
        """The picture's bytes, as `preheat.plot.contents.render` gives them."""
        key = repr(([curve.schedule.id for curve in curves], options, kind))
        picture = self._pictures.get(key)
        if picture is None:
            picture = render(curves, options, kind, deadline)
            self._pictures.put(key, picture)
        return picture
