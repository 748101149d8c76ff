"""Drawing of one picture: axes, lines, shades and texts, with matplotlib's object interface."""

import io
import math
import threading
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle, islice
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from preheat.plot.options import PlotOptions
from preheat.specs import Phase

PICTURE_VERSION = f"mpl{mpl.__version__}"
"""What the bytes of a picture depend on besides schedule and options."""

MAX_LINES = 20
"""Lines drawn at most in each axes; the legend says how many more there are."""

_DPI = 100
_PX_PER_POINT = 1.39  # at 100 dots per inch; font sizes are in points
_MAX_POINTS_WITH_MARKERS = 60
_PANEL_SHARE = 0.28
_DRAWING = threading.Lock()


@dataclass(frozen=True)
class Line:
    """Lows and highs of an LR in successive parts of the window, iterations firsts … lasts; each of shape (parts,)."""

    name: str
    firsts: NDArray[np.float64]
    lasts: NDArray[np.float64]
    lows: NDArray[np.float64]
    highs: NDArray[np.float64]


@dataclass(frozen=True)
class Mark:
    """An iteration and its LR, with what to write beside them; a line is drawn through the current iteration."""

    iteration: int
    lr: float
    text: str
    is_current: bool = False


@dataclass(frozen=True)
class Content:
    """What a picture shows of iterations options.start … `last`: LRs and, if there are any, the panel's lines below."""

    title: str
    phases: list[Phase]
    lines: list[Line]
    marks: list[Mark]
    last: int
    panel_lines: list[Line] = field(default_factory=list)
    panel_label: str = "others"
    x_label: str = "iteration"


@dataclass(frozen=True)
class _Theme:
    background: str
    text: str
    grid: str
    shades: tuple[str, str]
    lines: tuple[str, ...]


_LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
"""Okabe and Ito's colours, told apart with any colour vision (https://jfly.uni-koeln.de/color/)."""

_THEMES = {
    "light": _Theme("#ffffff", "#22262b", "#d9dde2", ("#fff3dc", "#eef4fb"), _LINES),
    "dark": _Theme("#15181c", "#e4e7eb", "#3a4048", ("#33291a", "#1c2632"), ("#5ab4f0", *_LINES[1:])),
}


def draw(content: Content, options: PlotOptions, kind: str) -> bytes:
    """The picture as PNG or, if `kind` is "svg", as SVG; several lines get a legend.

    The same arguments give the same bytes.
    """
    # matplotlib's settings and font cache belong to the process: one picture at a time
    with _DRAWING, mpl.rc_context({"svg.hashsalt": "preheat", "svg.fonttype": "none"}):
        picture = _Picture(content, options)
        picture.draw_phases()
        picture.draw_lines()
        for mark in content.marks:
            picture.draw_mark(mark)
        picture.draw_title()
        return picture.encode(kind)


class _Picture:
    """One figure: the LR's axes and, if there are lines for it, a panel of other values below."""

    def __init__(self, content: Content, options: PlotOptions) -> None:
        self._content, self._options = content, options
        self._theme = _THEMES[options.theme]
        self._font_size = min(max(options.width_px / 100, 7.0), 12.0)
        self._lines, self._panel_lines = content.lines[:MAX_LINES], content.panel_lines[:MAX_LINES]
        drawn = [*self._lines, *self._panel_lines]
        self._names = [_drawable(line.name) for line in drawn] if len(drawn) > 1 else []
        left_out = len(content.lines) + len(content.panel_lines) - len(drawn)
        if left_out:
            self._names[-1] += f" (… {left_out} more not drawn)"
        self._figure = Figure(
            (options.width_px / _DPI, options.height_px / _DPI), dpi=_DPI, facecolor=self._theme.background
        )
        self._axes, self._panel = self._make_all_axes()
        self._all_axes = [self._axes] if self._panel is None else [self._axes, self._panel]

    def _make_all_axes(self) -> tuple[Axes, Axes | None]:
        """Axes between margins that grow with the font and the legend, in shares of the figure."""
        size, width, height = self._font_size, self._options.width_px, self._options.height_px
        left, right = 6.2 * size / width * _PX_PER_POINT, 1 - 2.0 * size / width
        bottom = (4.2 + 1.5 * self._legend_rows()) * size / height * _PX_PER_POINT
        top = 1 - 2.6 * size / height * _PX_PER_POINT
        if not self._panel_lines:
            return self._make_axes((left, bottom, right - left, top - bottom), "learning rate", is_lowest=True), None
        panel_height, gap = (top - bottom) * _PANEL_SHARE, 1.6 * size / height
        place = (left, bottom + panel_height + gap, right - left, top - bottom - panel_height - gap)
        axes = self._make_axes(place, "learning rate", is_lowest=False)
        place = (left, bottom, right - left, panel_height)
        return axes, self._make_axes(place, self._content.panel_label, is_lowest=True)

    def _make_axes(self, place: tuple[float, float, float, float], label: str, *, is_lowest: bool) -> Axes:
        theme, size, start, last = self._theme, self._font_size, self._options.start, self._content.last
        axes = self._figure.add_axes(place, facecolor=theme.background)
        axes.set_ylabel(label, color=theme.text, fontsize=size)
        axes.tick_params(colors=theme.text, labelsize=size * 0.9)
        axes.grid(color=theme.grid, linewidth=0.6)
        axes.set_axisbelow(True)
        for name, spine in axes.spines.items():
            spine.set_color(theme.grid)
            spine.set_visible(name in {"left", "bottom"})
        margin = (last - start) * 0.02 or 0.5
        axes.set_xlim(start - margin, last + margin)
        ticks = max(3, self._options.width_px // 80)
        axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, steps=[1, 2, 5, 10]))
        if last >= 10_000:  # noqa: PLR2004 - five digits and more read better as 10k
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        if is_lowest:
            axes.set_xlabel(self._content.x_label, color=theme.text, fontsize=size)
        else:
            axes.tick_params(labelbottom=False)
        return axes

    def draw_phases(self) -> None:
        """Shades the phases in turn and writes their names along the top."""
        start, last = self._options.start, self._content.last
        shown = [phase for phase in self._content.phases if phase.stop > start and phase.start <= last]
        for phase, shade in zip(shown, cycle(self._theme.shades), strict=False):
            # half an iteration to the left: an edge falls between two iterations
            begin, end = max(phase.start, start) - 0.5, min(phase.stop - 0.5, last + 0.5)
            for axes in self._all_axes:
                axes.axvspan(begin, end, color=shade, linewidth=0, zorder=0)
            self._write_phase(phase.name, begin, end)

    def _write_phase(self, name: str, begin: float, end: float) -> None:
        low, high = self._axes.get_xlim()
        width_px = (end - begin) / (high - low) * self._axes.get_position().width * self._options.width_px
        upright = width_px < _text_width_px(name, self._font_size * 0.9)
        self._axes.text(
            (begin + end) / 2,
            0.975,
            name,
            transform=self._axes.get_xaxis_transform(),
            rotation=90 if upright else 0,
            ha="center",
            va="top",
            fontsize=self._font_size * 0.9,
            color=self._theme.text,
            alpha=0.75,
            clip_on=True,
        )

    def draw_lines(self) -> None:
        """One line per param group and one per other hyperparameter, with a legend if there are several."""
        colours = cycle(self._theme.lines)
        self._set_lr_axis()
        artists = [self._draw_line(self._axes, line, next(colours)) for line in self._lines]
        if self._panel is not None:
            self._set_panel_axis(self._panel)
            artists += [self._draw_line(self._panel, line, next(colours)) for line in self._panel_lines]
        if self._names:
            self._draw_legend(artists)

    def _draw_line(self, axes: Axes, line: Line, colour: str) -> Artist:
        # each part is drawn from low to high where the line rises into the next, and from high to low where it falls
        rises = np.append(line.highs[1:] >= line.highs[:-1], True)
        begins, ends = np.where(rises, line.lows, line.highs), np.where(rises, line.highs, line.lows)
        x = np.column_stack([line.firsts, line.lasts]).ravel()
        y = np.column_stack([begins, ends]).ravel()
        marker = "o" if len(line.firsts) <= _MAX_POINTS_WITH_MARKERS else ""
        width = self._font_size / 6
        (artist,) = axes.plot(x, y, color=colour, linewidth=width, marker=marker, markersize=width * 2.2, zorder=3)
        return artist

    def _set_panel_axis(self, panel: Axes) -> None:
        lowest = min(float(line.lows.min()) for line in self._panel_lines)
        highest = max(float(line.highs.max()) for line in self._panel_lines)
        margin = (highest - lowest) * 0.1 or abs(highest) * 0.1 or 1.0
        panel.set_ylim(lowest - margin, highest + margin)
        panel.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        panel.yaxis.set_major_formatter(FuncFormatter(_tick_label))

    def _set_lr_axis(self) -> None:
        highest = max(float(line.highs.max()) for line in self._lines)
        if self._options.scale == "log":
            positive = [value for line in self._lines for value in (*line.lows, *line.highs) if value > 0]
            lowest = min(positive, default=1e-12)
            highest = max(highest, lowest)
            self._axes.set_yscale("log", nonpositive="mask")
            self._axes.set_ylim(lowest / 1.5, highest * (highest / lowest) ** 0.18 * 1.5)
            return
        headroom = 1.2 if self._panel is None else 1.35  # the phases' names are along the top
        self._axes.set_ylim(0, highest * headroom or 1.0)
        self._axes.yaxis.set_major_locator(MaxNLocator(max(3, self._options.height_px // 50), steps=[1, 2, 5, 10]))
        self._axes.yaxis.set_major_formatter(FuncFormatter(_tick_label))

    def _legend_columns(self) -> int:
        widest = max(_text_width_px(name, self._font_size * 0.85) for name in self._names) + 5 * self._font_size
        return min(len(self._names), max(1, int(self._options.width_px // widest)))

    def _legend_rows(self) -> int:
        return math.ceil(len(self._names) / self._legend_columns()) if self._names else 0

    def _draw_legend(self, artists: list[Artist]) -> None:
        """Below the axes, where it hides nothing."""
        legend = self._figure.legend(
            artists,
            [str(index) for index in range(len(artists))],  # matplotlib drops labels that start with an underscore
            loc="lower center",
            ncols=self._legend_columns(),
            fontsize=self._font_size * 0.85,
            labelcolor=self._theme.text,
            frameon=False,
            borderpad=0.2,
        )
        for text, name in zip(legend.get_texts(), self._names, strict=True):
            text.set_parse_math(False)
            text.set_text(name)

    def draw_mark(self, mark: Mark) -> None:
        """A ring and a text, and a vertical line through the current iteration."""
        if self._options.scale == "log" and mark.lr <= 0:
            return  # a logarithmic axis has no place for it
        if mark.is_current:
            for axes in self._all_axes:
                axes.axvline(mark.iteration, color=self._theme.text, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
        self._axes.plot(
            [mark.iteration],
            [mark.lr],
            marker="o",
            markersize=self._font_size * 0.6,
            color=self._theme.background,
            markeredgecolor=self._theme.text,
            markeredgewidth=1.2,
            zorder=4,
            clip_on=False,
        )
        self._write_beside(mark)

    def _write_beside(self, mark: Mark) -> None:
        # towards the middle of the picture near its edges, so that nothing is cut off
        low, high = self._axes.get_xlim()
        share = (mark.iteration - low) / (high - low)
        side: Literal["left", "center", "right"] = "left" if share < 0.2 else "right" if share > 0.8 else "center"  # noqa: PLR2004
        offset = (0.0, self._font_size * (1.8 if side == "right" else 1.0))
        if mark.is_current:
            side = "right" if share > 0.6 else "left"  # noqa: PLR2004
            offset = (self._font_size * (-1 if side == "right" else 1), -self._font_size * 0.3)
        self._axes.annotate(
            mark.text,
            (mark.iteration, mark.lr),
            xytext=offset,
            textcoords="offset points",
            ha=side,
            va="baseline",
            fontsize=self._font_size * 0.9,
            color=self._theme.text,
            bbox={"facecolor": self._theme.background, "edgecolor": "none", "alpha": 0.7, "pad": 1},
            zorder=5,
        )

    def draw_title(self) -> None:
        """Writes the title, shortened to the width of the picture."""
        size = self._font_size * 1.15
        text = _drawable(self._content.title)
        while _text_width_px(text, size) > self._options.width_px - 2 * size:
            text = text[:-2].rstrip("…") + "…"
        self._figure.text(
            0.5,
            1 - 0.9 * size / self._options.height_px,
            text,
            ha="center",
            va="top",
            fontsize=size,
            color=self._theme.text,
            parse_math=False,
        )

    def encode(self, kind: str) -> bytes:
        """The picture's bytes."""
        data = io.BytesIO()
        if kind == "svg":
            # a date in the file would make equal pictures differ
            FigureCanvasSVG(self._figure).print_svg(data, metadata={"Date": None})  # type: ignore[no-untyped-call]
        else:
            FigureCanvasAgg(self._figure).print_png(data)  # type: ignore[no-untyped-call]
        return data.getvalue()


def _tick_label(value: float, _position: int | None) -> str:
    return f"{value:.6g}"


def _text_width_px(text: str, size: float) -> float:
    """Rough: the letters of the default font are 0.6 em wide on average."""
    return len(text) * size * 0.6 * _DPI / 72


@cache
def _font_path() -> str:
    return findfont(FontProperties())


def _drawable(text: str) -> str:
    """The text with a box for each character that the font lacks, and a space for each control character."""
    known = get_font(_font_path())
    return "".join(
        " " if ord(letter) < 32 else letter if known.get_char_index(ord(letter)) else "□"  # noqa: PLR2004
        for letter in islice(text, 400)
    )
