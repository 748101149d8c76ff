"""Where a closed-form scheduler turns: what a picture must look at to keep every peak and every valley."""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    LRScheduler,
    OneCycleLR,
)

from preheat.schedulers.closed_form import cycle_position
from preheat.schedulers.combined import Clamped, Combined, Cooled, Windowed
from preheat.schedulers.sequential_restarts import SequentialRestarts
from preheat.schedulers.shape_lr import ShapeLR
from preheat.schedulers.warmup import LearningRateWarmUP


def turning_points(scheduler: LRScheduler, start: int, stop: int) -> set[int]:
    """A few iterations in start … stop − 1 that hold, with the two ends, the window's lowest and highest LR.

    Their number does not grow with the window. Types without an entry here run one way only.
    """
    find = next((find for kind, find in _TURNS.items() if isinstance(scheduler, kind)), None)
    if find is None or stop <= start:
        return set()
    return {point for point in find(scheduler, start, stop) if start <= point < stop}


def _warmup(scheduler: LearningRateWarmUP, start: int, stop: int) -> Iterable[int]:
    last, origin = scheduler.curve.last, scheduler.curve.origin
    yield from (last - 1, last, last + 1)
    if scheduler.curve.dampens:  # a rise times a fall turns somewhere in between
        yield from _places(start, min(stop, last + 1))
    if scheduler.after_scheduler is not None:
        for point in turning_points(scheduler.after_scheduler, max(start - origin, 0), stop - origin):
            yield point + origin


def _shape(scheduler: ShapeLR, start: int, stop: int) -> Iterable[int]:
    return scheduler.shape.turns(start, stop)


def _combined(scheduler: Combined, start: int, stop: int) -> Iterable[int]:
    """Where the parts turn, and a few places between: a product of two falls may rise nowhere else, or it may."""
    yield from _places(start, stop)
    for part in scheduler.schedulers:
        yield from turning_points(part, start, stop)


def _clamped(scheduler: Clamped, start: int, stop: int) -> Iterable[int]:
    return turning_points(scheduler.schedulers[0], start, stop)


def _windowed(scheduler: Windowed, start: int, stop: int) -> Iterable[int]:
    begin, end = scheduler.begin, scheduler.end
    yield from (begin, end)
    for point in turning_points(scheduler.schedulers[0], max(start - begin, 0), min(stop, end + 1) - begin):
        yield point + begin


def _cooled(scheduler: Cooled, start: int, stop: int) -> Iterable[int]:
    yield from (scheduler.start, scheduler.start + scheduler.length)
    yield from turning_points(scheduler.schedulers[0], start, min(stop, scheduler.start + 1))


def _places(start: int, stop: int) -> Iterable[int]:
    """Sixteen iterations at even distances."""
    return (start + (stop - 1 - start) * part // 15 for part in range(16)) if stop > start else ()


def _sequential(scheduler: SequentialRestarts, start: int, stop: int) -> Iterable[int]:
    for turn, (begin, end) in zip(scheduler.schedulers, pairwise((0, *scheduler.milestones, stop)), strict=True):
        if begin < stop and end > start:
            yield from (begin, end - 1)
            for point in turning_points(turn, max(start - begin, 0), min(stop, end) - begin):
                yield point + begin


def _cosine(scheduler: CosineAnnealingLR, start: int, _stop: int) -> Iterable[int]:
    first = -(-start // scheduler.T_max) * scheduler.T_max
    return (first, first + scheduler.T_max)


def _warm_restarts(scheduler: CosineAnnealingWarmRestarts, start: int, stop: int) -> Iterable[int]:
    """Cycles start at one height and end, one iteration short, the lower the longer they are."""
    into_first, length = cycle_position(start, scheduler.T_0, scheduler.T_mult)
    into_last, _ = cycle_position(stop - 1, scheduler.T_0, scheduler.T_mult)
    first_restart = start if into_first == 0 else start + length - into_first
    last_restart = stop - 1 - into_last
    return (first_restart - 1, first_restart, last_restart - 1, last_restart)


def _cyclic(scheduler: CyclicLR, start: int, stop: int) -> Iterable[int]:
    """Amplitudes only grow or only shrink, so the first and the last whole cycles have the extremes."""
    length = int(scheduler.total_size)
    up = round(scheduler.step_ratio * length)
    first, last = start // length, (stop - 1) // length
    for cycle in {first, first + 1, last - 1, last}:
        valley = cycle * length
        yield from (valley, valley + up, valley + length)
        yield from _decayed_peak(scheduler, valley, up)


def _decayed_peak(scheduler: CyclicLR, valley: int, up: int) -> Iterable[int]:
    """Peak of the decaying rise: u · gamma^u is highest at u = −1 / ln gamma, if the rise lasts that long."""
    if scheduler.mode == "exp_range" and 0 < scheduler.gamma < 1:
        peak = -1 / math.log(scheduler.gamma)
        if peak < up:
            yield from (valley + math.floor(peak), valley + math.ceil(peak))


def _one_cycle(scheduler: OneCycleLR, _start: int, _stop: int) -> Iterable[int]:
    for phase in scheduler._schedule_phases:  # noqa: SLF001 - torch has no public name for where a phase ends
        yield from (math.floor(phase["end_step"]), math.ceil(phase["end_step"]))


_TURNS: dict[type[LRScheduler], Callable[..., Iterable[int]]] = {
    LearningRateWarmUP: _warmup,
    SequentialRestarts: _sequential,
    ShapeLR: _shape,
    Combined: _combined,
    Clamped: _clamped,
    Windowed: _windowed,
    Cooled: _cooled,
    CosineAnnealingLR: _cosine,
    CosineAnnealingWarmRestarts: _warm_restarts,
    CyclicLR: _cyclic,
    OneCycleLR: _one_cycle,
}
