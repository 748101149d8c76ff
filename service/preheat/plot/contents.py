"""Contents of plots: which lines, phases and marks a picture shows of curves; pictures kept in memory."""

import threading
from dataclasses import replace

import numpy as np

from preheat.analysis.difference import common_columns, evenly, values_of
from preheat.analysis.window import peak
from preheat.budget import NO_DEADLINE, Deadline
from preheat.cache import BoundedCache
from preheat.curve import Curve
from preheat.errors import IterationOutOfRange
from preheat.plot.drawing import MAX_LINES, Content, Line, Mark, draw
from preheat.plot.options import PlotOptions
from preheat.specs.tracks import LR_NAME, Column

_MAX_DIFFERENCES = 2000


def render(curves: list[Curve], options: PlotOptions, kind: str = "png", deadline: Deadline = NO_DEADLINE) -> bytes:
    """The picture of one curve, or of several in the same axes; the first gives title, phases and marks.

    `kind` is "png" or "svg". The same arguments give the same bytes. A curve longer than the picture is wide keeps
    every spike and step. Raises IterationOutOfRange if the window or `at` leaves the run, ComputeTimeout past the
    deadline.
    """
    check_options(curves, options)
    main = curves[0]
    stop = _longest(curves) + 1 if options.stop is None else options.stop
    lines: list[Line] = []
    panel_lines: list[Line] = []
    for curve in curves:
        of_curve = _lines(curve, options, stop, deadline, is_alone=len(curves) == 1)
        # the columns of a curve are its groups' LRs, and then other hyperparameters
        lines += of_curve[: len(curve.group_names)]
        panel_lines += of_curve[len(curve.group_names) :]
    marks = _marks(main, lines[: len(main.group_names)], options, stop, deadline)
    panel = _distinct(panel_lines)
    label = _x_label(curves, options, stop)
    content = Content(_title(main), main.schedule.spec.phases, lines, marks, stop - 1, panel, x_label=label)
    return draw(content, options, kind)


def render_difference(
    a: Curve, b: Curve, options: PlotOptions, kind: str = "png", deadline: Deadline = NO_DEADLINE
) -> bytes:
    """The picture of two curves and, below, of b − a in the columns that both have, at up to 2000 iterations.

    Raises NotComparable, and what `render` raises.
    """
    check_options([a, b], options)
    stop = min(a.total_iterations, b.total_iterations) + 1 if options.stop is None else options.stop
    columns = common_columns(a, b)
    iterations = evenly(range(options.start, stop), _MAX_DIFFERENCES)
    differences = values_of(b, columns, iterations, deadline) - values_of(a, columns, iterations, deadline)
    x = np.array(iterations, dtype=float)
    panel_lines = [
        Line(f"difference in {column.name}" if len(columns) > 1 else "difference", x, x, y, y)
        for column, y in zip(columns, differences.T, strict=True)
    ]
    lines = [
        line
        for curve in (a, b)
        for line in _lines(curve, options, stop, deadline, is_alone=False)[: len(curve.group_names)]
    ]
    title = f"{_curve_name(a)} and {_curve_name(b)}"
    label = _x_label([a, b], options, stop)
    content = Content(title, a.schedule.spec.phases, lines, [], stop - 1, panel_lines, "difference", label)
    return draw(content, options, kind)


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


def _window(curve: Curve, options: PlotOptions, stop: int) -> range:
    """The iterations of the curve that are shown; its last one if the window begins after its end."""
    end = min(stop, curve.total_iterations + 1)
    return range(min(options.start, end - 1), end)


def _x_label(curves: list[Curve], options: PlotOptions, stop: int) -> str:
    """Says where a picture may lack a peak or a valley."""
    windows = [(curve, _window(curve, options, stop)) for curve in curves]
    is_sampled = any(curve.is_sampled(window.start, window.stop) for curve, window in windows)
    return "iteration (sampled: peaks and valleys may be missing)" if is_sampled else "iteration"


def _lines(curve: Curve, options: PlotOptions, stop: int, deadline: Deadline, *, is_alone: bool) -> list[Line]:
    """A line for each column, with the curve's name in its own if there are other curves."""
    window = _window(curve, options, stop)
    firsts, lows, highs = curve.envelope(window.start, window.stop, options.width_px, deadline)
    lasts = np.append(firsts[1:], window.stop) - 1.0
    return [
        Line(_line_name(curve, column, is_alone=is_alone), firsts.astype(float), lasts, lows[:, index], highs[:, index])
        for index, column in enumerate(curve.columns)
    ]


def _line_name(curve: Curve, column: Column, *, is_alone: bool) -> str:
    parts = [] if is_alone else [_curve_name(curve)]
    is_lr = column.hyperparameter == LR_NAME
    if len(curve.group_names) > 1 or (is_alone and is_lr):
        parts.append("LR" if is_lr and curve.group_names == ("default",) else column.group)
    return " · ".join(parts if is_lr else [*parts, column.hyperparameter.replace("_", " ")])


def _curve_name(curve: Curve) -> str:
    return curve.schedule.spec.label or curve.schedule.id[:8]


def _distinct(lines: list[Line]) -> list[Line]:
    """Lines that have the same values once, with the name of the hyperparameter alone."""
    distinct: dict[bytes, Line] = {}
    for line in lines:
        hyperparameter = line.name.rpartition(" · ")[2]
        key = line.lows.tobytes() + line.highs.tobytes() + hyperparameter.encode()
        distinct[key] = replace(line, name=hyperparameter) if key in distinct else line
    return list(distinct.values())


def _marks(curve: Curve, lines: list[Line], options: PlotOptions, stop: int, deadline: Deadline) -> list[Mark]:
    """The peak of all param groups, the last LR of up to three, and the LRs of the iteration asked for."""
    window = _window(curve, options, stop)
    highest_group = max(range(len(lines)), key=lambda index: float(lines[index].highs.max()))
    iteration, lr = peak(curve, highest_group, window, deadline)
    marks = [Mark(iteration, lr, f"peak {lr:.6g} at {_count(iteration)}")]
    last = window.stop - 1
    if last != iteration:
        finals = list(dict.fromkeys(curve.lr(last, deadline)[: len(lines)]))[:3]
        marks += [Mark(last, lr, f"final {lr:.6g} at {_count(last)}") for lr in finals]
    at = options.at
    if at is not None and options.start <= at < stop:
        lrs = list(dict.fromkeys(curve.lr(at, deadline)[: len(lines)]))[:MAX_LINES]
        marks += [Mark(at, lr, f"{lr:.6g} at {_count(at)}", is_current=True) for lr in lrs]
    return marks


def _title(curve: Curve) -> str:
    spec = curve.schedule.spec
    if spec.label:
        return spec.label
    after = spec.after_scheduler.type if spec.after_scheduler else "constant"
    warmup = f"warm-up {_count(spec.warmup.iterations)}, " if spec.warmup.iterations else ""
    plural = "" if spec.total_iterations == 1 else "s"
    return f"target LR {spec.target_lr:g}: {warmup}{after}, {_count(spec.total_iterations)} iteration{plural}"


def _count(iterations: int) -> str:
    """A number of iterations as text: 12 000, 25M, 1.5T."""
    for unit, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if iterations >= max(unit, 10**7):  # below ten million every digit is written
            return f"{iterations / unit:.6g}{letter}"
    return f"{iterations:,}".replace(",", "\u202f")


class PictureCache:
    """Renders pictures and keeps the most recently used; `hits` and `misses` count what was asked for."""

    def __init__(self, max_bytes: int) -> None:
        self.hits = self.misses = 0
        self._counting = threading.Lock()
        self._pictures: BoundedCache[bytes] = BoundedCache(max_bytes, len)

    def picture(self, curves: list[Curve], options: PlotOptions, kind: str, deadline: Deadline) -> bytes:
        """The picture's bytes, as `preheat.plot.contents.render` gives them."""
        key = repr(([curve.schedule.id for curve in curves], options, kind))
        picture = self._pictures.get(key)
        with self._counting:
            self.hits += picture is not None
            self.misses += picture is None
        if picture is None:
            # two threads may render the same picture at once: rarely, and to the same bytes
            picture = render(curves, options, kind, deadline)
            self._pictures.put(key, picture)
        return picture
