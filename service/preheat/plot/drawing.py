"""Drawing of one picture: the scene of a content, in which every text has a place of its own."""

import math
from dataclasses import replace

import numpy as np

from preheat.budget import NO_DEADLINE, Deadline
from preheat.plot.content import Content, Line, Mark, Panel, Style
from preheat.plot.encoding import encode
from preheat.plot.fonts import Kind, drawable
from preheat.plot.furniture import Furniture
from preheat.plot.labels import place_phase
from preheat.plot.layout import Axis, Layout
from preheat.plot.marks import MarkTexts
from preheat.plot.obstacles import Obstacles, column_extent
from preheat.plot.options import PlotOptions
from preheat.plot.scales import IterationScale
from preheat.plot.scene import Area, Box, Pixels, Ring, Scene, Stroke, Text, segment
from preheat.plot.themes import THEMES, blend
from preheat.plot.ticks import count
from preheat.specs import Phase

_MOST_POINTS_WITH_DOTS = 60
_MOST_LEFT_OUT = 3
_HIGHLIGHT, _GAP, _FAINT_GAP, _LEAST_GAP_PX = 0.45, 0.5, 0.7, 2.0
"""Shares of colour in lines that lie under others, in bands where something is no number and in grey ones, which are to
be told from the grid; least width of bands."""
_MOST_TRAVEL_PX, _LEAST_TRAVEL_PX = 2_000_000, 100_000
"""How far a line goes up and down, in all: teeth that fill a picture of 4000 × 4000 would take a minute and 1 GB."""

_MISSING = "… stands for letters that no font of the service has; the SVG has them"


def draw(content: Content, options: PlotOptions, kind: str, deadline: Deadline = NO_DEADLINE) -> bytes:
    """The picture as PNG or, if `kind` is "svg", as SVG. The same arguments give the same bytes.

    Raises ComputeTimeout past the deadline.
    """
    letters: Kind = "svg" if kind == "svg" else "png"
    return encode(compose(content, options, letters, deadline), letters, deadline)


def compose(content: Content, options: PlotOptions, kind: Kind, deadline: Deadline = NO_DEADLINE) -> Scene:
    """Everything in its place: no text lies on another or on a line.

    What has no room is left out and said in the notes below.
    """
    content = _with_letters(content, kind)
    left_out: list[str] = []
    while True:
        deadline.check()
        picture = _Picture(content, options, left_out)
        scene = picture.scene()
        # the notes take room themselves, so that the next picture may have to leave out more, but never the same again
        if not picture.left_out:
            return scene
        left_out += picture.left_out


class _Picture:
    """One attempt at a scene; `left_out` says afterwards what else had no room."""

    def __init__(self, content: Content, options: PlotOptions, known: list[str]) -> None:
        self._content, self._known = content, set(known)
        self._theme = THEMES[options.theme]
        self._options = options
        notes = [*content.notes, *(known if len(known) <= _MOST_LEFT_OUT else _summary(known))]
        self._layout = Layout(content, options, " · ".join(notes))
        left_out = [f"no room for {name}" for name in self._layout.left_out]
        if self._layout.hides_phases:
            left_out.append(f"no room for the phases of {len(content.phases)} schedules")
        self.left_out = [said for said in left_out if said not in self._known]
        box = self._layout.axes[0].box
        self._scale = IterationScale(content.start, content.last, box.left, box.right)
        names = self._layout.names
        colours = self._theme.ramp_colours(len(names)) if self._layout.has_bar else self._theme.line_colours(len(names))
        own = dict(zip(names, colours, strict=True)) | {"": self._theme.text}
        self._colours = {name: self._styled(name, own) for name in own}

    def _styled(self, name: str, own: dict[str, str]) -> str:
        """The colour of a name."""
        style = self._content.styles.get(name, Style())
        colour = own[name] if style.colour is None else self._theme.lines[style.colour]
        colour = self._theme.axis if style.is_faint else colour
        return blend(colour, self._theme.background, _HIGHLIGHT) if style.is_highlight else colour

    def scene(self) -> Scene:
        """Draws from back to front; texts are placed first, because the grid stops at them."""
        layout = self._layout
        main = layout.axes[0]
        curves = [self._curves(axis) for axis in layout.axes]
        obstacles = Obstacles(main.box, 0.15 * layout.size, curves[0])
        current = self._current_lines()
        for stroke in current[:1]:
            obstacles.add_box(
                Box(float(stroke.xs[0]), main.box.top, float(stroke.xs[0]), main.box.bottom).grown(1), is_solid=False
            )
        rings = [self._ring(mark) for mark in self._content.marks]
        for ring in rings:
            obstacles.add_box(ring.box)
        shades, texts = self._phases(obstacles)
        gaps = [area for axis in layout.axes for area in self._gaps(axis)]
        said = MarkTexts(self._content, rings, obstacles, layout.small, self._theme)
        said.place(self._known)
        texts += said.texts
        self.left_out += said.left
        furniture = Furniture(self._content, layout, self._theme, self._colours, self._scale)
        frame = furniture.frames(texts)
        scene = Scene(self._options.width_px, self._options.height_px, self._theme.background)
        scene.items += [*shades, *gaps, *frame, *current]
        scene.items += [curve for of_axis in curves for curve in of_axis]
        scene.items += [*said.leaders, *rings, *texts, *furniture.surroundings()]
        return scene

    def _curves(self, axis: Axis) -> list[Stroke]:
        """The lines of a panel; of those that run over each other the first are wider, so that all are seen."""
        lines = _distinct(axis.panel.lines) if self._layout.has_bar else axis.panel.lines
        if self._content.styles:  # from back to front: the first style is what is looked at
            lines = sorted(lines, key=lambda line: -["", *self._content.styles, line.name].index(line.name))
        width = self._layout.size / (12 if self._layout.has_bar else 7)
        most_px = max(min(_MOST_TRAVEL_PX, 4 * _MOST_TRAVEL_PX // max(len(lines), 1)), _LEAST_TRAVEL_PX)
        curves = [self._curve(_coarser(line, axis, most_px), axis, width) for line in lines]
        if self._layout.has_bar or len(curves) == 1 or self._content.styles:  # with styles no line hides another
            return curves
        columns = (int(axis.box.left), int(axis.box.width) + 2)
        tops = [column_extent(curve, *columns)[0] for curve in curves]
        return [
            replace(curve, width=width * (1 + 1.2 * min(_over(place, lines, tops), 2)))
            for place, curve in enumerate(curves)
        ]

    def _curve(self, line: Line, axis: Axis, width: float) -> Stroke:
        # of a part the lowest and the highest are known, not which comes first: that which makes the shorter line
        lows, highs = axis.scale.ys(line.lows), axis.scale.ys(line.highs)
        middles = (lows + highs) / 2
        before, after = np.append(middles[:1], middles[:-1]), np.append(middles[1:], middles[-1:])
        rises = np.abs(lows - before) + np.abs(after - highs) <= np.abs(highs - before) + np.abs(after - lows)
        begins, ends = np.where(rises, lows, highs), np.where(rises, highs, lows)
        xs = self._scale.xs(np.column_stack([line.firsts, line.lasts]).ravel())
        ys = np.column_stack([begins, ends]).ravel()
        is_new = np.append(True, (np.diff(xs) != 0) | (np.diff(ys) != 0))
        style = self._content.styles.get(line.name, Style())
        width *= style.width
        has_dots = len(line.firsts) <= _MOST_POINTS_WITH_DOTS and not (self._layout.has_bar or self._content.styles)
        dot = width * 1.4 if has_dots else 0.0
        dashes = tuple(width * each for each in style.dashes)
        return Stroke(xs[is_new], ys[is_new], self._colours[line.name], width, dashes, dot, line.id)

    def _gaps(self, axis: Axis) -> list[Area]:
        """Bands where something was no number; at least as wide as can be seen."""
        areas = []
        for band in axis.panel.gaps:
            left, right = self._scale.x(band.first), self._scale.x(band.last)
            more = max(_LEAST_GAP_PX - (right - left), 0) / 2
            over, share = (self._theme.axis, _FAINT_GAP) if band.is_faint else (self._theme.lines[1], _GAP)
            colour = blend(over, self._theme.background, share)
            areas.append(Area(Box(left - more, axis.box.top, right + more, axis.box.bottom), colour, band.id))
        return areas

    def _current_lines(self) -> list[Stroke]:
        """The dashed line through the current iteration, in every panel."""
        current = next((mark for mark in self._content.marks if mark.is_current), None)
        if current is None:
            return []
        x = self._scale.x(current.iteration)
        return [
            replace(segment(x, axis.box.top, x, axis.box.bottom, self._theme.text, 1.0), dashes=(4.0, 3.0))
            for axis in self._layout.axes
        ]

    def _ring(self, mark: Mark) -> Ring:
        y = self._layout.axes[0].scale.y(mark.lr)
        edge = self._colours[mark.name] if len(self._content.phases) > 1 else self._theme.text
        size = self._layout.size
        radius, width = (0.17 * size, 0.07 * size) if mark.is_small else (0.32 * size, 0.1 * size)
        x = self._scale.x(mark.iteration)
        return Ring(x, y, radius, self._theme.background, edge, width, mark.id, mark.told)

    def _phases(self, obstacles: Obstacles) -> tuple[list[Area], list[Text]]:
        """Shades through all panels with the names along the top; of several schedules that differ, a strip each."""
        if not self._layout.strips:
            phases = [] if self._layout.hides_phases else next(iter(self._content.phases.values()))
            return self._shades(phases), self._names("", phases, 0, obstacles)
        areas, texts = [], []
        for row, (name, phases) in enumerate(self._content.phases.items()):
            strip = self._strip(name, phases, row)
            areas += strip
            texts += self._names(name, phases, row, obstacles)
            for area in strip:
                obstacles.add_box(area.box)
        return areas, texts

    def _shades(self, phases: list[Phase]) -> list[Area]:
        return [
            Area(Box(begin, axis.box.top, end, axis.box.bottom), self._theme.shades[place % 2])
            for place, _, begin, end in self._shown(phases)
            for axis in self._layout.axes
        ]

    def _strip(self, name: str, phases: list[Phase], row: int) -> list[Area]:
        colour = self._colours[self._content.first_lines[name]]
        top, height = self._row_top(row), 1.2 * self._layout.size
        return [
            Area(Box(begin, top, end, top + height), blend(colour, self._theme.background, (0.3, 0.16)[place % 2]))
            for place, _, begin, end in self._shown(phases)
        ]

    def _names(self, schedule: str, phases: list[Phase], row: int, obstacles: Obstacles) -> list[Text]:
        texts = []
        for _, phase, begin, end in self._shown(phases):
            said = f"{schedule}: " if schedule else ""
            said += f"{phase.name} from {count(phase.start)} to {count(phase.stop - 1)}"
            if said in self._known:
                continue
            top = self._row_top(row) + 0.12 * self._layout.size
            may_stand = not self._layout.strips
            place = place_phase(phase.name, self._layout.small, begin, end, top, obstacles, may_stand=may_stand)
            if place is None:
                self.left_out.append(said)
            else:
                texts.append(Text(place[0], phase.name, self._layout.small, self._theme.text, place[1]))
        return texts

    def _row_top(self, row: int) -> float:
        return self._layout.axes[0].box.top + (0.1 + 1.35 * row) * self._layout.size

    def _shown(self, phases: list[Phase]) -> list[tuple[int, Phase, float, float]]:
        """The phases in the window, each with its place in the list, and its first and last column."""
        start, last, box = self._content.start, self._content.last, self._layout.axes[0].box
        return [
            (
                place,
                phase,
                # half an iteration to the left: an edge falls between two iterations
                box.left if phase.start <= start else self._scale.x(phase.start - 0.5),
                box.right if phase.stop > last else self._scale.x(phase.stop - 0.5),
            )
            for place, phase in enumerate(phases)
            if phase.stop > start and phase.start <= last
        ]


def _coarser(line: Line, axis: Axis, most_px: float) -> Line:
    """The line in fewer parts, each with the extremes of several, if it goes up and down further than `most_px`."""
    heights_px = np.abs(axis.scale.ys(line.highs) - axis.scale.ys(line.lows))
    several = math.ceil(float(heights_px.sum()) / most_px)
    if several < 2:  # noqa: PLR2004 - one part is a part
        return line
    begins = np.arange(0, len(line.firsts), several)
    ends = np.append(begins[1:], len(line.firsts)) - 1
    lows, highs = np.minimum.reduceat(line.lows, begins), np.maximum.reduceat(line.highs, begins)
    return replace(line, firsts=line.firsts[begins], lasts=line.lasts[ends], lows=lows, highs=highs)


def _over(place: int, lines: list[Line], tops: list[Pixels]) -> int:
    """How many of the later lines, of other names, run over a line."""
    return sum(
        later.name != lines[place].name and _meet(tops[place], top)
        for later, top in zip(lines[place + 1 :], tops[place + 1 :], strict=True)
    )


def _meet(one: Pixels, other: Pixels) -> bool:
    """Whether two curves run over each other for more than a crossing."""
    both = np.isfinite(one) & np.isfinite(other)
    return bool((np.abs(one[both] - other[both]) < 0.5).sum() > 0.15 * both.sum())  # noqa: PLR2004 - pixels


def _distinct(lines: list[Line]) -> list[Line]:
    """Lines of the same values once: of a thousand layers, most have another's LRs or lie under it."""
    return list({(line.lows.tobytes(), line.highs.tobytes()): line for line in lines}.values())


def _summary(left_out: list[str]) -> list[str]:
    return [*left_out[: _MOST_LEFT_OUT - 1], f"{len(left_out) - _MOST_LEFT_OUT + 1} more without room"]


def _with_letters(content: Content, kind: Kind) -> Content:
    """The content with texts that can be drawn, and a note if letters are missing."""
    missing = False

    def clean(text: str) -> str:
        nonlocal missing
        drawn, lacks = drawable(text, kind)
        missing = missing or lacks
        return drawn

    names = {name: clean(name) for name in _names_of(content)}
    names = _told_apart(names)

    def panel(of: Panel) -> Panel:
        lines = [replace(line, name=names[line.name]) for line in of.lines]
        return replace(of, label=clean(of.label), lines=lines)

    def mark(of: Mark) -> Mark:
        return replace(
            of, name=names[of.name], text=clean(of.text), brief=clean(of.brief), told=drawable(of.told, kind)[0]
        )

    cleaned = replace(
        content,
        title=clean(content.title),
        lrs=panel(content.lrs),
        panels=[panel(each) for each in content.panels],
        phases={names[name]: phases for name, phases in content.phases.items()},
        first_lines={names[name]: names[line] for name, line in content.first_lines.items()},
        styles={names[name]: style for name, style in content.styles.items() if name in names},
        marks=[mark(each) for each in content.marks],
        notes=[clean(note) for note in content.notes],
    )
    return replace(cleaned, notes=[*cleaned.notes, _MISSING]) if missing else cleaned


def _names_of(content: Content) -> list[str]:
    lines = [line.name for panel in (content.lrs, *content.panels) for line in panel.lines]
    return list(dict.fromkeys([*lines, *content.phases, *(mark.name for mark in content.marks)]))


def _told_apart(names: dict[str, str]) -> dict[str, str]:
    """Names that became equal without some letters get their place in the list."""
    drawn = list(names.values())
    return {
        name: f"{clean} ({place})" if name and drawn.count(clean) > 1 else clean
        for place, (name, clean) in enumerate(names.items(), start=1)
    }
