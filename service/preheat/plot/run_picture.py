"""Picture of a live run: what was used, is committed and planned, changes, earlier attempts, a reported number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.errors import IterationOutOfRange
from preheat.messages import shortened
from preheat.plot.content import Content, Line, Mark, Panel, Style
from preheat.plot.drawing import draw
from preheat.plot.options import PlotOptions
from preheat.plot.ticks import count, short
from preheat.runs.record import Entry, entries, line
from preheat.runs.run import Change, Run
from preheat.specs import Phase

_STYLES = {
    "used": Style(),
    "committed": Style((2.5, 1.5), like="used"),
    "planned": Style((0.8, 1.6), like="used"),
    "unknown": Style((0.8, 4.0), is_faint=True),
    "earlier attempts": Style(is_faint=True),
}
"""Names of lines, in the order of the legend."""

_MOST_FLAGS, _MOST_FLAG, _MOST_WHY = 12, 44, 30
_MOST_EARLIER = 20

CurveOf = Callable[[str], Curve]

Part = tuple[int, int, float, float]
"""The first and the last iteration of a part that has values, and their lowest and highest."""


@dataclass(frozen=True)
class Reports:
    """What was reported under a name in a picture's window, in parts, ascending; `note` says why there is nothing."""

    name: str
    parts: Sequence[Part]
    note: str = ""


def render_run(
    run: Run,
    curve_of: CurveOf,
    reports: Reports,
    options: PlotOptions,
    kind: str = "png",
    deadline: Deadline = NO_DEADLINE,
) -> bytes:
    """The picture of a run, as PNG or SVG.

    Raises IterationOutOfRange if the window leaves the run, ComputeTimeout past the deadline.
    """
    return draw(_content(run, curve_of, reports, options, deadline), options, kind, deadline)


def window_of(run: Run, options: PlotOptions) -> range:
    """The iterations of a picture. Raises IterationOutOfRange if they leave the run."""
    end = max(run.total_iterations + 1, run.horizon)
    window = range(options.start, end if options.stop is None else options.stop)
    if not 1 <= window.stop <= end:
        raise IterationOutOfRange("stop", window.stop, end)
    if not window:
        raise IterationOutOfRange("start", window.start, window.stop - 1)
    return window


def _content(run: Run, curve_of: CurveOf, reports: Reports, options: PlotOptions, deadline: Deadline) -> Content:
    window = window_of(run, options)
    number = run.attempt_number if run.attempt is not None else 0
    lines = _lines_of(run, curve_of, number, window, options.width_px, deadline)
    earlier = _earlier(run, curve_of, window, options.width_px, deadline)
    order = [name for name in _STYLES if any(each.name == name for each in (*lines, *earlier))]
    drawn = sorted([*earlier, *lines], key=lambda each: order.index(each.name))
    panel = _panel(reports.name, reports.parts)
    phases = _merged(curve_of(run.schedule_id).schedule.spec.phases)
    return Content(
        title=_title(run),
        start=window.start,
        last=window.stop - 1,
        lrs=Panel("learning rate", drawn),
        phases={"": phases},
        first_lines={"": drawn[0].name},
        marks=_marks(run, curve_of, number, window, deadline),
        panels=[] if panel is None else [panel],
        notes=[reports.note] if reports.note else [],
        styles=_STYLES,
    )


def _lines_of(
    run: Run, curve_of: CurveOf, attempt: int, window: range, width_px: int, deadline: Deadline
) -> list[Line]:
    """The lines of an attempt and what it goes on from, by how certain they are."""
    found = []
    for part, entry in entries(run, attempt, window.start, window.stop):
        if entry.certainty == "unknown" and len(part) == 1 < len(window):
            continue  # iteration 0, which a job that counts its updates from 1 has not
        # Each begins where the one before has ended, so that there are no holes in the line.
        start = max(part.start - 1, window.start)
        found += _line(entry.certainty, range(start, part.stop), entry, curve_of, len(window), width_px, deadline)
    return found


def _earlier(run: Run, curve_of: CurveOf, window: range, width_px: int, deadline: Deadline) -> list[Line]:
    """What attempts used that the present one does not go on from."""
    left = {lane.number: stop for lane, stop in line(run, run.attempt_number)}
    found: list[Line] = []
    others = [each for each in run.attempts if left.get(each.number, 0) is not None]
    for lane in others[-_MOST_EARLIER:]:
        first = max(left.get(lane.number) or lane.start, lane.start)
        end = min(lane.position, run.shared_until(lane.number) or lane.position)
        own = range(max(first, window.start), min(end, window.stop))
        for part, entry in entries(run, lane.number, own.start, own.stop) if own else []:
            found += _line("earlier attempts", part, entry, curve_of, len(window), width_px, deadline)
    return found


def _line(
    name: str, part: range, entry: Entry, curve_of: CurveOf, length: int, width_px: int, deadline: Deadline
) -> list[Line]:
    """The lines of all param groups in one part; past the end of its schedule they stay."""
    curve = curve_of(entry.schedule_id)
    groups, end = len(curve.group_names), curve.total_iterations + 1
    inside = range(part.start, min(part.stop, end))
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    if inside:
        most = max(width_px * len(inside) // length, 2)
        parts.append(curve.envelope(inside.start, inside.stop, most, deadline))
    if part.stop > end:
        rest = np.array([max(part.start, end)], dtype=np.int64)
        last = np.array([curve.lr(curve.total_iterations, deadline)])
        parts.append((rest, last, last))
    firsts = np.concatenate([each[0] for each in parts]).astype(float)
    lows, highs = (np.concatenate([each[place] for each in parts]) for place in (1, 2))
    lasts = np.append(firsts[1:], part.stop) - 1.0
    return [Line(name, firsts, lasts, lows[:, group], highs[:, group]) for group in range(groups)]


def _marks(run: Run, curve_of: CurveOf, attempt: int, window: range, deadline: Deadline) -> list[Mark]:
    """A flag where each of the last changes begins, and where the job has come to."""
    shown = [each for each in run.changes if each.effect is not None and each.effect in window][-_MOST_FLAGS:]
    marks = []
    for change in shown:
        place = change.effect or 0
        marks.append(Mark(place, _lr(run, curve_of, attempt, place, deadline), _flag(change)))
    present = run.attempt
    if present is not None and present.position in window:
        lr = _lr(run, curve_of, attempt, present.position, deadline)
        text = f"next: {short(lr)} at {count(present.position)}"
        marks.append(Mark(present.position, lr, text, is_current=True))
    return marks


def _lr(run: Run, curve_of: CurveOf, attempt: int, iteration: int, deadline: Deadline) -> float:
    """The highest LR of an iteration."""
    ((_, entry),) = entries(run, attempt, iteration, iteration + 1)
    curve = curve_of(entry.schedule_id)
    row = curve.lr(min(iteration, curve.total_iterations), deadline)
    return max(row[: len(curve.group_names)])


def _flag(change: Change) -> str:
    operation = change.operation
    what = str(operation["op"])
    if what == "scale":
        what = f"×{operation['factor']:g}"
    elif what == "hold":
        what = f"hold {operation['value']}" if not isinstance(operation["value"], dict) else "hold"
    return shortened(f"{what} {change.author}: {shortened(change.why, _MOST_WHY)}", _MOST_FLAG)


def _panel(name: str, parts: Sequence[Part]) -> Panel | None:
    """A panel of reported values; None if there are none."""
    if not parts:
        return None
    firsts, lasts, lows, highs = (np.array(each, dtype=float) for each in zip(*parts, strict=True))
    return Panel(name, [Line("", firsts, lasts, lows, highs)])


def _merged(phases: Sequence[Phase]) -> list[Phase]:
    """The phases, neighbours of one name as one: two holds in a row have a flag each, and are one phase."""
    found: list[Phase] = []
    for phase in phases:
        if found and found[-1].name == phase.name:
            found[-1] = replace(found[-1], stop=phase.stop)
        else:
            found.append(phase)
    return found


def _title(run: Run) -> str:
    attempt = f", attempt {run.attempt_number}" if run.attempt is not None else ""
    return f"{run.label}: revision {run.revision}{attempt}"
