"""Themes: the colours of pictures, and how line colours follow from places in a list."""

from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
from matplotlib.colors import to_hex, to_rgb


@dataclass(frozen=True)
class Theme:
    """Colours by what they are for; `ramp` is the part of viridis that is told from the background."""

    background: str
    text: str
    grid: str
    axis: str
    leader: str
    shades: tuple[str, str]
    lines: tuple[str, ...]
    ramp: tuple[float, float]

    def line_colours(self, count: int) -> list[str]:
        """Colours of `count` ≤ 9 lines that are told apart."""
        return list(self.lines[:count])

    def ramp_colours(self, count: int) -> list[str]:
        """Colours of `count` ordered lines."""
        low, high = self.ramp
        colours = mpl.colormaps["viridis"]
        return [to_hex(colours(low + (high - low) * place / max(count - 1, 1))) for place in range(count)]


_LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#8c564b", "#9a9b1c")
"""Okabe and Ito's colours, told apart with any colour vision (https://jfly.uni-koeln.de/color/), and three more."""

THEMES: dict[Literal["light", "dark"], Theme] = {
    "light": Theme("#ffffff", "#22262b", "#d9dde2", "#9aa2ab", "#6b737c", ("#fff3dc", "#eef4fb"), _LINES, (0.0, 0.9)),
    "dark": Theme(
        "#15181c",
        "#e4e7eb",
        "#3a4048",
        "#6b737c",
        "#9aa2ab",
        ("#33291a", "#1c2632"),
        ("#5ab4f0", *_LINES[1:5], "#f0e442", *_LINES[6:]),
        (0.2, 1.0),
    ),
}


def blend(colour: str, background: str, share: float) -> str:
    """A colour that is thinned with the background."""
    red, green, blue = (
        share * over + (1 - share) * under for over, under in zip(to_rgb(colour), to_rgb(background), strict=True)
    )
    return to_hex((red, green, blue))
