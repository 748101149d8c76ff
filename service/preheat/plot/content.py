"""Content: what a picture shows, in iterations and values, before anything has a place or a colour."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from preheat.specs import Phase


@dataclass(frozen=True)
class Line:
    """Lows and highs of a value in successive parts of the window, iterations firsts … lasts; each of shape (parts,).

    Lines with the same name have the same colour and one entry in the legend; one without a name has neither.
    """

    name: str
    firsts: NDArray[np.float64]
    lasts: NDArray[np.float64]
    lows: NDArray[np.float64]
    highs: NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """Lines in the same axes, and what their values are."""

    label: str
    lines: list[Line]


@dataclass(frozen=True)
class Mark:
    """An iteration and its LR on the line of a name, with what to write beside them.

    A vertical line is drawn through the current iteration. A mark without a text is a ring alone.
    """

    iteration: int
    lr: float
    text: str
    name: str = ""
    is_current: bool = False


@dataclass(frozen=True)
class Style:
    """How the lines of a name are drawn: lengths of dashes and gaps, in widths; in grey; in the colour of another."""

    dashes: tuple[float, ...] = ()
    is_faint: bool = False
    like: str | None = None


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
