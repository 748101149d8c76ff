"""The phases of a run, by name."""

from dataclasses import dataclass
from itertools import pairwise

from preheat.specs.after_schedulers.scheduler import Scheduler
from preheat.specs.spec import Spec
from preheat.specs.tracks import Track
from preheat.specs.warmup import Warmup


@dataclass(frozen=True)
class Phase:
    """Iterations start … stop − 1, in which one scheduler, or one stage of it, is in force."""

    name: str
    start: int
    stop: int


def phases(spec: Spec) -> list[Phase]:
    """The phases of a normalised spec, in order, from 0 to total_iterations + 1."""
    return _phases(spec.warmup, spec.after_scheduler, spec.total_iterations)


def phases_of(track: Track, total_iterations: int) -> list[Phase]:
    """The phases of one track of a spec."""
    return _phases(track.warmup, track.after_scheduler, total_iterations)


def _phases(warmup: Warmup, after_scheduler: Scheduler | None, total_iterations: int) -> list[Phase]:
    """The warm-up ends with the iteration at the target LR; then as many phases as the scheduler has stages."""
    end = total_iterations + 1
    first_after = 0 if warmup.dampens else warmup.last + 1
    begins = [("warm-up", 0)] if first_after else []
    stages = [("constant", 0)] if after_scheduler is None else after_scheduler.stages
    begins += [(name, max(warmup.origin + start, first_after)) for name, start in stages]
    found = [Phase(name, start, min(stop, end)) for (name, start), (_, stop) in pairwise([*begins, ("", end)])]
    return [phase for phase in found if phase.start < phase.stop]
