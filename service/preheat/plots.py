"""A curve as a picture: PNG or SVG, through matplotlib's object interface."""

import io
import threading
from dataclasses import dataclass
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

from preheat.curve import Curve, Floats
from preheat.deadline import NO_DEADLINE, Deadline
from preheat.errors import IterationOutOfRange
from preheat.spec.phases import Phase, phases

PICTURE_VERSION = f"mpl{mpl.__version__}"
"""What the bytes of a picture depend on besides schedule and options."""

_DPI = 100
_MAX_LINES = 20
_MAX_POINTS_WITH_MARKERS = 60
_DRAWING = threading.Lock()


@dataclass(frozen=True)
class PlotOptions:
    """How a picture looks. `stop` None is the end of the longest curve; `at` marks an iteration and its LR."""

    width_px: int = 960
    height_px: int = 480
    scale: Literal["linear", "log"] = "linear"
    theme: Literal["light", "dark"] = "light"
    start: int = 0
    stop: int | None = None
    at: int | None = None


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
class _Line:
    """One param group of one curve: lows and highs of equal parts of the window, first … last of each."""

    name: str
    curve: Curve
    group: int
    firsts: Floats
    lasts: Floats
    lows: Floats
    highs: Floats


def render(
    curves: list[Curve], options: PlotOptions, media_type: str = "image/png", deadline: Deadline = NO_DEADLINE
) -> bytes:
    """The picture of one curve, or of several beside each other; the first gives title, phases and annotations.

    The same arguments give the same bytes. A curve longer than the picture is wide keeps every spike and step.
    Raises IterationOutOfRange if the window or `at` leaves the run, ComputeTimeout past the deadline.
    """
    main = curves[0]
    check_options(curves, options)
    stop = _longest(curves) + 1 if options.stop is None else options.stop
    lines = _lines(curves, options, stop, deadline)
    marks = _marks([line for line in lines if line.curve is main], options, stop, deadline)
    with _DRAWING, mpl.rc_context({"svg.hashsalt": "preheat", "svg.fonttype": "none"}):  # matplotlib has no other way
        figure = Figure((options.width_px / _DPI, options.height_px / _DPI), dpi=_DPI)
        picture = _Picture(figure, options, stop, [line.name for line in lines] if len(lines) > 1 else [])
        picture.draw_phases(phases(main.schedule.spec))
        picture.draw_lines(lines)
        picture.draw_marks(marks)
        picture.draw_title(_title(main))
        return picture.encode(media_type)


def check_options(curves: list[Curve], options: PlotOptions) -> None:
    """Raises IterationOutOfRange unless the window lies in the longest run, and `at` in the first."""
    longest = _longest(curves)
    stop = longest + 1 if options.stop is None else options.stop
    if not 1 <= stop <= longest + 1:
        raise IterationOutOfRange("stop", stop, longest + 1)
    if not 0 <= options.start < stop:
        raise IterationOutOfRange("start", options.start, stop - 1)
    if options.at is not None and not 0 <= options.at <= curves[0].total_iterations:
        raise IterationOutOfRange("at", options.at, curves[0].total_iterations)


def _longest(curves: list[Curve]) -> int:
    return max(curve.total_iterations for curve in curves)


def _lines(curves: list[Curve], options: PlotOptions, stop: int, deadline: Deadline) -> list[_Line]:
    lines = []
    for curve in curves:
        end = min(stop, curve.total_iterations + 1)
        firsts, lows, highs = curve.envelope(min(options.start, end - 1), end, options.width_px, deadline)
        lasts = np.append(firsts[1:], end) - 1.0
        for group, name in enumerate(curve.group_names):
            named = name if len(curves) == 1 else _compared_name(curve, name)
            lines.append(_Line(named, curve, group, firsts.astype(float), lasts, lows[:, group], highs[:, group]))
    return lines


def _compared_name(curve: Curve, group: str) -> str:
    name = curve.schedule.spec.label or curve.schedule.id[:8]
    return name if len(curve.group_names) == 1 else f"{name} · {group}"


@dataclass(frozen=True)
class _Mark:
    """An iteration and its LR, with what to write beside them."""

    iteration: int
    lr: float
    text: str
    is_current: bool = False


def _marks(lines: list[_Line], options: PlotOptions, stop: int, deadline: Deadline) -> list[_Mark]:
    """The peak of all param groups, the last LR of each (of a few), and the LRs of the iteration asked for."""
    curve = lines[0].curve
    highest = max(lines, key=lambda line: float(line.highs.max()))
    end = min(stop, curve.total_iterations + 1)
    iteration, lr = _peak(highest, min(options.start, end - 1), end, deadline)
    marks = [_Mark(iteration, lr, f"peak {lr:.6g} at {_count(iteration)}")]
    last = end - 1
    if last != iteration:
        finals = dict.fromkeys(curve.lr(last, deadline))
        marks += [_Mark(last, lr, f"final {lr:.6g} at {_count(last)}") for lr in list(finals)[:3]]
    at = options.at
    if at is not None and options.start <= at < stop:
        lrs = list(dict.fromkeys(curve.lr(at, deadline)))[:_MAX_LINES]
        marks += [_Mark(at, lr, f"{lr:.6g} at {_count(at)}", is_current=True) for lr in lrs]
    return marks


def _peak(line: _Line, start: int, stop: int, deadline: Deadline) -> tuple[int, float]:
    """First iteration with the highest LR of the window, and that LR."""
    while stop - start > 1:
        firsts, _, highs = line.curve.envelope(start, stop, 64, deadline)
        part = int(highs[:, line.group].argmax())
        bounds = [*firsts.tolist(), stop]
        start, stop = bounds[part], bounds[part + 1]
    return start, line.curve.lr(start, deadline)[line.group]


def _title(curve: Curve) -> str:
    spec = curve.schedule.spec
    if spec.label:
        return spec.label
    after = spec.after_scheduler.type if spec.after_scheduler else "constant"
    warmup = f"warm-up {_count(spec.warmup.iterations)}, " if spec.warmup.iterations else ""
    plural = "" if spec.total_iterations == 1 else "s"
    return f"target LR {spec.target_lr:g}: {warmup}{after}, {_count(spec.total_iterations)} iteration{plural}"


def _count(iterations: int) -> str:
    """Iterations in words: 12 000, 25M, 1.5G."""
    for unit, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if iterations >= max(unit, 10**7):
            return f"{iterations / unit:.6g}{letter}"
    return f"{iterations:,}".replace(",", "\u202f")


class _Picture:
    """One figure with one pair of axes."""

    def __init__(self, figure: Figure, options: PlotOptions, stop: int, names: list[str]) -> None:
        self._figure = figure
        self._names = [_drawable(name) for name in names[:_MAX_LINES]]
        if len(names) > _MAX_LINES:
            self._names[-1] += f" (… {len(names) - _MAX_LINES} more not drawn)"
        self._options = options
        self._theme = _THEMES[options.theme]
        self._font_size = min(max(options.width_px / 100, 7.0), 12.0)
        self._start, self._last = options.start, stop - 1
        self._axes = self._make_axes()

    def _make_axes(self) -> Axes:
        theme, size = self._theme, self._font_size
        width, height = self._options.width_px, self._options.height_px
        left, right = 6.2 * size / width * 1.39, 1 - 2.0 * size / width
        bottom, top = (4.2 + 1.5 * self._legend_rows()) * size / height * 1.39, 1 - 2.6 * size / height * 1.39
        self._figure.set_facecolor(theme.background)
        axes = self._figure.add_axes((left, bottom, right - left, top - bottom), facecolor=theme.background)
        axes.set_xlabel("iteration", color=theme.text, fontsize=size)
        axes.set_ylabel("learning rate", color=theme.text, fontsize=size)
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
        return axes

    def draw_phases(self, all_phases: list[Phase]) -> None:
        """Shades the phases in turn and writes their names along the top."""
        shown = [phase for phase in all_phases if phase.stop > self._start and phase.start <= self._last]
        for phase, shade in zip(shown, cycle(self._theme.shades), strict=False):
            begin, end = max(phase.start - 0.5, self._start - 0.5), min(phase.stop - 0.5, self._last + 0.5)
            self._axes.axvspan(begin, end, color=shade, linewidth=0, zorder=0)
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

    def draw_lines(self, lines: list[_Line]) -> None:
        """One line per param group, with a legend if there are several."""
        drawn = lines[:_MAX_LINES]
        self._set_lr_axis(drawn)
        artists = [self._draw_line(line, colour) for line, colour in zip(drawn, cycle(self._theme.lines), strict=False)]
        if self._names:
            self._draw_legend(artists)

    def _draw_line(self, line: _Line, colour: str) -> Artist:
        rises = np.append(line.highs[1:] >= line.highs[:-1], True)
        firsts, seconds = np.where(rises, line.lows, line.highs), np.where(rises, line.highs, line.lows)
        x = np.column_stack([line.firsts, line.lasts]).ravel()
        y = np.column_stack([firsts, seconds]).ravel()
        few = len(line.firsts) <= _MAX_POINTS_WITH_MARKERS
        width = self._font_size / 6
        (artist,) = self._axes.plot(
            x, y, color=colour, linewidth=width, marker="o" if few else "", markersize=width * 2.2, zorder=3
        )
        return artist

    def _set_lr_axis(self, lines: list[_Line]) -> None:
        highest = max(float(line.highs.max()) for line in lines)
        if self._options.scale == "log":
            positive = [value for line in lines for value in (*line.lows, *line.highs) if value > 0]
            lowest = min(positive, default=1e-12)
            self._axes.set_yscale("log", nonpositive="mask")
            self._axes.set_ylim(lowest / 1.5, max(highest, lowest) * (max(highest, lowest) / lowest) ** 0.18 * 1.5)
            return
        self._axes.set_ylim(0, highest * 1.2 or 1.0)
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

    def draw_marks(self, marks: list[_Mark]) -> None:
        """A ring and a text for each mark, and a vertical line through the current iteration."""
        for mark in marks:
            if self._options.scale == "log" and mark.lr <= 0:
                continue
            if mark.is_current:
                line = (0, (4, 3))
                self._axes.axvline(mark.iteration, color=self._theme.text, linewidth=1, linestyle=line, zorder=2)
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

    def _write_beside(self, mark: _Mark) -> None:
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

    def encode(self, media_type: str) -> bytes:
        """The picture's bytes."""
        data = io.BytesIO()
        if media_type == "image/svg+xml":
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
