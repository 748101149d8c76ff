"""Cache of pictures: those used last, in memory."""

from preheat.budget import Deadline
from preheat.cache import BoundedCache
from preheat.curve import Curve
from preheat.plot.options import PlotOptions
from preheat.plot.render import render


class PictureCache:
    """Renders pictures and keeps the most recently used; `hits` and `misses` count what was asked for."""

    def __init__(self, max_bytes: int) -> None:
        self._pictures: BoundedCache[bytes] = BoundedCache(max_bytes, len)

    @property
    def hits(self) -> int:
        """Pictures that were there when asked for."""
        return self._pictures.hits

    @property
    def misses(self) -> int:
        """Pictures that were not."""
        return self._pictures.misses

    def picture(self, curves: list[Curve], options: PlotOptions, kind: str, deadline: Deadline) -> bytes:
        """The picture's bytes, as `preheat.plot.render.render` gives them."""
        key = repr(([curve.schedule.id for curve in curves], options, kind))
        picture = self._pictures.get(key)
        if picture is None:
            # two threads may render the same picture at once: rarely, and to the same bytes
            picture = render(curves, options, kind, deadline)
            self._pictures.put(key, picture)
        return picture
