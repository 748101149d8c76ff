"""Rendering: the pictures of curves, and which lines, phases and marks they show."""

from dataclasses import replace

import numpy as np

from preheat.analysis.difference import common_columns, evenly, values_of
from preheat.analysis.window import peak
from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.errors import IterationOutOfRange
from preheat.plot.content import Content, Line, Mark, Panel
from preheat.plot.drawing import draw
from preheat.plot.layout import MOST_NAMED
from preheat.plot.options import PlotOptions
from preheat.plot.ticks import count, short
from preheat.specs.tracks import LR_NAME

_MAX_DIFFERENCES = 2000
_MOST_LINE_VALUES, _FEWEST_PARTS = 500_000, 60
"""Values of all lines, 8 MB with lows and highs; a picture of 4000 pixels has them up to 125 lines."""
_MOST_TITLES = 3
_MOST_VALUES = 3
"""Different LRs at one iteration that are written out; of more, the lowest and the highest."""


def render(curves: list[Curve], options: PlotOptions, kind: str = "png", deadline: Deadline = NO_DEADLINE) -> bytes:
    """The picture of one curve, or of several in the same axes, each with its phases and marks.

    `kind` is "png" or "svg". The same arguments give the same bytes. A curve longer than the picture is wide keeps
    every spike and step. Raises IterationOutOfRange if the window or `at` leaves the run, ComputeTimeout past the
    deadline.
    """
    return draw(content_of(curves, options, deadline), options, kind, deadline)


def content_of(curves: list[Curve], options: PlotOptions, deadline: Deadline = NO_DEADLINE) -> Content:
    """What `render` draws. Raises what it raises."""
    check_options(curves, options)
    window = options.iterations(_longest(curves))
    shown = _all_shown(curves, options, window.stop, deadline)
    if len(shown) > 1 and sum(len(each.lrs) for each in shown) > MOST_NAMED:
        for each in shown:
            each.unite()
    marks = _merged([mark for each in shown for mark in each.marks(deadline)])
    return _content(shown, window, marks, _panels(shown))


def render_difference(
    a: Curve, b: Curve, options: PlotOptions, kind: str = "png", deadline: Deadline = NO_DEADLINE
) -> bytes:
    """The picture of two curves and, below, of b − a in the columns that both have, at up to 2000 iterations.

    Raises NotComparable, and what `render` raises.
    """
    check_options([a, b], options)
    window = options.iterations(min(a.total_iterations, b.total_iterations))
    columns = common_columns(a, b)
    iterations = evenly(window, _parts(_MAX_DIFFERENCES, [a, b]))
    differences = values_of(b, columns, iterations, deadline) - values_of(a, columns, iterations, deadline)
    x = np.array(iterations, dtype=float)
    shown = _all_shown([a, b], options, window.stop, deadline)
    panel = Panel(
        f"difference: {shown[1].name} − {shown[0].name}",
        [
            Line(f"difference in {column.name}" if len(columns) > 1 else "", x, x, y, y)
            for column, y in zip(columns, differences.T, strict=True)
        ],
    )
    return draw(_content(shown, window, [], [panel]), options, kind, deadline)


def check_options(curves: list[Curve], options: PlotOptions) -> None:
    """Raises IterationOutOfRange unless the window lies in the longest run, and `at` in the first."""
    longest = _longest(curves)
    stop = options.iterations(longest).stop
    if not 1 <= stop <= longest + 1:
        raise IterationOutOfRange("stop", stop, longest + 1)
    if not 0 <= options.start < stop:
        raise IterationOutOfRange("start", options.start, stop - 1)
    if options.at is not None and not 0 <= options.at <= curves[0].total_iterations:
        raise IterationOutOfRange("at", options.at, curves[0].total_iterations)


def _longest(curves: list[Curve]) -> int:
    return max(curve.total_iterations for curve in curves)


def _all_shown(curves: list[Curve], options: PlotOptions, stop: int, deadline: Deadline) -> "list[_Shown]":
    parts = _parts(options.width_px, curves)
    return [
        _Shown(curve, name, options, parts, stop, deadline) for curve, name in zip(curves, _names(curves), strict=True)
    ]


def _parts(wanted: int, curves: list[Curve]) -> int:
    """Parts of the window with a low and a high of every line: as many as wanted, fewer for hundreds of lines."""
    return min(wanted, max(_MOST_LINE_VALUES // sum(len(curve.columns) for curve in curves), _FEWEST_PARTS))


def _content(shown: "list[_Shown]", window: range, marks: list[Mark], panels: list[Panel]) -> Content:
    """The content of a picture of these iterations, with a line for each param group that is shown."""
    return Content(
        _title([each.curve for each in shown]),
        window.start,
        window.stop - 1,
        Panel("learning rate", [line for each in shown for line in each.lrs]),
        {each.name: each.curve.schedule.spec.phases for each in shown},
        {each.name: each.lrs[0].name for each in shown},
        marks,
        panels,
        _notes(shown),
    )


def _notes(shown: "list[_Shown]") -> list[str]:
    is_sampled = any(each.is_sampled for each in shown)
    return ["sampled: peaks and valleys may be missing"] if is_sampled else []


class _Shown:
    """The part of a curve that is in the window; its last iteration if the window begins after its end."""

    def __init__(
        self, curve: Curve, name: str, options: PlotOptions, parts: int, stop: int, deadline: Deadline
    ) -> None:
        self.curve, self.name, self._at = curve, name, options.at
        self._common_name = name
        end = min(stop, curve.total_iterations + 1)
        self._window = range(min(options.start, end - 1), end)
        firsts, lows, highs = curve.envelope(self._window.start, end, parts, deadline)
        lasts = np.append(firsts[1:], end) - 1.0
        self._lines = [
            Line(self._line_name(column.group), firsts.astype(float), lasts, lows[:, index], highs[:, index])
            for index, column in enumerate(curve.columns)
        ]

    @property
    def is_sampled(self) -> bool:
        """Whether its line may lack a peak or a valley."""
        return self.curve.is_sampled(self._window.start, self._window.stop)

    @property
    def lrs(self) -> list[Line]:
        """A line for each param group."""
        return self._lines[: len(self.curve.group_names)]

    def unite(self) -> None:
        """Gives all lines one name, and so one colour: of schedules with many groups, it says which schedule."""
        groups = len(self.curve.group_names)
        self._common_name = f"{self.name} ({groups} groups)" if groups > 1 else self.name
        self._lines = [replace(line, name=self._common_name) for line in self._lines]

    def others(self) -> dict[str, list[Line]]:
        """The lines of every other hyperparameter; one without a group's name if all groups have the same values."""
        lines: dict[str, list[Line]] = {}
        for column, line in zip(self.curve.columns, self._lines, strict=True):
            if column.hyperparameter != LR_NAME:
                lines.setdefault(column.hyperparameter, []).append(line)
        return {name: self._once(of_name) for name, of_name in lines.items()}

    def marks(self, deadline: Deadline) -> list[Mark]:
        """The peak of all param groups, their LRs at the end of the run, and those of the iteration asked for."""
        highest = max(range(len(self.lrs)), key=lambda index: float(self.lrs[index].highs.max()))
        iteration, lr = peak(self.curve, highest, self._window, deadline)
        marks = [Mark(iteration, lr, f"peak {short(lr)} at {count(iteration)}", self.lrs[highest].name)]
        last = self.curve.total_iterations
        if last in self._window and last != iteration:
            marks += self._marks_at(last, "final ", deadline)
        if self._at is not None and self._at in self._window:
            marks += self._marks_at(self._at, "", deadline, is_current=True)
        return marks

    def _marks_at(self, iteration: int, said: str, deadline: Deadline, *, is_current: bool = False) -> list[Mark]:
        """A mark for each LR that a group has at an iteration; of many, one for the lowest and the highest."""
        by_lr = dict(zip(self.curve.lr(iteration, deadline), (line.name for line in self.lrs), strict=False))
        texts = {lr: f"{said}{short(lr)} at {count(iteration)}" for lr in by_lr}
        if len(by_lr) > _MOST_VALUES:
            low, high = min(by_lr), max(by_lr)
            texts = {high: f"{said}{short(low)} … {short(high)} at {count(iteration)}", low: ""}
        return [Mark(iteration, lr, text, by_lr[lr], is_current) for lr, text in texts.items()]

    def _line_name(self, group: str) -> str:
        if len(self.curve.group_names) == 1:
            return self.name or ("LR" if group == "default" else group)
        return f"{self.name} · {group}" if self.name else group

    def _once(self, lines: list[Line]) -> list[Line]:
        first = lines[0]
        if len(lines) == 1 or any(
            (line.lows != first.lows).any() or (line.highs != first.highs).any() for line in lines
        ):
            return lines
        return [replace(first, name=self._common_name)]


def _merged(marks: list[Mark]) -> list[Mark]:
    """Marks of several schedules that are the same, once and without a name; a peak's text does for `at`, too."""
    by_place: dict[tuple[int, float, str], Mark] = {}
    for mark in marks:
        key = (mark.iteration, mark.lr, mark.text)
        by_place[key] = replace(mark, name="") if key in by_place else mark
    said = {(mark.iteration, mark.lr) for mark in by_place.values() if mark.text and not mark.is_current}
    return [
        replace(mark, text="") if mark.is_current and (mark.iteration, mark.lr) in said else mark
        for mark in by_place.values()
    ]


def _panels(shown: list[_Shown]) -> list[Panel]:
    """A panel for each hyperparameter that any of the curves has."""
    lines: dict[str, list[Line]] = {}
    for each in shown:
        for name, of_curve in each.others().items():
            lines.setdefault(name, []).extend(of_curve)
    return [Panel(name.replace("_", " "), of_name) for name, of_name in lines.items()]


def _names(curves: list[Curve]) -> list[str]:
    """What each schedule is called beside others: its label, with its id too if several have that; one alone, "" ."""
    if len(curves) == 1:
        return [""]
    labels = [curve.schedule.spec.label for curve in curves]
    return [
        f"{label} ({curve.schedule.id[:8]})" if label and labels.count(label) > 1 else label or curve.schedule.id[:8]
        for label, curve in zip(labels, curves, strict=True)
    ]


def _title(curves: list[Curve]) -> str:
    """The names of all schedules; of one without a label, what is in its spec."""
    names = _names(curves)
    if len(names) > _MOST_TITLES:
        names = [*names[: _MOST_TITLES - 1], f"{len(names) - _MOST_TITLES + 1} more"]
    if len(names) > 1:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    spec = curves[0].schedule.spec
    if spec.label:
        return spec.label
    after = spec.after_scheduler.type if spec.after_scheduler else "constant"
    warmup = f"warm-up {count(spec.warmup.iterations)}, " if spec.warmup.iterations else ""
    total = spec.amended_total_iterations
    plural = "" if total == 1 else "s"
    count_amended = len(spec.amendments or ())
    amended = f", {count_amended} amendment{'' if count_amended == 1 else 's'}" if count_amended else ""
    return f"target LR {short(spec.target_lr)}: {warmup}{after}, {count(total)} iteration{plural}{amended}"
