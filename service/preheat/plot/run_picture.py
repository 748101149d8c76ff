"""Picture of a live run: what was used, is committed and planned, changes, earlier attempts, a reported number."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.errors import IterationOutOfRange
from preheat.messages import shortened
from preheat.plot.content import Band, Content, Line, Mark, Panel, Style
from preheat.plot.drawing import draw
from preheat.plot.layout import font_size_px
from preheat.plot.options import PlotOptions
from preheat.plot.run_flags import flags_of
from preheat.plot.ticks import count, short
from preheat.runs.record import Entry, entries, line
from preheat.runs.run import Attempt, Change, Run
from preheat.specs import Phase

_OVERRUN, _EARLIER = "overrun", "earlier attempts"

_STYLES = {
    "used": Style(colour=0),
    "committed": Style((2.5, 1.5), colour=0),
    "planned": Style((0.8, 1.6), colour=0),
    "unknown": Style((0.8, 1.6), is_faint=True),
    _OVERRUN: Style(colour=1, width=4.0, is_highlight=True),
    _EARLIER: Style(is_faint=True, width=2.4),
}
"""Names of lines, in the order of the legend; from back to front the other way round."""

_MOST_TEXTS, _MOST_EARLIER = 24, 20
_RING_EM, _AXIS_SHARE, _LETTER_PX = 0.8, 0.9, 16
"""A ring's width in letters; the part of a picture that is axis; how wide a picture is for each letter of a label."""

_MOST_LINEAR = 100.0
"""From so many times the lowest value on a spike leaves nothing to be seen of others: the axis is logarithmic."""

CurveOf = Callable[[str], Curve]

Part = tuple[int, int, float, float]
"""The first and the last iteration of a part that has values, and their lowest and highest."""


Gap = tuple[int, int, int]
"""The first and the last iteration of a part that has NaN or an infinity, and how many of them."""


@dataclass(frozen=True)
class Reports:
    """What was reported under a name in a picture's window, in parts, ascending; `note` says why there is nothing.

    `earlier` and `earlier_gaps` have what attempts reported that the present one does not go on from, by their numbers.
    """

    name: str
    parts: Sequence[Part] = ()
    gaps: Sequence[Gap] = ()
    earlier: Mapping[int, Sequence[Part]] = field(default_factory=dict)
    earlier_gaps: Mapping[int, Sequence[Gap]] = field(default_factory=dict)
    note: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be drawn."""
        return not any((self.parts, self.gaps, *self.earlier.values(), *self.earlier_gaps.values()))


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
    return draw(content_of_run(run, curve_of, reports, options, deadline), options, kind, deadline)


def window_of(run: Run, options: PlotOptions) -> range:
    """The iterations of a picture. Raises IterationOutOfRange if they leave the run."""
    end = max(run.total_iterations + 1, run.horizon)
    window = range(options.start, end if options.stop is None else options.stop)
    if not 1 <= window.stop <= end:
        raise IterationOutOfRange("stop", window.stop, end)
    if not window:
        raise IterationOutOfRange("start", window.start, window.stop - 1)
    return window


def earlier_lanes(run: Run, window: range) -> list[tuple[Attempt, range]]:
    """The last attempts that did what the present one does not go on from, each with its iterations of the window."""
    return _earlier_lanes(run, window)[-_MOST_EARLIER:]


def _earlier_lanes(run: Run, window: range) -> list[tuple[Attempt, range]]:
    left = {lane.number: stop for lane, stop in line(run, run.attempt_number)}
    found = []
    for lane in run.attempts:
        stop = left.get(lane.number, lane.start)
        end = run.shared_until(lane.number)
        if stop is not None:  # None: it is the present one
            own = range(max(stop, lane.start, window.start), window.stop if end is None else min(end, window.stop))
            found += [(lane, own)] if own else []
    return found


def content_of_run(
    run: Run, curve_of: CurveOf, reports: Reports, options: PlotOptions, deadline: Deadline = NO_DEADLINE
) -> Content:
    """What `render_run` draws. Raises what it raises."""
    window, curve_of = window_of(run, options), cache(curve_of)  # of one revision there may be hundreds of flags
    apart = len(window) * _RING_EM * font_size_px(options) / (_AXIS_SHARE * options.width_px)
    record = _Record(run, curve_of, window, apart, options.width_px, deadline)
    lines = [*record.lines(), *record.earlier()]
    panel = _panel(reports)
    names = {each.name for part in (lines, panel.lines if panel else []) for each in part}
    order = [name for name in _STYLES if name in names]
    drawn = sorted(lines, key=lambda each: order.index(each.name))
    return Content(
        title=_title(run, options.width_px),
        start=window.start,
        last=window.stop - 1,
        lrs=Panel("learning rate", drawn),
        phases={"": _merged(curve_of(run.schedule_id).schedule.spec.phases)},
        first_lines={"": drawn[0].name},
        marks=[*record.flags(), *record.position()],
        panels=[] if panel is None else [panel],
        notes=[note for note in (reports.note, *record.notes()) if note],
        styles=_STYLES,
    )


class _Record:
    """A window of a run's record as lines and marks; of a fork without a job, what it shares and what is planned."""

    def __init__(
        self, run: Run, curve_of: CurveOf, window: range, apart: float, width_px: int, deadline: Deadline
    ) -> None:
        self._run, self._curve_of, self._window = run, curve_of, window
        self._flags = flags_of(run, window, apart)
        self._said = [flag for flag in self._flags if flag.text]
        self._width_px, self._deadline = width_px, deadline
        self._attempt = run.attempt_number if run.attempt is not None else 0
        self._earlier = _earlier_lanes(run, window)

    def lines(self) -> list[Line]:
        """The lines of the present attempt and what it goes on from, by how certain they are."""
        found = []
        for part, entry in entries(self._run, self._attempt, self._window.start, self._window.stop):
            if entry.certainty == "unknown" and len(part) == 1 < len(self._window):
                continue  # iteration 0, which a job that counts its updates from 1 has not
            # Each begins where the one before has ended, so that there are no holes in the line.
            joined = range(max(part.start - 1, self._window.start), part.stop)
            found += self._line(entry.certainty, entry.certainty, joined, entry)
            if entry.is_overrun:
                found += self._line(_OVERRUN, _OVERRUN, part, entry)
        return found

    def earlier(self) -> list[Line]:
        """What attempts used that the present one does not go on from."""
        found: list[Line] = []
        for lane, own in self._earlier[-_MOST_EARLIER:]:
            used = range(own.start, min(own.stop, lane.position))
            for part, entry in entries(self._run, lane.number, used.start, used.stop) if used else []:
                found += self._line(_EARLIER, f"earlier-{lane.number}", part, entry)
        return found

    def _line(self, name: str, line_id: str, part: range, entry: Entry) -> list[Line]:
        """The lines of all param groups in one part; past the end of its schedule they stay."""
        curve = self._curve_of(entry.schedule_id)
        groups, end = len(curve.group_names), curve.total_iterations + 1
        inside = range(part.start, min(part.stop, end))
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        if inside:
            most = max(self._width_px * len(inside) // len(self._window), 2)
            parts.append(curve.envelope(inside.start, inside.stop, most, self._deadline))
        if part.stop > end:
            rest = np.array([max(part.start, end)], dtype=np.int64)
            last = np.array([curve.lr(curve.total_iterations, self._deadline)])
            parts.append((rest, last, last))
        firsts = np.concatenate([each[0] for each in parts]).astype(float)
        lows, highs = (np.concatenate([each[place] for each in parts]) for place in (1, 2))
        lasts = np.append(firsts[1:], part.stop) - 1.0
        return [Line(name, firsts, lasts, lows[:, group], highs[:, group], line_id) for group in range(groups)]

    def flags(self) -> list[Mark]:
        """A flag where each change begins; the last of them have texts."""
        first = self._said[-_MOST_TEXTS:][0].place if self._said else 0
        return [
            Mark(
                flag.place,
                max(self._lrs(flag.place, flag.changes)),
                flag.text if flag.place >= first else "",
                is_small=flag.is_small,
                crowd=flag.crowd,
                brief=flag.brief,
                told=flag.told,
                id=f"change-{flag.changes[0].id}",
            )
            for flag in reversed(self._flags)
        ]

    def notes(self) -> list[str]:
        """What there is more than is drawn."""
        earlier = len(self._earlier)
        notes = [f"texts at the last {_MOST_TEXTS} of {len(self._said)} places"] * (len(self._said) > _MOST_TEXTS)
        return notes + [f"the last {_MOST_EARLIER} of {earlier} earlier attempts"] * (earlier > _MOST_EARLIER)

    def position(self) -> list[Mark]:
        """A line where the job has come to; at the highest LR, if groups have several."""
        present = self._run.attempt
        if present is None or present.position not in self._window:
            return []
        lrs = self._lrs(present.position)
        several = f"{short(min(lrs))} … " if min(lrs) < max(lrs) else ""
        brief = f"next: {several}{short(max(lrs))}"
        text = f"{brief} at {count(present.position)}"
        return [Mark(present.position, max(lrs), text, is_current=True, brief=brief, id="position")]

    def _lrs(self, iteration: int, changes: Sequence[Change] = ()) -> list[float]:
        """The LRs of an iteration, of all param groups or of those that one of some changes is of."""
        ((_, entry),) = entries(self._run, self._attempt, iteration, iteration + 1)
        curve = self._curve_of(entry.schedule_id)
        row = curve.lr(min(iteration, curve.total_iterations), self._deadline)
        lrs = dict(zip(curve.group_names, row, strict=False))
        meant = {name for each in changes for name in each.operation.get("param_groups") or curve.group_names}
        return [lr for name, lr in lrs.items() if name in meant] or list(lrs.values())


def _panel(reports: Reports) -> Panel | None:
    """A panel of reported values; None if there are none."""
    if reports.is_empty:
        return None
    lines = [_reported("", "reported", reports.parts)] if reports.parts else []
    lines += [_reported(_EARLIER, f"reported-earlier-{n}", parts) for n, parts in reports.earlier.items() if parts]
    lowest = min((float(each.lows.min()) for each in lines), default=0.0)
    highest = max((float(each.highs.max()) for each in lines), default=0.0)
    is_log = 0 < lowest * _MOST_LINEAR < highest
    earlier = [gap for gaps in reports.earlier_gaps.values() for gap in gaps]
    remarks = ["logarithmic"] * is_log
    if reports.gaps:
        remarks.append(f"bands: {_how_often(reports.gaps)}")
    if earlier:
        remarks.append(f"grey bands (earlier attempts): {_how_often(earlier)}")
    bands = [
        Band(first, last, f"gap-earlier-{n}", is_faint=True)
        for n, gaps in reports.earlier_gaps.items()
        for first, last, _ in gaps
    ]
    bands += [Band(first, last, "gap") for first, last, _ in reports.gaps]
    return Panel(reports.name, lines, is_log, tuple(bands), " · ".join(remarks))


def _how_often(gaps: Sequence[Gap]) -> str:
    times, first = sum(several for _, _, several in gaps), count(min(first for first, _, _ in gaps))
    return f"NaN or infinite at {first}" if times == 1 else f"NaN or infinite {count(times)} times from {first} on"


def _reported(name: str, line_id: str, parts: Sequence[Part]) -> Line:
    firsts, lasts, lows, highs = (np.array(each, dtype=float) for each in zip(*parts, strict=True))
    return Line(name, firsts, lasts, lows, highs, line_id)


def _merged(phases: Sequence[Phase]) -> list[Phase]:
    """The phases, neighbours of one name as one: two holds in a row have a flag each, and are one phase."""
    found: list[Phase] = []
    for phase in phases:
        if found and found[-1].name == phase.name:
            found[-1] = replace(found[-1], stop=phase.stop)
        else:
            found.append(phase)
    return found


def _title(run: Run, width_px: int) -> str:
    attempt = f", attempt {run.attempt_number}" if run.attempt is not None else ""
    finished = ", finished" if run.is_finished else ""
    return f"{shortened(run.label, width_px // _LETTER_PX)}: revision {run.revision}{attempt}{finished}"
