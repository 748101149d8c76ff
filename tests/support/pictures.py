"""What can be seen in a picture: texts and points of an SVG, pixels of a PNG."""

import io
import re
from typing import Any

import numpy as np
from matplotlib.image import imread

from preheat.plot.scene import Box, Stroke

FIRST_LINE, SECOND_LINE, TEXT = "#0072b2", "#d55e00", "#22262b"


def texts(svg: bytes) -> list[str]:
    """What is written in an SVG."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.decode())


def points(svg: bytes, colour: str) -> Any:
    """The points x, y of the longest path that an SVG draws in a colour; y grows downwards."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*style="fill: none; [^"]*stroke: {colour}[^"]*"', svg.decode())
    numbers = [[float(number) for number in re.findall(r"-?[\d.]+", path)] for path in paths]
    return np.array(max(numbers, key=len)).reshape(-1, 2)


def dashed_lines(svg: bytes) -> list[Any]:
    """The points x, y of every dashed path."""
    paths = re.findall(r'<path d="([^"]*)"[^>]*stroke-dasharray[^>]*>', svg.decode())
    return [np.array([float(number) for number in re.findall(r"-?[\d.]+", path)]).reshape(-1, 2) for path in paths]


def pixels(png: bytes) -> Any:
    """Height × width × RGB of a PNG, 0 … 1."""
    return imread(io.BytesIO(png), format="png")[:, :, :3]


def has_colour(png: bytes, colour: str) -> Any:
    """Height × width: whether a pixel has a colour, or nearly."""
    rgb = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.abs(pixels(png) - rgb).max(axis=2) < 0.1


def line_extent(png: bytes, colour: str = FIRST_LINE) -> tuple[Any, Any]:
    """Highest and lowest row in which each column has the line's colour; columns without it are left out."""
    on_line = has_colour(png, colour)
    columns = np.flatnonzero(on_line.any(axis=0))
    tops = on_line.argmax(axis=0)[columns]
    bottoms = on_line.shape[0] - 1 - on_line[::-1].argmax(axis=0)[columns]
    return tops, bottoms


def crosses(stroke: Stroke, box: Box) -> bool:
    """Whether any piece of a line through points has more than an end in a box (Liang and Barsky's clipping)."""
    xs, ys = np.asarray(stroke.xs), np.asarray(stroke.ys)
    begins, ends = np.zeros(len(xs) - 1), np.ones(len(xs) - 1)
    for places, low, high in ((xs, box.left, box.right), (ys, box.top, box.bottom)):
        steps, starts = np.diff(places), places[:-1]
        still = steps == 0
        divisors = np.where(still, 1.0, steps)
        to_low, to_high = (low - starts) / divisors, (high - starts) / divisors
        is_within = (starts > low) & (starts < high)
        begins = np.where(still, np.where(is_within, begins, 2.0), np.maximum(begins, np.minimum(to_low, to_high)))
        ends = np.where(still, ends, np.minimum(ends, np.maximum(to_low, to_high)))
    return bool((begins < ends).any())
