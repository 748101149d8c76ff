"""A track under lint: its LRs by iteration, computed when a rule asks for them, and the findings about it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from preheat.lint.curve import LintedCurve
from preheat.specs import Phase, Scheduler, Track
from preheat.specs.amendments import Amendment, HoldAmendment, ScaleAmendment
from preheat.specs.tracks import LR_NAME
from preheat.specs.violations import Location, pointer

_SAMPLES = 500
_GOLDEN = (math.sqrt(5) - 1) / 2

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """One mistake, or what may be one.

    `severity` is error where the spec is refused, warning where it does what hardly anybody wants, info where it does
    what some do not expect. `pointer` leads to the value in the spec, `iteration` is where it happens, if anywhere.
    """

    severity: Annotated[Severity, Field(description="error, warning or info.", examples=["warning"])]
    rule: Annotated[str, Field(description="Name of the rule.", examples=["rising-at-end"])]
    pointer: Annotated[str, Field(description="JSON pointer into the spec.", examples=["/after_scheduler"])]
    iteration: Annotated[int | None, Field(description="Where it happens, if anywhere.", examples=[1000])]
    detail: Annotated[str, Field(description="What happens.", examples=["the LR rises at the end of the run"])]
    remedy: Annotated[str, Field(description="What to do about it.", examples=["end the decay with the run"])]


@dataclass(frozen=True)
class Part:
    """A scheduler that a track is made of, its location in the spec, and what is left of the run for it."""

    location: Location
    scheduler: Scheduler
    length: int


class LintedTrack:
    """One track of a curve, of a run that is about to do iteration `first`."""

    def __init__(self, curve: LintedCurve, track: Track, first: int = 0) -> None:
        self.track, self.warmup, self.after = track, track.warmup, track.after_scheduler
        self.total_iterations = curve.total_iterations
        # The scheduler's own clock knows nothing of amendments, which may have made the run longer or shorter.
        self._own_total = curve.own_total
        self.last = curve.last
        self.names = [curve.columns[column].group for column in track.columns]
        self.first = first
        self._curve = curve

    @property
    def reaches_the_end(self) -> bool:
        """Whether the whole run is examined."""
        return self._curve.reaches_the_end

    @property
    def length(self) -> int:
        """Iterations of the run on the scheduler's own clock."""
        return self._own_total - self.warmup.origin

    @property
    def target(self) -> float:
        """The highest target LR."""
        return max(self.track.targets)

    @property
    def targets(self) -> list[tuple[str, float]]:
        """Name and target LR of each param group."""
        return list(zip(self.names, self.track.targets, strict=True))

    def lr(self, iteration: int) -> float:
        """The LR of the group with the highest target."""
        return self._curve.value(self._highest_column, iteration)

    @cached_property
    def peaks(self) -> list[float]:
        """The highest LR of every group."""
        return self._highest_from(0)

    @cached_property
    def samples(self) -> list[tuple[int, float]]:
        """Up to 500 iterations after the warm-up, with their LRs; the last one is the last."""
        first = min(max(self.warmup.last, 0), self.last)
        parts = min(self.last - first, _SAMPLES)
        # Even distances would meet a periodic schedule at the same point of every cycle.
        places = (first + int((part + part * _GOLDEN % 1) * (self.last - first) / parts) for part in range(parts))
        return [(n, self.lr(n)) for n in sorted({*places, self.last})]

    @cached_property
    def tops(self) -> list[float]:
        """The highest LR of every group after the warm-up."""
        return self._highest_from(min(self.warmup.last + 1, self.last))

    @cached_property
    def is_constant(self) -> bool:
        """Whether every LR from the end of the warm-up on is the same."""
        return self._stays_from(min(max(self.warmup.last, 0), self.last))

    @cached_property
    def tail(self) -> int:
        """The first iteration from which on every LR stays as it is."""
        begin, end = 0, self.last
        # What stays from one iteration on stays from every later one: so the first can be bisected.
        while begin < end:
            middle = (begin + end) // 2
            begin, end = (begin, middle) if self._stays_from(middle) else (middle + 1, end)
        return begin

    @property
    def tail_share(self) -> float:
        """The share of what is still to be done in which every LR stays as it is at the end."""
        return (self.last - max(self.tail, self.first)) / max(self.last - self.first, 1)

    @property
    def is_tail_amended(self) -> bool:
        """Whether that group's LR stays as it does at the end for an amendment: one holds it, has its floor, extends.

        Then the scheduler's own decay has another end.
        """
        if self.tail >= self._own_total:
            return True
        group, end = self._curve.columns[self._highest_column].group, self.lr(self.last)
        return any(
            _keeps_at(each, group, end)
            for each in self._curve.amendments
            if each.start <= self.tail and (each.stop is None or each.stop > self.last)
        )

    @cached_property
    def phases(self) -> list[Phase]:
        """The phases of the track."""
        return self.track.phases(self._own_total)

    @cached_property
    def parts(self) -> list[Part]:
        """Every scheduler that the track is made of, the outermost first."""
        return [] if self.after is None else list(_parts(("after_scheduler",), self.after, self.length))

    def every_part(self, claim: str) -> bool:
        """Whether a class flag of Scheduler holds for every scheduler that the track is made of."""
        return all(getattr(part.scheduler, claim) for part in self.parts)

    def finding(
        self, severity: Severity, rule: str, location: Location, iteration: int | None, detail: str, remedy: str
    ) -> Finding:
        """A finding at a location in the track's own part of the spec."""
        return Finding(severity, rule, pointer((*self.track.location, *location)), iteration, detail, remedy)

    @property
    def _highest_column(self) -> int:
        """The column of the group with the highest target."""
        return self.track.columns[self.track.targets.index(self.target)]

    def _highest_from(self, iteration: int) -> list[float]:
        return self._curve.extremes(self.track.columns, iteration)[1]

    def _stays_from(self, iteration: int) -> bool:
        # What differs at the two ends does not stay: nearly every time that is all there is to look at.
        if self.lr(iteration) != self.lr(self.last):
            return False
        lows, highs = self._curve.extremes(self.track.columns, iteration)
        return lows == highs


def _keeps_at(amendment: Amendment, group: str, lr: float) -> bool:
    """Whether an amendment keeps a param group's LR at a value, or above it."""
    if not isinstance(amendment, HoldAmendment | ScaleAmendment):
        return False
    kept = amendment.value if isinstance(amendment, HoldAmendment) else amendment.floor
    is_of_it = amendment.hyperparameter == LR_NAME and group in (amendment.param_groups or (group,))
    return is_of_it and (kept.get(group) if isinstance(kept, dict) else kept) == lr


def _parts(location: Location, scheduler: Scheduler, length: int) -> Iterator[Part]:
    yield Part(location, scheduler, length)
    for (below, child), own_length in zip(scheduler.children.items(), scheduler.child_lengths(length), strict=True):
        yield from _parts((*location, *below), child, own_length)
