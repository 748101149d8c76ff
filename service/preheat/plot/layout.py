"""Layout: how title, axes, legend and notes share the picture, in pixels."""

import math
from dataclasses import dataclass

from preheat.plot.content import Content, Panel
from preheat.plot.fonts import cut, cut_middle, width_em
from preheat.plot.options import PlotOptions
from preheat.plot.scales import LogScale, PanelScale, ValueScale
from preheat.plot.scene import ASCENT, DESCENT, Box
from preheat.plot.ticks import Ticks

MOST_NAMED = 9
"""Names up to this many have a legend; more have a colour ramp with a bar."""

MOST_STRIPS = 4
"""Schedules up to this many have their phases drawn one above the other."""

SMALL = 0.87
"""Size of everything but title and axis labels, in units of the font size."""

_LINE = ASCENT + DESCENT
_MAIN_SHARE, _MAIN_LEAST = 0.4, 6.0  # of the height, and in lines of text
_PANEL_SHARE, _PANEL_LEAST, _HEADER = 0.3, 3.2, 1.5
_HANDLE = 2.4  # of a legend's entry: its line and the gap after it
_MOST_NOTE_ROWS = 2


def font_size_px(options: PlotOptions) -> float:
    """Grows with the picture, more slowly than it: 11 px at the smallest, 13 at 960 × 480, 18 at 1600 × 900."""
    growth = math.sqrt(math.sqrt(options.width_px * options.height_px / (960 * 480)))
    return round(max(11.0, 13.0 * growth), 1)


@dataclass(frozen=True)
class Axis:
    """Axes of one panel: its place, what lies where in it, and the ticks of its values."""

    panel: Panel
    box: Box
    scale: ValueScale
    ticks: Ticks


@dataclass(frozen=True)
class Legend:
    """Entries by column and row, with the width of a column; without entries, none."""

    names: list[str]
    columns: int
    width: float
    rows: int


class Layout:
    """Where everything goes in a picture of this content; `left_out` names panels that have no room."""

    def __init__(self, content: Content, options: PlotOptions, notes: str) -> None:
        self.size = size = font_size_px(options)
        self.width, self.height = options.width_px, options.height_px
        self.names = list(dict.fromkeys(line.name for panel in _panels(content) for line in panel.lines if line.name))
        self.has_bar = len(self.names) > MOST_NAMED
        self.legend = self._legend()
        self.notes = self._note_rows(notes)
        differ = len({tuple(phases) for phases in content.phases.values()}) > 1
        self.strips = differ and len(content.phases) <= MOST_STRIPS
        self.hides_phases = differ and not self.strips
        self.notes_top = self.height - 0.5 * size - len(self.notes) * 1.2 * SMALL * size
        self.legend_top = self.notes_top - self.legend.rows * 1.3 * size - (0.2 * size if self.legend.rows else 0)
        self.label_top = self.legend_top - 1.2 * size
        floor, ceiling = self.label_top - 1.5 * size, 2.6 * size
        shown, self.left_out = self._panels_that_fit(content, floor - ceiling)
        heights = self._panel_heights(len(shown), floor - ceiling)
        self.axes = self._axes(content, shown, heights, ceiling, options)

    @property
    def small(self) -> float:
        """Size of tick labels, marks, legend and notes, in pixels."""
        return SMALL * self.size

    def _legend(self) -> Legend:
        if len(self.names) < 2 or self.has_bar:  # noqa: PLR2004 - one line needs no name
            return Legend([], 0, 0.0, 0)
        room = self.width - 2 * self.size
        gap = (_HANDLE + 1.2) * self.size
        widest = max(width_em(name) for name in self.names) * self.small + gap
        most_rows = max(int(self.height * 0.25 / (1.3 * self.size)), 1)
        columns = max(min(int(room / widest), len(self.names)), math.ceil(len(self.names) / most_rows), 1)
        rows = math.ceil(len(self.names) / columns)
        columns = math.ceil(len(self.names) / rows)
        width = min(widest, room / columns)
        return Legend([cut_middle(name, (width - gap) / self.small) for name in self.names], columns, width, rows)

    def _note_rows(self, notes: str) -> list[str]:
        """The notes in lines as wide as the picture, the last one cut."""
        most = (self.width - 2 * self.size) / self.small
        rows: list[str] = []
        for word in notes.split(" ") if notes else []:
            if rows and (width_em(f"{rows[-1]} {word}") <= most or len(rows) == _MOST_NOTE_ROWS):
                rows[-1] += f" {word}"
            else:
                rows.append(word)
        return [cut(row, most) for row in rows]

    def _panels_that_fit(self, content: Content, height: float) -> tuple[list[Panel], list[str]]:
        room = height - max(_MAIN_LEAST * self.size, _MAIN_SHARE * height)
        fit = max(int(room / ((_PANEL_LEAST + _HEADER) * self.size)), 0)
        return content.panels[:fit], [panel.label for panel in content.panels[fit:]]

    def _panel_heights(self, panels: int, height: float) -> float:
        if not panels:
            return 0.0
        share = (1 - _MAIN_SHARE) * height / panels - _HEADER * self.size
        return max(min(share, _PANEL_SHARE * height), _PANEL_LEAST * self.size)

    def _axes(
        self, content: Content, panels: list[Panel], height: float, ceiling: float, options: PlotOptions
    ) -> list[Axis]:
        size = self.size
        floor = self.label_top - 1.5 * size
        main_bottom = floor - len(panels) * (height + _HEADER * size)
        main = self._lr_scale(content, options, ceiling, main_bottom)
        tops = [main_bottom + index * height + (index + 1) * _HEADER * size for index in range(len(panels))]
        scales = [
            main,
            *(_panel_scale(panel, top, top + height, size) for panel, top in zip(panels, tops, strict=True)),
        ]
        heights = [(scale.bottom - scale.top) / size for scale in scales]
        ticks = [
            scale.ticks(max(int(high / 2.8), 2), int(high / 1.05) - 1)
            for scale, high in zip(scales, heights, strict=True)
        ]
        widest = max(width_em(label) for each in ticks for label in (*each.labels, "0")) * self.small
        left = 0.5 * size + _LINE * size + 0.4 * size + widest + 0.5 * size
        right = self.width - self.size - self.bar_width
        bottoms = [main_bottom, *(top + height for top in tops)]
        return [
            Axis(panel, Box(left, top, right, bottom), scale, tick)
            for panel, top, bottom, scale, tick in zip(
                [content.lrs, *panels], [ceiling, *tops], bottoms, scales, ticks, strict=True
            )
        ]

    @property
    def bar_width(self) -> float:
        """Width of the colour bar with its names; 0 without one."""
        if not self.has_bar:
            return 0.0
        widest = min(max(width_em(name) for name in self.names), self.width / self.small * 0.2)
        return widest * self.small + 1.9 * self.size

    def _lr_scale(self, content: Content, options: PlotOptions, top: float, bottom: float) -> ValueScale:
        size = self.size
        rows = len(content.phases) if self.strips else 1
        headroom = min((1.35 * rows + (2.2 if content.marks else 0.6)) * size, 0.5 * (bottom - top))
        if options.scale == "log":
            return LogScale(content.lrs.lines, top, bottom, headroom, 1.8 * size)
        return ValueScale(content.lrs.lines, top, bottom, headroom)


def _panel_scale(panel: Panel, top: float, bottom: float, size: float) -> ValueScale:
    if panel.is_log:
        return LogScale(panel.lines, top, bottom, 0.3 * size, 1.8 * size)
    return PanelScale(panel.lines, top, bottom, 0.0)


def _panels(content: Content) -> list[Panel]:
    return [content.lrs, *content.panels]
