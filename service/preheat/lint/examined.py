"""A track of a schedule under examination."""

from functools import cached_property

from preheat.budget import Deadline
from preheat.curve import Curve
from preheat.specs import Scheduler, Track
from preheat.specs.phases import Phase, phases_of

MOST_STEPS = 100_000
"""Iterations of a stepped schedule that are examined; of one with a closed form it is always all."""

_SAMPLES = 500


class Examined:
    """One track: its LRs by iteration, computed when a rule asks for them."""

    def __init__(self, curve: Curve, track: Track, deadline: Deadline) -> None:
        self.track = track
        self.total_iterations = curve.total_iterations
        self.last = curve.total_iterations if curve.has_closed_form else min(curve.total_iterations, MOST_STEPS)
        self.names = [curve.columns[column].group for column in track.columns]
        self._curve, self._deadline = curve, deadline
        self._rows: dict[int, list[float]] = {}

    @property
    def reaches_the_end(self) -> bool:
        """Whether the whole run is examined."""
        return self.last == self.total_iterations

    @property
    def left(self) -> int:
        """Iterations of the run on the scheduler's own clock."""
        return self.total_iterations - self.track.warmup.origin

    @property
    def target(self) -> float:
        """The highest target LR."""
        return max(self.track.targets)

    @property
    def after(self) -> Scheduler | None:
        """The scheduler that follows the warm-up."""
        return self.track.after_scheduler

    def lr(self, iteration: int) -> float:
        """The LR of the group with the highest target."""
        if iteration not in self._rows:
            self._rows[iteration] = self._curve.lr(iteration, self._deadline)
        column = self.track.columns[self.track.targets.index(self.target)]
        return self._rows[iteration][column]

    @cached_property
    def peaks(self) -> list[float]:
        """The highest LR of every group."""
        _, _, highs = self._curve.envelope(0, self.last + 1, 1, self._deadline)
        return [float(highs[0, column]) for column in self.track.columns]

    @cached_property
    def samples(self) -> list[tuple[int, float]]:
        """Iterations after the warm-up at even distances, with their LRs; the last one is the last."""
        first = min(max(self.track.warmup.last, 0), self.last)
        step = max((self.last - first) // _SAMPLES, 1)
        return [(n, self.lr(n)) for n in sorted({*range(first, self.last + 1, step), self.last})]

    @cached_property
    def phases(self) -> list[Phase]:
        """The phases of the track."""
        return phases_of(self.track, self.total_iterations)

    def pointer(self, *parts: str | int) -> str:
        """A JSON pointer into the track's own part of the spec."""
        path = (*self.track.path, *parts)
        return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)

    def schedulers(self) -> list[tuple[str, Scheduler, int]]:
        """Every scheduler that is made a part of, with its pointer and what is left of the run for it."""
        return [] if self.after is None else list(_walk(self.pointer("after_scheduler"), self.after, self.left))


def _walk(pointer: str, scheduler: Scheduler, left: int) -> list[tuple[str, Scheduler, int]]:
    found = [(pointer, scheduler, left)]
    turns = [0, *getattr(scheduler, "milestones", ()), left] if scheduler.type == "SequentialLR" else None
    for index, (below, child) in enumerate(scheduler.children.items()):
        own = turns[index + 1] - turns[index] if turns else left
        if scheduler.type == "WindowLR":
            own = getattr(scheduler, "end", left) - getattr(scheduler, "begin", 0)
        found += _walk(pointer + below, child, own)
    return found
