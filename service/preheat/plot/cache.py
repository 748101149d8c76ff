"""Cache of rendered pictures, within a number of bytes."""

import threading

from preheat.budget import Deadline
from preheat.cache import BoundedCache
from preheat.curve import Curve
from preheat.plot.contents import render
from preheat.plot.options import PlotOptions


class PictureCache:
    """Renders pictures and keeps the most recently used; `hits` and `misses` count what was asked for."""

    def __init__(self, max_bytes: int) -> None:
        self.hits = self.misses = 0
        self._counting = threading.Lock()
        self._pictures: BoundedCache[bytes] = BoundedCache(max_bytes, len)

    def picture(self, curves: list[Curve], options: PlotOptions, kind: str, deadline: Deadline) -> bytes:
        """The picture's bytes, as `preheat.plot.contents.render` gives them."""
        key = repr(([curve.schedule.id for curve in curves], options, kind))
        picture = self._pictures.get(key)
        with self._counting:
            self.hits += picture is not None
            self.misses += picture is None
        if picture is None:
            # two threads may render the same picture at once: rarely, and to the same bytes
            picture = render(curves, options, kind, deadline)
            self._pictures.put(key, picture)
        return picture
