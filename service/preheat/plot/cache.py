"""Cache of pictures: those used last, in memory."""

import time
from collections.abc import Callable

from preheat.budget import Deadline
from preheat.cache import BoundedCache
from preheat.curve import Curve
from preheat.plot.options import PlotOptions
from preheat.plot.render import render


class PictureCache:
    """Renders pictures and keeps the most recently used in `cache`, which counts what was asked for.

    `on_drawn` is told how many seconds a picture took.
    """

    def __init__(self, max_bytes: int, on_drawn: Callable[[float], object] = lambda _: None) -> None:
        self.cache: BoundedCache[bytes] = BoundedCache(max_bytes, len)
        self._on_drawn = on_drawn

    def picture(self, curves: list[Curve], options: PlotOptions, kind: str, deadline: Deadline) -> bytes:
        """The picture's bytes, as `preheat.plot.render.render` gives them."""
        key = repr(([curve.schedule.id for curve in curves], options, kind))
        picture = self.cache.get(key)
        if picture is None:
            # two threads may render the same picture at once: rarely, and to the same bytes
            begun = time.perf_counter()
            picture = render(curves, options, kind, deadline)
            self._on_drawn(time.perf_counter() - begun)
            self.cache.put(key, picture)
        return picture
