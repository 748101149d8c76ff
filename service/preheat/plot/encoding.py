"""Encoding: a scene as the bytes of a PNG or an SVG, by matplotlib's renderers.

The renderers are called by themselves. Figure, Axes and Axis would take most of the time of a small picture, and know
where a text lies only once it is drawn.
"""

import io
import threading
import unicodedata
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.colors import to_rgba
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.transforms import Affine2D
from PIL import Image

from preheat.budget import NO_DEADLINE, Deadline
from preheat.plot.fonts import Kind, families
from preheat.plot.scene import ASCENT, Area, Box, Ring, Scene, Stroke, Text

PICTURE_VERSION = f"mpl{mpl.__version__}"
"""What the bytes of a picture depend on besides schedule and options."""

_COMPRESSION = 4  # less than the usual 6 takes less time, and hardly more bytes for a few lines
_POINT_PX = 72 / 96  # an SVG is measured in points: as wide in a browser as the PNG
_LEFT_TO_RIGHT = "\u200e"
"""A mark that is not seen: texts begin on the left, as in browsers, whatever the script of their first letter."""

_RENDERING = threading.Lock()
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "preheat",
    "svg.fonttype": "none",
    "text.hinting": "none",  # hinting rounds every letter to whole pixels, so that texts outgrow their boxes
}


def encode(scene: Scene, kind: Kind, deadline: Deadline = NO_DEADLINE) -> bytes:
    """The bytes of a picture; the same scene gives the same bytes. Raises ComputeTimeout past the deadline."""
    # matplotlib's settings and fonts belong to the process: one picture at a time
    with _RENDERING, mpl.rc_context(_SETTINGS):
        return _svg(scene, deadline) if kind == "svg" else _png(scene, deadline)


def _png(scene: Scene, deadline: Deadline) -> bytes:
    renderer: Any = RendererAgg(scene.width, scene.height, 72)  # type: ignore[no-untyped-call]
    _Pen(renderer, scene, 1.0, "png").draw(deadline)
    data = io.BytesIO()
    rgb = np.asarray(renderer.buffer_rgba())[:, :, :3]
    Image.fromarray(np.ascontiguousarray(rgb)).save(data, "png", compress_level=_COMPRESSION)
    return data.getvalue()


def _svg(scene: Scene, deadline: Deadline) -> bytes:
    data = io.StringIO()
    size = (scene.width * _POINT_PX, scene.height * _POINT_PX)
    # a date in the file would make equal pictures differ
    renderer: Any = RendererSVG(*size, data, metadata={"Date": None})  # type: ignore[no-untyped-call]
    _Pen(renderer, scene, _POINT_PX, "svg").draw(deadline)
    renderer.finalize()
    return data.getvalue().encode()


class _Pen:
    """Draws the items of a scene with a renderer, whose unit is 1 / `scale` pixels and whose y grows upwards."""

    def __init__(self, renderer: Any, scene: Scene, scale: float, kind: Kind) -> None:
        self._renderer, self._scene, self._scale, self._kind = renderer, scene, scale, kind
        self._to_canvas = Affine2D().scale(scale, -scale).translate(0, scene.height * scale)

    def draw(self, deadline: Deadline) -> None:
        background = Area(Box(0, 0, self._scene.width, self._scene.height), self._scene.background)
        for item in (background, *self._scene.items):
            deadline.check()  # a line that goes up and down in every pixel of a large picture takes a tenth of a second
            if isinstance(item, Text):
                self._write(item)
            elif item.id:
                self._renderer.open_group(item.id)
                self._shape(item)
                self._renderer.close_group(item.id)
            else:
                self._shape(item)

    def _shape(self, item: Area | Stroke | Ring) -> None:
        if isinstance(item, Area):
            self._fill(item)
        elif isinstance(item, Stroke):
            self._stroke(item)
        else:
            self._ring(item)

    def _fill(self, area: Area) -> None:
        box, context = area.box, self._context(area.colour, 0)
        corners = [(box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom)]
        self._renderer.draw_path(context, Path([*corners, (0, 0)], closed=True), self._to_canvas, to_rgba(area.colour))
        context.restore()

    def _stroke(self, stroke: Stroke) -> None:
        context = self._context(stroke.colour, stroke.width)
        context.set_joinstyle("round")
        if stroke.dashes:
            context.set_dashes(0, [length * self._scale for length in stroke.dashes])
        path = Path(np.column_stack([stroke.xs, stroke.ys]))
        self._renderer.draw_path(context, path, self._to_canvas)
        if stroke.dot:
            dot = Affine2D().scale(stroke.dot * self._scale)
            context = self._context(stroke.colour, 0)
            self._renderer.draw_markers(context, Path.unit_circle(), dot, path, self._to_canvas, to_rgba(stroke.colour))
        context.restore()

    def _ring(self, ring: Ring) -> None:
        if ring.told and self._kind == "svg":
            self._renderer.writer.element("title", text=ring.told)
        context = self._context(ring.edge, ring.edge_width)
        circle = Affine2D().scale(ring.radius).translate(ring.x, ring.y) + self._to_canvas
        self._renderer.draw_path(context, Path.unit_circle(), circle, to_rgba(ring.fill))
        context.restore()

    def _write(self, text: Text) -> None:
        context = self._context(text.colour, 0)
        box, rise = text.box, ASCENT * text.size
        x, y, angle = (box.left + rise, box.bottom, 90) if text.is_upright else (box.left, box.top + rise, 0)
        font = _font(self._kind, text.size * self._scale)
        written = _LEFT_TO_RIGHT + text.text if self._kind == "png" and _has_right_to_left(text.text) else text.text
        self._renderer.draw_text(context, x * self._scale, y * self._scale, written, font, angle)
        context.restore()

    def _context(self, colour: str, width: float) -> Any:
        context = self._renderer.new_gc()
        context.set_foreground(colour)
        context.set_linewidth(width * self._scale)
        return context


def _has_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(letter) in {"R", "AL"} for letter in text)


@cache
def _font(kind: Kind, size: float) -> FontProperties:
    return FontProperties(family=families(kind), size=size)
