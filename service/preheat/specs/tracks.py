"""Tracks and columns: what of a spec is computed as one, which columns of an answer come of it, and in which phases."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from preheat.formula.language import substituted
from preheat.specs.after_schedulers.sampling import sampled_iterations
from preheat.specs.after_schedulers.scheduler import Scheduler, hull, moved
from preheat.specs.violations import Location
from preheat.specs.warmup import Warmup

LR_NAME = "lr"
"""The hyperparameter that every param group has."""


@dataclass(frozen=True)
class Column:
    """One column of an answer: a hyperparameter of one param group."""

    group: str
    hyperparameter: str = LR_NAME

    @property
    def name(self) -> str:
        """Header of the column in CSV."""
        return self.group if self.hyperparameter == LR_NAME else f"{self.group}.{self.hyperparameter}"


@dataclass(frozen=True)
class Phase:
    """Iterations start … stop − 1, in which one scheduler, or one stage of it, is in force."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Track:
    """Columns that share warm-up and scheduler, each with its own target; `location` leads to them in the spec.

    With `is_momentum` the columns have the momentum that the scheduler cycles, and not its LR.
    """

    columns: tuple[int, ...]
    targets: tuple[float, ...]
    warmup: Warmup
    after_scheduler: Scheduler | None
    location: Location = ()
    is_momentum: bool = False

    def phases(self, total_iterations: int) -> list[Phase]:
        """The phases, in order, from 0 to total_iterations + 1.

        The warm-up ends with the iteration at the target LR; then as many phases as the scheduler has stages.
        """
        end = total_iterations + 1
        first_after = 0 if self.warmup.dampens else self.warmup.last + 1
        stages = [("constant", 0)] if self.after_scheduler is None else self.after_scheduler.stages
        begins = [("warm-up", 0)] if first_after else []
        begins += [(name, max(self.warmup.origin + start, first_after)) for name, start in stages]
        # Each phase ends where the next begins; the entry without a name ends the last one.
        phases = [Phase(name, start, min(stop, end)) for (name, start), (_, stop) in pairwise([*begins, ("", end)])]
        return [phase for phase in phases if phase.start < phase.stop]

    def formula(self, index: int) -> str:
        """The LR of the track's column at an index as a formula in `n` and `b`, its target.

        Raises NotExpressible if it has none.
        """
        warmup = self.warmup
        after = "b" if self.after_scheduler is None else self.after_scheduler.formula(index)
        following = substituted(after, {"s": f"n - {warmup.origin}" if warmup.origin else "n"})
        if warmup.iterations == 0:
            return following
        rise = warmup.formula()
        if warmup.dampens:
            return f"({following}) * ({rise} if n <= {warmup.last} else 1.0)"
        if warmup.meets_decay:
            rise = substituted(rise, {"m": substituted(following, {"n": str(warmup.peak)})})
        return f"({rise}) if n <= {warmup.last} else ({following})"

    def turning_points(self, start: int, stop: int) -> set[int]:
        """A few iterations of start … stop − 1 that hold, with the two ends, the window's lowest and highest LR."""
        return {point for point in self._turns(start, stop) if start <= point < stop}

    def unproved(self, start: int, stop: int) -> range:
        """The part of start … stop − 1 of whose extremes `turning_points` has a sample, at even distances, alone."""
        if self.after_scheduler is None or self.is_momentum:  # a warm-up goes one way
            return range(0)
        own = range(start, min(stop, self.warmup.last + 1)) if self.warmup.dampens else range(0)
        first, last = self._of_scheduler(start, stop)
        after = self.after_scheduler.unproved(first, last) if first < last else range(0)
        return hull([own, moved(after, self.warmup.origin)])

    def _turns(self, start: int, stop: int) -> Iterable[int]:
        last = self.warmup.last
        # last − 1 too: with (n+1)/W the target is reached one iteration before the warm-up is over.
        yield from (last - 1, last, last + 1)
        if self.warmup.dampens:  # a rise times a fall turns somewhere in between
            yield from sampled_iterations(start, min(stop, last + 1))
        if self.after_scheduler is not None:
            for point in self.after_scheduler.turning_points(*self._of_scheduler(start, stop)):
                yield point + self.warmup.origin

    def _of_scheduler(self, start: int, stop: int) -> tuple[int, int]:
        """The part of start … stop − 1 that is read from the scheduler, on its own clock; it may be empty."""
        # Until its last iteration the warm-up takes the place of the scheduler's LRs, not of its momentum.
        first = start if self.warmup.dampens or self.is_momentum else max(start, self.warmup.last + 1)
        return max(first - self.warmup.origin, 0), stop - self.warmup.origin
