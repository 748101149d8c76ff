"""The phases of a run, by name."""

from dataclasses import dataclass
from itertools import pairwise

from preheat.spec.spec import Spec


@dataclass(frozen=True)
class Phase:
    """Iterations start … stop − 1, in which one scheduler, or one stage of it, is in force."""

    name: str
    start: int
    stop: int


def phases(spec: Spec) -> list[Phase]:
    """The phases of a normalised spec, in order, from 0 to total_iterations + 1.

    The warm-up ends with the iteration at the target LR; a SequentialLR is as many phases as it has schedulers.
    """
    end, warmup = spec.total_iterations + 1, spec.warmup
    first_after = 0 if warmup.dampens else warmup.last + 1
    begins = [("warm-up", 0)] if first_after else []
    stages = [("constant", 0)] if spec.after_scheduler is None else spec.after_scheduler.stages
    begins += [(name, max(warmup.origin + start, first_after)) for name, start in stages]
    found = [Phase(name, start, min(stop, end)) for (name, start), (_, stop) in pairwise([*begins, ("", end)])]
    return [phase for phase in found if phase.start < phase.stop]
