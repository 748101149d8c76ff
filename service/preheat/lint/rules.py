"""The rules of lint, each a function from a track to findings; adding one is a function in RULES."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise

from preheat.lint.examined import Examined
from preheat.lint.finding import Finding, Severity
from preheat.specs import Scheduler, parse_spec
from preheat.specs.after_schedulers.compositions import WindowLR
from preheat.specs.after_schedulers.decays import NoamLR
from preheat.specs.after_schedulers.phases import PhasesLR
from preheat.specs.after_schedulers.points import PiecewiseLR, TableLR
from preheat.specs.after_schedulers.restarts import CosineRestartsLR
from preheat.specs.after_schedulers.shape import Decay
from preheat.specs.after_schedulers.staged import RangeTestLR
from preheat.specs.after_schedulers.torch_schedulers import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    StepLR,
)
from preheat.specs.recipes import recipes

Rule = Callable[[Examined], Iterator[Finding]]

_OWN_LRS = (CyclicLR, OneCycleLR, NoamLR, TableLR)
"""Schedulers whose peak is not the target."""

_MEANT_TO_RISE = (CyclicLR, OneCycleLR, RangeTestLR, CosineAnnealingWarmRestarts, CosineRestartsLR)

_JUMP = 0.1
"""Share of the target that counts as a jump, if the LR changes by less than a third of that next to it."""

_FEW, _MANY = 1000, 10_000
"""A duration of at most few iterations in a run of at least many, a hundred times as long, was meant in epochs."""

_RESOLUTION = 1e-9
"""Below this an update of a float32 weight of 0.01 rounds to nothing."""


def first_update_at_zero(track: Examined) -> Iterator[Finding]:
    """Update 1 at LR 0 changes nothing; at iteration 0 that is so for loops that count from 0."""
    if track.target == 0 or track.last < 1:
        return
    if track.lr(1) == 0:
        detail = "the first update runs at LR 0 and changes nothing but the optimizer's moments"
        remedy = 'start the warm-up above 0 with start_lr, or with convention "(n+1)/W"'
        yield Finding("warning", "first-update-at-zero", track.pointer("warmup"), 1, detail, remedy)
    elif track.lr(0) == 0:
        detail = "a loop that counts its updates from 0 runs the first one at LR 0"
        remedy = 'count updates from 1, as the clients do, or use convention "(n+1)/W"'
        yield Finding("info", "first-update-at-zero", track.pointer("warmup"), 0, detail, remedy)


def jump_at_boundary(track: Examined) -> Iterator[Finding]:
    """Where one phase hands over to the next the LR leaps."""
    for before, phase in pairwise(track.phases):
        n = phase.start
        if n + 1 > track.last or n < 2:  # noqa: PLR2004 - there must be a step on either side
            continue
        steps = [track.lr(i + 1) - track.lr(i) for i in (n - 2, n - 1, n)]
        beside = max(abs(steps[0]), abs(steps[2]))
        if abs(steps[1]) > max(_JUMP * track.target, 3 * beside):
            detail = f"from {before.name} to {phase.name} the LR jumps from {track.lr(n - 1):g} to {track.lr(n):g}"
            remedy = "let the second phase begin where the first ends: a PhasesLR does so, and decay_clock after_warmup"
            yield Finding("warning", "jump-at-boundary", track.pointer("after_scheduler"), n, detail, remedy)


def peak_never_reached(track: Examined) -> Iterator[Finding]:
    """The highest LR of the run stays below the target."""
    if not track.reaches_the_end or _contains(track, _OWN_LRS):
        return
    for name, target, peak in zip(track.names, track.track.targets, track.peaks, strict=True):
        if peak < target * (1 - 1e-9):
            detail = f"the LR of param group {name} never exceeds {peak:g}, below its target of {target:g}"
            remedy = "let the decay begin after the warm-up (decay_clock after_warmup), or lower the target"
            yield Finding("warning", "peak-never-reached", track.pointer("warmup"), None, detail, remedy)


def rising_at_end(track: Examined) -> Iterator[Finding]:
    """The last iteration has a higher LR than the one before."""
    last = track.last
    if not track.reaches_the_end or last - 1 <= track.track.warmup.last or _contains(track, _MEANT_TO_RISE):
        return
    before, end = track.lr(last - 1), track.lr(last)
    if end > before * (1 + 1e-9):
        detail = f"the LR rises at the end of the run, from {before:g} to {end:g}"
        remedy = "end the decay with the run: leave T_max out, or use CosineLR, which holds its end"
        yield Finding("warning", "rising-at-end", track.pointer("after_scheduler"), last, detail, remedy)


def last_update_at_zero(track: Examined) -> Iterator[Finding]:
    """The last update has no effect."""
    if track.reaches_the_end and track.target > 0 and track.lr(track.last) == 0:
        detail = "the last update runs at LR 0 and changes nothing"
        remedy = "give the decay an end LR, or a run that is one iteration shorter"
        yield Finding("info", "last-update-at-zero", track.pointer("after_scheduler"), track.last, detail, remedy)


def length_mismatch(track: Examined) -> Iterator[Finding]:
    """A length that is not what is left of the run."""
    for pointer, scheduler, left in track.schedulers():
        found = _length(scheduler)
        if found is None:
            continue
        field, length = found
        if isinstance(scheduler, OneCycleLR):
            if length == left:
                detail = f"the cycle ends at its iteration {length - 1}, and its last LR is held for one more"
                yield _mismatch("info", f"{pointer}/{field}", track, length - 1, detail)
        elif length > left:
            detail = f"{field} ({length}) exceeds the {left} iterations that are left: the decay is cut off"
            yield _mismatch("warning", f"{pointer}/{field}", track, left, detail)
        elif length < left:
            then = "rises again" if isinstance(scheduler, CosineAnnealingLR) else "stays at its end"
            severity: Severity = "warning" if isinstance(scheduler, CosineAnnealingLR) else "info"
            detail = f"{field} ({length}) is less than the {left} iterations that are left: after it the LR {then}"
            yield _mismatch(severity, f"{pointer}/{field}", track, length, detail)


def min_lr_above_target(track: Examined) -> Iterator[Finding]:
    """A group's LR rises to a floor that is above it."""
    for pointer, scheduler, _ in track.schedulers():
        for field in ("eta_min", "min_lr"):
            floor = getattr(scheduler, field, None)
            for name, target in zip(track.names, track.track.targets, strict=True):
                if floor is not None and floor > target > 0:
                    detail = f"{field} ({floor:g}) is above the target of param group {name} ({target:g}): its LR rises"
                    remedy = "give the end as min_ratio, a factor of every group's own target"
                    yield Finding("warning", "min-lr-above-target", f"{pointer}/{field}", None, detail, remedy)


def milestone_beyond_end(track: Examined) -> Iterator[Finding]:
    """Something that would begin after the run has ended."""
    remedy = "shorten it, or lengthen the run"
    for pointer, scheduler, left in track.schedulers():
        for field, place in _beginnings(scheduler):
            if place > left:
                detail = f"begins at iteration {place} of a clock on which the run ends at {left}: it never does"
                yield Finding("warning", "milestone-beyond-end", f"{pointer}/{field}", None, detail, remedy)
                break


def looks_like_epochs(track: Examined) -> Iterator[Finding]:
    """Numbers as small as epochs in a run as long as iterations."""
    total = track.total_iterations
    for pointer, scheduler, _ in track.schedulers():
        found = _duration(scheduler)
        if found is not None and found[1] <= _FEW and total >= _MANY and total >= 100 * found[1]:
            field, value = found
            detail = (
                f"{field} ({value}) is a {total // value}th of the run: it reads like epochs, and counts iterations"
            )
            remedy = f'write "{value}ep" and give units.iterations_per_epoch'
            yield Finding("warning", "looks-like-epochs", f"{pointer}/{field}", value, detail, remedy)


def warmup_over_half(track: Examined) -> Iterator[Finding]:
    """The warm-up takes more than half of the run."""
    warmup = track.track.warmup
    if warmup.iterations * 2 > track.total_iterations and not warmup.dampens:
        detail = f"the warm-up ({warmup.iterations}) takes more than half of the {track.total_iterations} iterations"
        remedy = "shorten the warm-up: a few per cent of the run is usual"
        yield Finding(
            "warning", "warmup-over-half", track.pointer("warmup", "iterations"), warmup.iterations, detail, remedy
        )


def under_resolution(track: Examined) -> Iterator[Finding]:
    """For more than a hundredth of the run updates round to nothing."""
    tiny = [n for n, lr in track.samples if 0 < lr < _RESOLUTION]
    if len(tiny) * 100 > len(track.samples):
        detail = f"the LR is below {_RESOLUTION:g}: an update of a float32 weight of 0.01 rounds to nothing"
        remedy = "give the decay an end LR, or end the run earlier"
        yield Finding("warning", "under-resolution", track.pointer("after_scheduler"), tiny[0], detail, remedy)


def restart_cut_off(track: Examined) -> Iterator[Finding]:
    """The run ends in the middle of a cycle."""
    for pointer, scheduler, left in track.schedulers():
        if isinstance(scheduler, CosineAnnealingWarmRestarts | CosineRestartsLR):
            into, length = _place_in_cycle(scheduler, left)
            if length and into + 1 < length * 0.95:
                detail = f"the run ends {into} iterations into a cycle of {length:g}, near its peak or on its way down"
                remedy = "let the run end with a cycle: change T_0 or total_iterations"
                yield Finding("warning", "restart-cut-off", pointer, track.total_iterations - into, detail, remedy)


def decay_never_starts(track: Examined) -> Iterator[Finding]:
    """There is a scheduler, and yet the LR stays at its first value to the end."""
    after = track.after
    if after is None or (isinstance(after, ConstantLR) and after.factor == 1) or not track.reaches_the_end:
        return
    values = {lr for _, lr in track.samples}
    if len(values) == 1 and track.lr(track.last) == track.target and track.target > 0 and track.left > 0:
        detail = f"after the warm-up the LR is {track.target:g} to the end: {after.type} changes nothing in this run"
        remedy = "shorten step_size, milestones or lengths, or leave after_scheduler out"
        yield Finding("warning", "decay-never-starts", track.pointer("after_scheduler"), None, detail, remedy)


def unusual_peak(track: Examined) -> Iterator[Finding]:
    """The target is ten times above or below what any recipe uses."""
    low, high = _usual_peaks()
    for name, target in zip(track.names, track.track.targets, strict=True):
        if target > 0 and not low <= target <= high and not _contains(track, _OWN_LRS):
            detail = (
                f"the target of param group {name} ({target:g}) is far outside what recipes use ({low:g} … {high:g})"
            )
            remedy = "check the exponent"
            yield Finding("warning", "unusual-peak", track.pointer("target_lr"), None, detail, remedy)


RULES: tuple[Rule, ...] = (
    first_update_at_zero,
    jump_at_boundary,
    peak_never_reached,
    rising_at_end,
    last_update_at_zero,
    length_mismatch,
    min_lr_above_target,
    milestone_beyond_end,
    looks_like_epochs,
    warmup_over_half,
    under_resolution,
    restart_cut_off,
    decay_never_starts,
    unusual_peak,
)
"""Every rule; two more, milestone-beyond-end and non-recursive-in-chain, are among the reasons to refuse a spec."""


def _contains(track: Examined, kinds: tuple[type[Scheduler], ...]) -> bool:
    return any(isinstance(scheduler, kinds) for _, scheduler, _ in track.schedulers())


def _mismatch(severity: Severity, pointer: str, track: Examined, own: int, detail: str) -> Finding:
    remedy = "leave it out: by default it is what is left of the run"
    iteration = min(track.track.warmup.origin + own, track.total_iterations)
    return Finding(severity, "length-mismatch", pointer, iteration, detail, remedy)


def _length(scheduler: Scheduler) -> tuple[str, int] | None:
    """The field with the length of the whole decay."""
    match scheduler:
        case CosineAnnealingLR(T_max=int(length)):
            return "T_max", length
        case PolynomialLR(total_iters=length):
            return "total_iters", length
        case OneCycleLR(total_steps=int(length)):
            return "total_steps", length
        case Decay(length=int(length)):
            return "length", length
    return None


_DURATIONS: dict[type[Scheduler], str] = {
    StepLR: "step_size",
    MultiStepLR: "milestones",
    CosineAnnealingLR: "T_max",
    CosineAnnealingWarmRestarts: "T_0",
    LinearLR: "total_iters",
    PolynomialLR: "total_iters",
}
"""Fields with a duration that is often written in epochs."""


def _duration(scheduler: Scheduler) -> tuple[str, int] | None:
    """The field with such a duration, and the longest there; of cycles that grow there is none."""
    field = _DURATIONS.get(type(scheduler))
    if field is None or getattr(scheduler, "T_mult", 1) > 1:
        return None
    value = getattr(scheduler, field)
    return field, max(value) if isinstance(value, tuple) else value


def _beginnings(scheduler: Scheduler) -> list[tuple[str, int]]:
    """Fields with something that begins, and when it does."""
    match scheduler:
        case PiecewiseLR(points=points):
            return [(f"points/{index}/at", point.at) for index, point in enumerate(points)]
        case PhasesLR(phases=phases):
            return [(f"phases/{index}", start) for index, start in enumerate(scheduler.starts[: len(phases)])]
        case TableLR(values=values, hold=hold):
            return [(f"values/{index}", index * hold) for index in range(len(values))]
        case WindowLR(begin=begin):
            return [("begin", begin)]
    return []


def _place_in_cycle(scheduler: CosineAnnealingWarmRestarts | CosineRestartsLR, left: int) -> tuple[int, float]:
    """Iterations into the cycle at the end of the run, and its length; 0 if there is no cycle any more."""
    if isinstance(scheduler, CosineRestartsLR):
        return scheduler.place(left)
    start, length = 0, scheduler.T_0
    if scheduler.T_mult == 1:
        return left % length, length
    while left >= start + length:
        start, length = start + length, length * scheduler.T_mult
    return left - start, length


@cache
def _usual_peaks() -> tuple[float, float]:
    """A tenth of the lowest target of all recipes, and ten times the highest; without those that are multipliers."""
    targets = [parse_spec(json.dumps({"recipe": name})).target_lr for name in recipes()]
    known = [target for target in targets if target != 1]
    return min(known) / 10, max(known) * 10
