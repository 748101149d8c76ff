"""A scene: what a picture is made of, in pixels from its upper left corner, in the order of drawing."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from preheat.plot.fonts import width_em

Pixels = NDArray[np.float64]

ASCENT, DESCENT = 0.93, 0.25
"""How far letters reach above and below their baseline, in units of their size."""


@dataclass(frozen=True)
class Box:
    """A rectangle; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """In pixels."""
        return self.bottom - self.top

    def grown(self, by: float) -> "Box":
        """The box with a margin on all sides."""
        return Box(self.left - by, self.top - by, self.right + by, self.bottom + by)

    def overlaps(self, other: "Box") -> bool:
        """Whether they have more than an edge in common."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, other: "Box") -> bool:
        """Whether the other lies within."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


@dataclass(frozen=True)
class Text:
    """A line of text that fills its box; an upright one is read from the bottom to the top."""

    box: Box
    text: str
    size: float
    colour: str
    is_upright: bool = False


@dataclass(frozen=True)
class Stroke:
    """A line through points, with a dot on each if `dot` is a radius. An SVG has an element of its `id`."""

    xs: Pixels
    ys: Pixels
    colour: str
    width: float = 1.0
    dashes: tuple[float, ...] = ()
    dot: float = 0.0
    id: str = ""


@dataclass(frozen=True)
class Area:
    """A filled rectangle without an edge."""

    box: Box
    colour: str
    id: str = ""


@dataclass(frozen=True)
class Ring:
    """A filled circle with an edge; `told` is what an SVG says to those who point at it."""

    x: float
    y: float
    radius: float
    fill: str
    edge: str
    edge_width: float
    id: str = ""
    told: str = ""

    @property
    def box(self) -> Box:
        """What it covers, with its edge."""
        return Box(self.x, self.y, self.x, self.y).grown(self.radius + self.edge_width / 2)


@dataclass
class Scene:
    """A picture of a size in pixels, before it is turned into bytes."""

    width: int
    height: int
    background: str
    items: list[Area | Stroke | Ring | Text] = field(default_factory=list)

    @property
    def texts(self) -> Iterator[Text]:
        """Every text."""
        return (item for item in self.items if isinstance(item, Text))

    @property
    def strokes(self) -> Iterator[Stroke]:
        """Every line: of curves, axes and grids."""
        return (item for item in self.items if isinstance(item, Stroke))


def text_box(text: str, size: float, *, is_upright: bool = False) -> Box:
    """The box of a text at the origin."""
    long, high = width_em(text) * size + 1, (ASCENT + DESCENT) * size
    return Box(0, 0, high, long) if is_upright else Box(0, 0, long, high)


def moved(box: Box, left: float, top: float) -> Box:
    """A box of the same size elsewhere."""
    return Box(left, top, left + box.width, top + box.height)


def segment(x0: float, y0: float, x1: float, y1: float, colour: str, width: float) -> Stroke:
    """A straight line."""
    return Stroke(np.array([x0, x1]), np.array([y0, y1]), colour, width)
