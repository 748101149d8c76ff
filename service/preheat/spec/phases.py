"""The phases of a run, by name."""

from dataclasses import dataclass
from itertools import pairwise

from preheat.spec.spec import Spec
from preheat.spec.torch_schedulers import SequentialLR, TorchScheduler


@dataclass(frozen=True)
class Phase:
    """Iterations start … stop − 1, in which one scheduler is in force."""

    name: str
    start: int
    stop: int


def phases(spec: Spec) -> list[Phase]:
    """The phases of a normalised spec, in order, from 0 to total_iterations + 1.

    The warm-up ends with iteration W, at the target LR; a SequentialLR is as many phases as it has schedulers.
    """
    first_after = spec.warmup.iterations + 1 if spec.warmup.iterations else 0
    warmup = [Phase("warm-up", 0, first_after)] if first_after else []
    if spec.after_scheduler is None:
        return _not_empty([*warmup, Phase("constant", first_after, spec.total_iterations + 1)])
    after = _phases(spec.after_scheduler, spec.warmup.iterations, spec.total_iterations + 1)
    return _not_empty([*warmup, *(Phase(p.name, max(p.start, first_after), p.stop) for p in after)])


def _phases(scheduler: TorchScheduler, start: int, stop: int) -> list[Phase]:
    if not isinstance(scheduler, SequentialLR):
        return [Phase(scheduler.type, start, stop)]
    bounds = pairwise((start, *(min(start + milestone, stop) for milestone in scheduler.milestones), stop))
    return [
        phase
        for child, (begin, end) in zip(scheduler.schedulers, bounds, strict=True)
        for phase in _phases(child, begin, end)
    ]


def _not_empty(candidates: list[Phase]) -> list[Phase]:
    return [phase for phase in candidates if phase.start < phase.stop]
