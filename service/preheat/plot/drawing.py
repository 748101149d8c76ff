"""Axes, lines, shades and texts of one picture, drawn with matplotlib's object interface."""

import io
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
"""Lines drawn at most; a legend says how many more there are."""

_DPI = 100
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


@dataclass(frozen=True)
class Content:
    """What a picture shows of iterations options.start … `last`: LRs, and below them the `others`, if there are any."""

    title: str
    phases: list[Phase]
    lines: list[Line]
    marks: list[Mark]
    last: int
    others: list[Line] = field(default_factory=list)
    others_label: str = "others"


def draw(content: Content, options: PlotOptions, kind: str) -> bytes:
    """The picture as PNG or, if `kind` is "svg", as SVG; several lines get a legend.

    The same arguments give the same bytes.
    """
    with _DRAWING, mpl.rc_context({"svg.hashsalt": "preheat", "svg.fonttype": "none"}):  # matplotlib has no other way
        has_several = len(content.lines) + len(content.others) > 1
        names = [line.name for line in (*content.lines[:MAX_LINES], *content.others[:MAX_LINES])] if has_several else []
        left_out = max(len(content.lines) - MAX_LINES, 0) + max(len(content.others) - MAX_LINES, 0)
        panel_label = content.others_label if content.others else None
        picture = _Picture(options, content.last, names, left_out, panel_label)
        picture.draw_phases(content.phases)
        picture.draw_lines(content.lines, content.others)
        picture.draw_marks(content.marks)
        picture.draw_title(content.title)
        return picture.encode(kind)


class _Picture:
    """One figure: the LR's axes and, if there is a panel, those of other hyperparameters below."""

    def __init__(
        self, options: PlotOptions, last: int, names: list[str], left_out: int, panel_label: str | None
    ) -> None:
        self._figure = Figure((options.width_px / _DPI, options.height_px / _DPI), dpi=_DPI)
        self._names = [_drawable(name) for name in names]
        if left_out:
            self._names[-1] += f" (… {left_out} more not drawn)"
        self._options = options
        self._theme = _THEMES[options.theme]
        self._font_size = min(max(options.width_px / 100, 7.0), 12.0)
        self._start, self._last = options.start, last
        self._axes, self._panel = self._make_all_axes(panel_label)

    def _make_all_axes(self, panel_label: str | None) -> tuple[Axes, Axes | None]:
        size = self._font_size
        width, height = self._options.width_px, self._options.height_px
        left, right = 6.2 * size / width * 1.39, 1 - 2.0 * size / width
        bottom, top = (4.2 + 1.5 * self._legend_rows()) * size / height * 1.39, 1 - 2.6 * size / height * 1.39
        self._figure.set_facecolor(self._theme.background)
        panel_height = (top - bottom) * _PANEL_SHARE if panel_label else 0.0
        gap = 1.6 * size / height if panel_label else 0.0
        place = (left, bottom + panel_height + gap, right - left, top - bottom - panel_height - gap)
        axes = self._make_axes(place, "learning rate", is_lowest=panel_label is None)
        if panel_label is None:
            return axes, None
        return axes, self._make_axes((left, bottom, right - left, panel_height), panel_label, is_lowest=True)

    def _make_axes(self, place: tuple[float, float, float, float], label: str, *, is_lowest: bool) -> Axes:
        theme, size, width = self._theme, self._font_size, self._options.width_px
        axes = self._figure.add_axes(place, facecolor=theme.background)
        axes.set_ylabel(label, color=theme.text, fontsize=size)
        axes.tick_params(colors=theme.text, labelsize=size * 0.9)
        axes.grid(color=theme.grid, linewidth=0.6)
        axes.set_axisbelow(True)
        for name, spine in axes.spines.items():
            spine.set_color(theme.grid)
            spine.set_visible(name in {"left", "bottom"})
        margin = (self._last - self._start) * 0.02 or 0.5
        axes.set_xlim(self._start - margin, self._last + margin)
        axes.xaxis.set_major_locator(MaxNLocator(max(3, width // 80), integer=True, steps=[1, 2, 5, 10]))
        if self._last >= 10_000:  # noqa: PLR2004 - five digits and more read better as 10k
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        if is_lowest:
            axes.set_xlabel("iteration", color=theme.text, fontsize=size)
        else:
            axes.tick_params(labelbottom=False)
        return axes

    def draw_phases(self, all_phases: list[Phase]) -> None:
        """Shades the phases in turn and writes their names along the top."""
        shown = [phase for phase in all_phases if phase.stop > self._start and phase.start <= self._last]
        for phase, shade in zip(shown, cycle(self._theme.shades), strict=False):
            begin, end = max(phase.start - 0.5, self._start - 0.5), min(phase.stop - 0.5, self._last + 0.5)
            for axes in filter(None, (self._axes, self._panel)):
                axes.axvspan(begin, end, color=shade, linewidth=0, zorder=0)
            self._name_phase(phase.name, begin, end)

    def _name_phase(self, name: str, begin: float, end: float) -> None:
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

    def draw_lines(self, lines: list[Line], others: list[Line]) -> None:
        """One line per param group and one per other hyperparameter, with a legend if there are several."""
        drawn, colours = lines[:MAX_LINES], cycle(self._theme.lines)
        self._set_lr_axis(drawn)
        artists = [self._draw_line(self._axes, line, colour) for line, colour in zip(drawn, colours, strict=False)]
        if self._panel is not None:
            shown = others[:MAX_LINES]
            self._set_panel_axis(self._panel, shown)
            artists += [
                self._draw_line(self._panel, line, colour) for line, colour in zip(shown, colours, strict=False)
            ]
        if self._names:
            self._draw_legend(artists)

    def _draw_line(self, axes: Axes, line: Line, colour: str) -> Artist:
        rises = np.append(line.highs[1:] >= line.highs[:-1], True)
        firsts, seconds = np.where(rises, line.lows, line.highs), np.where(rises, line.highs, line.lows)
        x = np.column_stack([line.firsts, line.lasts]).ravel()
        y = np.column_stack([firsts, seconds]).ravel()
        few = len(line.firsts) <= _MAX_POINTS_WITH_MARKERS
        width = self._font_size / 6
        (artist,) = axes.plot(
            x, y, color=colour, linewidth=width, marker="o" if few else "", markersize=width * 2.2, zorder=3
        )
        return artist

    def _set_panel_axis(self, panel: Axes, lines: list[Line]) -> None:
        lowest, highest = min(float(line.lows.min()) for line in lines), max(float(line.highs.max()) for line in lines)
        margin = (highest - lowest) * 0.1 or abs(highest) * 0.1 or 1.0
        panel.set_ylim(lowest - margin, highest + margin)
        panel.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))

    def _set_lr_axis(self, lines: list[Line]) -> None:
        highest = max(float(line.highs.max()) for line in lines)
        if self._options.scale == "log":
            positive = [value for line in lines for value in (*line.lows, *line.highs) if value > 0]
            lowest = min(positive, default=1e-12)
            self._axes.set_yscale("log", nonpositive="mask")
            self._axes.set_ylim(lowest / 1.5, max(highest, lowest) * (max(highest, lowest) / lowest) ** 0.18 * 1.5)
            return
        headroom = 1.2 if self._panel is None else 1.35  # the phases' names stand along the top
        self._axes.set_ylim(0, highest * headroom or 1.0)
        self._axes.yaxis.set_major_locator(MaxNLocator(max(3, self._options.height_px // 50), steps=[1, 2, 5, 10]))
        self._axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))

    def _legend_columns(self) -> int:
        widest = max(_text_width_px(name, self._font_size * 0.85) for name in self._names) + 5 * self._font_size
        return min(len(self._names), max(1, int(self._options.width_px // widest)))

    def _legend_rows(self) -> int:
        return -(-len(self._names) // self._legend_columns()) if self._names else 0

    def _draw_legend(self, artists: list[Artist]) -> None:
        """Below the picture, where it hides nothing."""
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

    def draw_marks(self, marks: list[Mark]) -> None:
        """A ring and a text for each mark, and a vertical line through the current iteration."""
        for mark in marks:
            if self._options.scale == "log" and mark.lr <= 0:
                continue
            if mark.is_current:
                line = (0, (4, 3))
                for axes in filter(None, (self._axes, self._panel)):
                    axes.axvline(mark.iteration, color=self._theme.text, linewidth=1, linestyle=line, zorder=2)
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

    def draw_title(self, title: str) -> None:
        """Writes the title, shortened to the width of the picture."""
        size = self._font_size * 1.15
        text = _drawable(title)
        room = self._options.width_px - 2 * size
        while _text_width_px(text, size) > room:
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
            FigureCanvasSVG(self._figure).print_svg(data, metadata={"Date": None})  # type: ignore[no-untyped-call]
        else:
            FigureCanvasAgg(self._figure).print_png(data)  # type: ignore[no-untyped-call]
        return data.getvalue()


@cache
def _font_path() -> str:
    return findfont(FontProperties())


def _text_width_px(text: str, size: float) -> float:
    """Rough: the letters of the default font are 0.6 em wide on average."""
    return len(text) * size * 0.6 * _DPI / 72


def _drawable(text: str) -> str:
    """The text with a box for each character that the font lacks, and a space for each control character."""
    known = get_font(_font_path())
    return "".join(
        " " if ord(letter) < 32 else letter if known.get_char_index(ord(letter)) else "□"  # noqa: PLR2004
        for letter in islice(text, 400)
    )
