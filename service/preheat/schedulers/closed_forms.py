"""Closed forms: the LR (and cycled momentum) of a torch scheduler as a function of its iteration."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any, cast

from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, CyclicLR, LambdaLR, LRScheduler, OneCycleLR

from preheat.specs.after_schedulers.torch_cycles import cycle_position

LRs = list[float | Tensor]
"""Learning rates, one per param group; of several iterations, every group of the first, of the second, and so on."""


def closed_form(scheduler: LRScheduler) -> Callable[[LRScheduler, range], LRs] | None:
    """What gives the rates of ascending iterations of a scheduler without stepping it; None if nothing does.

    Every group of the first iteration comes first, then every group of the second, and so on.
    """
    for kind, rates in _PURE.items():
        if isinstance(scheduler, kind):
            return rates
    return _torch_closed_form if hasattr(scheduler, "_get_closed_form_lr") else None


class CycledMomentum:
    """Momentum of each param group by iteration, by torch's own formulas; before its clock starts, its first.

    Random access: they read nothing but the iteration.
    """

    has_closed_form = True

    def __init__(self, cycle: LRScheduler, origin: int) -> None:
        self._cycle = cycle
        self._origin = origin

    def rates(self, iterations: range) -> list[float]:
        """Every group's momentum at the first of the iterations, at the second, and so on."""
        before = bisect_left(iterations, self._origin)
        first = _momentum(self._cycle, range(1)) * before if before else []
        return first + _momentum(self._cycle, shift(iterations[before:], -self._origin))


def shift(iterations: range, by: int) -> range:
    """The same iterations on a clock that differs by `by`."""
    return range(iterations.start + by, iterations.stop + by, iterations.step)


def _torch_closed_form(scheduler: LRScheduler, iterations: range) -> LRs:
    lrs = cast("Callable[[], LRs]", scheduler._get_closed_form_lr)  # type: ignore[attr-defined] # noqa: SLF001
    # The loop sets last_epoch itself: a third of the time of a closed form is spent in function calls.
    return [lr for scheduler.last_epoch in iterations for lr in lrs()]


def _pure_get_lr(scheduler: LRScheduler, iterations: range) -> LRs:
    """Types whose `get_lr` reads nothing but `last_epoch`; it sets the momentum of the last iteration too."""
    scheduler._get_lr_called_within_step = True  # noqa: SLF001 - else torch warns at every call
    try:
        return [lr for scheduler.last_epoch in iterations for lr in scheduler.get_lr()]
    finally:
        scheduler._get_lr_called_within_step = False  # noqa: SLF001


def _momentum(scheduler: LRScheduler, iterations: range) -> list[float]:
    """The momentum that OneCycleLR or CyclicLR has at ascending iterations, in the order of `closed_form`'s rates."""
    cycle: Any = scheduler
    if isinstance(scheduler, CyclicLR):
        return _triangles(cycle, iterations, list(zip(cycle.max_momentums, cycle.base_momentums, strict=True)))
    return _phases_of_one_cycle(cycle, iterations, "momentum")


def _cyclic(scheduler: LRScheduler, iterations: range) -> LRs:
    cyclic: Any = scheduler
    _set_momentum(cyclic, iterations[-1:])
    return _triangles(cyclic, iterations, list(zip(cyclic.base_lrs, cyclic.max_lrs, strict=True)))


def _triangles(cyclic: Any, iterations: range, ends: list[tuple[Any, Any]]) -> list[Any]:
    """What `get_lr` gives, from each pair of ends: at the bottom of the first cycle and at its top.

    Past cycle 1024 of `triangular2`, 2.0 ** cycle overflows in torch; its amplitude has long been 0 in float64.
    """
    per_cycle, scale_of = cyclic.scale_mode == "cycle", cyclic.scale_fn
    length, ratio, is_even = cyclic.total_size, cyclic.step_ratio, cyclic.mode == "triangular"
    spans = [(low, high - low) for low, high in ends]
    scale = 1.0
    values: list[Any] = []
    floor, append = math.floor, values.append  # looked up once: this runs two million times for a list of a million
    for s in iterations:
        cycle = floor(1 + s / length)
        x = 1.0 + s / length - cycle
        height = x / ratio if x <= ratio else (x - 1) / (ratio - 1)
        if not is_even:
            # 2.0 ** cycle of a float: cycle 1025 is the first that raises.
            try:
                scale = scale_of(cycle if per_cycle else s)
            except OverflowError:
                scale = 0.0
        for low, span in spans:
            append(low + span * height * scale)
    return values


def _one_cycle(scheduler: LRScheduler, iterations: range) -> LRs:
    _set_momentum(scheduler, iterations[-1:])
    return _phases_of_one_cycle(scheduler, iterations, "lr")


def _set_momentum(cycle: Any, last: range) -> None:
    """Sets the momentum (or β1) of the last iteration, as `get_lr` does in torch."""
    if not cycle.cycle_momentum or not last:
        return
    for group, momentum in zip(cycle.optimizer.param_groups, _momentum(cycle, last), strict=True):
        if cycle.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


def _phases_of_one_cycle(cycle: Any, iterations: range, name: str) -> list[Any]:
    """What `get_lr` gives, or sets as momentum, without looking for the phase at every iteration.

    At total_steps torch bounces up, and raises one later; the end of the cycle is held instead.
    """
    anneal = cycle._annealing_cos if cycle._anneal_func_type == "cos" else cycle._annealing_linear  # noqa: SLF001
    groups, last = cycle.optimizer.param_groups, cycle.total_steps - 1
    # Iterations past the end are taken off first: torch's last phase would extrapolate.
    past = len(iterations) - bisect_right(iterations, last)
    iterations = iterations[: len(iterations) - past]
    values: list[Any] = []
    start = 0.0
    for phase in cycle._schedule_phases:  # noqa: SLF001
        end = phase["end_step"]
        inside = bisect_right(iterations, end)
        ends = [(group[phase[f"start_{name}"]], group[phase[f"end_{name}"]]) for group in groups]
        values += [
            anneal(first, final, (s - start) / (end - start)) for s in iterations[:inside] for first, final in ends
        ]
        iterations, start = iterations[inside:], end
    return values + [anneal(first, final, 1.0) for first, final in ends] * past


def _warm_restarts(scheduler: LRScheduler, iterations: range) -> LRs:
    """Finds each cycle in whole numbers: torch's `step(epoch)` takes a logarithm that rounds to the wrong one."""
    restarts: Any = scheduler
    restarts._get_lr_called_within_step = True  # noqa: SLF001 - else torch warns at every call
    rates: LRs = []
    while iterations:
        # One cycle at a time: T_cur and T_i are all that torch's get_lr reads.
        into, restarts.T_i = cycle_position(iterations.start, restarts.T_0, restarts.T_mult)
        inside = bisect_left(iterations, iterations.start - into + restarts.T_i)
        of_cycle = range(into, into + iterations[:inside][-1] - iterations.start + 1, iterations.step)
        rates += [lr for restarts.T_cur in of_cycle for lr in restarts.get_lr()]
        restarts.last_epoch = iterations[inside - 1]
        iterations = iterations[inside:]
    restarts._get_lr_called_within_step = False  # noqa: SLF001
    return rates


_PURE: dict[type[LRScheduler], Callable[[LRScheduler, range], LRs]] = {
    CosineAnnealingWarmRestarts: _warm_restarts,
    CyclicLR: _cyclic,
    LambdaLR: _pure_get_lr,
    OneCycleLR: _one_cycle,
}
"""Types that torch gives no `_get_closed_form_lr`, though their LR depends on the iteration alone."""
