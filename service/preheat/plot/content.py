"""Content: what a picture shows, in iterations and values, before anything has a place or a colour."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from preheat.specs import Phase


@dataclass(frozen=True)
class Line:
    """Lows and highs of a value in successive parts of the window, iterations firsts … lasts; each of shape (parts,).

    Lines with the same name have the same colour and one entry in the legend; one without a name has neither. In an SVG
    the element of one with an `id` has it, with a number behind it.
    """

    name: str
    firsts: NDArray[np.float64]
    lasts: NDArray[np.float64]
    lows: NDArray[np.float64]
    highs: NDArray[np.float64]
    id: str = ""


@dataclass(frozen=True)
class Band:
    """Iterations first … last of which something is no number; in grey, if faint. An SVG has its `id`."""

    first: int
    last: int
    id: str
    is_faint: bool = False


@dataclass(frozen=True)
class Panel:
    """Lines in the same axes, and what their values are, with a `remark` beside.

    The `gaps` lie under the lines, the first of them under the others.
    """

    label: str
    lines: list[Line]
    is_log: bool = False
    gaps: tuple[Band, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class Mark:
    """An iteration and its LR on the line of a name, with what to write beside them.

    A vertical line is drawn through the current iteration. A mark without a text is a ring alone; those of a
    `crowd` have one text. Where a text has no room a `brief` one may have some. `told` is said in an
    SVG to those who point at it, whose elements have the `id`.
    """

    iteration: int
    lr: float
    text: str
    name: str = ""
    is_current: bool = False
    is_small: bool = False
    crowd: int | None = None
    brief: str = ""
    told: str = ""
    id: str = ""


@dataclass(frozen=True)
class Style:
    """How the lines of a name are drawn: lengths of dashes and gaps, in widths; how wide; in grey, or in which colour.

    `colour` is a place among the theme's; without one it is that of the name's place in the picture. A highlight lies
    under a line of another name.
    """

    dashes: tuple[float, ...] = ()
    is_faint: bool = False
    colour: int | None = None
    width: float = 1.0
    is_highlight: bool = False


@dataclass(frozen=True)
class Content:
    """What a picture shows of iterations `start` … `last`: LRs above, and a small panel for everything else.

    `phases` are those of each schedule, by its name, and `first_lines` names the line whose colour they have; `notes`
    are written below. Names without a style are drawn solid, each in a colour of its own.
    """

    title: str
    start: int
    last: int
    lrs: Panel
    phases: dict[str, list[Phase]]
    first_lines: dict[str, str]
    marks: list[Mark]
    panels: list[Panel]
    notes: list[str]
    styles: dict[str, Style] = field(default_factory=dict)
