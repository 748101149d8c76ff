"""A curve as a picture: what is shown of it, and what is said about it."""

from dataclasses import replace

import numpy as np

from preheat.analysis.difference import common_columns, values_of
from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.errors import IterationOutOfRange
from preheat.plot.drawing import MAX_LINES, Content, Line, Mark, draw
from preheat.plot.options import PlotOptions
from preheat.specs.tracks import LR_NAME, Column


def render(curves: list[Curve], options: PlotOptions, kind: str = "png", deadline: Deadline = NO_DEADLINE) -> bytes:
    """The picture of one curve, or of several beside each other; the first gives title, phases and annotations.

    `kind` is "png" or "svg". The same arguments give the same bytes. A curve longer than the picture is wide keeps
    every spike and step. Raises IterationOutOfRange if the window or `at` leaves the run, ComputeTimeout past the
    deadline.
    """
    check_options(curves, options)
    main = curves[0]
    stop = _longest(curves) + 1 if options.stop is None else options.stop
    is_alone = len(curves) == 1
    drawn = [_lines(curve, options, stop, deadline, is_alone=is_alone) for curve in curves]
    lines = [line for curve, found in zip(curves, drawn, strict=True) for line in found[: len(curve.group_names)]]
    others = [line for curve, found in zip(curves, drawn, strict=True) for line in found[len(curve.group_names) :]]
    marks = _marks(main, lines[: len(main.group_names)], options, stop, deadline)
    content = Content(_title(main), main.schedule.spec.phases, lines, marks, stop - 1, _distinct(others))
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
    chosen = range(options.start, stop)[:: -(-(stop - options.start) // 2000)]
    apart = values_of(b, columns, chosen, deadline) - values_of(a, columns, chosen, deadline)
    places = np.array(chosen, dtype=float)
    differences = [
        Line(f"difference in {column.name}" if len(columns) > 1 else "difference", places, places, values, values)
        for column, values in zip(columns, apart.T, strict=True)
    ]
    lines = [
        line
        for curve in (a, b)
        for line in _lines(curve, options, stop, deadline, is_alone=False)[: len(curve.group_names)]
    ]
    names = [curve.schedule.spec.label or curve.schedule.id[:8] for curve in (a, b)]
    content = Content(
        f"{names[0]} and {names[1]}", a.schedule.spec.phases, lines, [], stop - 1, differences, "difference"
    )
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


def _lines(curve: Curve, options: PlotOptions, stop: int, deadline: Deadline, *, is_alone: bool) -> list[Line]:
    """A line for each column, named after its curve too if there are others beside it."""
    end = min(stop, curve.total_iterations + 1)
    firsts, lows, highs = curve.envelope(min(options.start, end - 1), end, options.width_px, deadline)
    lasts = np.append(firsts[1:], end) - 1.0
    names = [_line_name(curve, column, is_alone=is_alone) for column in curve.columns]
    return [
        Line(name, firsts.astype(float), lasts, lows[:, place], highs[:, place]) for place, name in enumerate(names)
    ]


def _line_name(curve: Curve, column: Column, *, is_alone: bool) -> str:
    parts = [] if is_alone else [curve.schedule.spec.label or curve.schedule.id[:8]]
    is_lr = column.hyperparameter == LR_NAME
    if len(curve.group_names) > 1 or (is_alone and is_lr):
        parts.append("LR" if is_lr and curve.group_names == ("default",) else column.group)
    return " · ".join(parts if is_lr else [*parts, column.hyperparameter.replace("_", " ")])


def _distinct(lines: list[Line]) -> list[Line]:
    """Lines of the same values once, named after what they have the values of."""
    found: dict[bytes, Line] = {}
    for line in lines:
        key = line.lows.tobytes() + line.highs.tobytes() + line.name.rpartition(" · ")[2].encode()
        found[key] = replace(line, name=line.name.rpartition(" · ")[2]) if key in found else line
    return list(found.values())


def _marks(curve: Curve, lines: list[Line], options: PlotOptions, stop: int, deadline: Deadline) -> list[Mark]:
    """The peak of all param groups, the last LR of each (of a few), and the LRs of the iteration asked for."""
    end = min(stop, curve.total_iterations + 1)
    group = max(range(len(lines)), key=lambda index: float(lines[index].highs.max()))
    iteration, lr = _peak(curve, group, range(min(options.start, end - 1), end), deadline)
    marks = [Mark(iteration, lr, f"peak {lr:.6g} at {_count(iteration)}")]
    last = end - 1
    if last != iteration:
        finals = dict.fromkeys(curve.lr(last, deadline)[: len(lines)])
        marks += [Mark(last, lr, f"final {lr:.6g} at {_count(last)}") for lr in list(finals)[:3]]
    at = options.at
    if at is not None and options.start <= at < stop:
        lrs = list(dict.fromkeys(curve.lr(at, deadline)[: len(lines)]))[:MAX_LINES]
        marks += [Mark(at, lr, f"{lr:.6g} at {_count(at)}", is_current=True) for lr in lrs]
    return marks


def _peak(curve: Curve, group: int, window: range, deadline: Deadline) -> tuple[int, float]:
    """First iteration with the highest LR of the window, and that LR."""
    while len(window) > 1:
        firsts, _, highs = curve.envelope(window.start, window.stop, 64, deadline)
        part = int(highs[:, group].argmax())
        bounds = [*firsts.tolist(), window.stop]
        window = range(bounds[part], bounds[part + 1])
    return window.start, curve.lr(window.start, deadline)[group]


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
